"""A reset of head office: what goes, what stays, and that nobody is at work meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from central import centrals, tables
from central.database import writing
from central.fence import FenceLostError
from central.reset import Forgotten, reset_central
from central.tables import ADMITTED
from invctl.errors import RefusedError

if TYPE_CHECKING:
    from tests.integration.central.head_office import HeadOffice
    from tests.integration.central.histories import History


@pytest.fixture
def traded(office: HeadOffice, history: History) -> HeadOffice:
    office.admit("downtown")
    history.created()
    history.adjust({"MOUSE-001": 10})
    history.reserve({"MOUSE-001": 1})
    office.take(history)
    return office


@pytest.mark.business
def test_everything_is_forgotten_but_who_is_admitted_and_positions_go_on(traded: HeadOffice, history: History) -> None:
    assert reset_central(traded.engine, dry_run=True) == Forgotten(3, 1, 1)
    assert len(traded.rows(tables.archive)) == 3
    assert reset_central(traded.engine) == Forgotten(3, 1, 1)
    for table in (tables.archive, tables.levels, tables.reservations, tables.reservation_lines, tables.products):
        assert traded.rows(table) == []
    [store] = traded.rows(tables.stores)
    assert (store.status, store.first_hash) == (ADMITTED, history.hashes[1])
    assert reset_central(traded.engine) == Forgotten(0, 0, 0)
    traded.fence = traded.mint()
    assert traded.take(history).positions == (4, 6)
    assert traded.verify().ok


@pytest.mark.business
def test_stores_are_forgotten_where_that_is_asked_for(traded: HeadOffice) -> None:
    reset_central(traded.engine, forget_stores=True)
    assert traded.rows(tables.stores) == traded.rows(tables.cursors) == []


@pytest.mark.concurrency
@pytest.mark.parametrize("dry_run", [False, True])
def test_it_is_refused_while_a_central_is_at_work_wherever_it_runs(traded: HeadOffice, *, dry_run: bool) -> None:
    with writing(traded.engine) as connection:
        centrals.be_seen(
            connection, holder="elsewhere:1", host="elsewhere", pid=1, version="1.0", ttl_s=3600, shards=[0]
        )
        connection.commit()
    before = traded.everything()
    with pytest.raises(RefusedError, match="elsewhere:1"):
        reset_central(traded.engine, dry_run=dry_run)
    assert traded.everything() == before


@pytest.mark.fault_tolerance
def test_a_central_that_stood_still_meanwhile_commits_nothing_of_what_it_held(
    traded: HeadOffice, history: History
) -> None:
    history.adjust({"MOUSE-001": 1})
    in_its_hands = history.intake(3)
    reset_central(traded.engine)
    with pytest.raises(FenceLostError):
        traded.apply(in_its_hands)

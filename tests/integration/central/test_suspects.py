"""What is in doubt, as an operator sees it, and an operator's word about it beside a central that may be at work."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, insert, text, update

from central import archive, suspects, tables
from central.database import reading, writing
from central.fence import lock
from central.suspects import Cleared, Suspect, SuspectRow
from invctl.errors import BusyError, NotFoundError, RefusedError
from invctl.model.stock import EMPTY, StockLevel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection
    from sqlalchemy.sql.dml import UpdateBase

    from central.archive import Moved
    from tests.integration.central.head_office import HeadOffice
    from tests.integration.central.histories import History

pytestmark = pytest.mark.business

JUMPED = StockLevel(51, 0, 41)


@pytest.fixture(autouse=True)
def doubted(office: HeadOffice, history: History) -> None:
    """MOUSE-001 and CABLE-001 do not follow; LAPTOP-001 is sound."""
    office.admit("downtown", "midtown")
    history.created()
    history.product("MOUSE-001", "Mouse")
    history.adjust({"MOUSE-001": 10, "LAPTOP-001": 10, "CABLE-001": 10})
    for sku in ("MOUSE-001", "CABLE-001"):
        history.levels[sku] = StockLevel(50, 0, 40)
        history.adjust({sku: 1})
    office.take(history)


def listed(office: HeadOffice, store: str | None = None) -> list[SuspectRow]:
    with reading(office.engine) as connection:
        return list(suspects.suspects(connection, store))


def shown(office: HeadOffice, sku: str) -> Suspect:
    with reading(office.engine) as connection:
        return suspects.suspect_of(connection, "downtown", sku)


def change(office: HeadOffice, *statements: UpdateBase) -> None:
    with writing(office.engine) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def drift(office: HeadOffice, sku: str) -> None:
    change(office, update(tables.levels).where(tables.levels.c.sku == sku).values(on_hand=99, seq=1))


def clear(office: HeadOffice, *skus: str, rebuild: bool = False) -> list[Cleared]:
    return suspects.clear(office.engine, "downtown", skus, rebuild=rebuild)


def test_they_are_listed_by_store_and_sku_with_their_levels(office: HeadOffice) -> None:
    doubt = {"store": "midtown", "sku": "LOST-001", "reason": "unreadable", "seq": 7, "since_us": 5}
    change(office, insert(tables.suspects).values(doubt))
    rows = listed(office)
    assert [(row.store, row.sku, row.name, row.reason, row.seq, row.level) for row in rows] == [
        ("downtown", "CABLE-001", None, "does_not_follow", 5, JUMPED),
        ("downtown", "MOUSE-001", "Mouse", "does_not_follow", 4, JUMPED),
        ("midtown", "LOST-001", None, "unreadable", 7, EMPTY),
    ]
    assert listed(office, "midtown") == rows[2:]
    assert rows[2].as_dict()["since_at"] == "1970-01-01T00:00:00.000005Z"


def test_one_is_shown_with_its_event_and_the_level_by_its_events(office: HeadOffice, history: History) -> None:
    found = shown(office, "MOUSE-001")
    assert (found.row.seq, found.archived, found.drifted) == (4, (JUMPED, 4), False)
    assert found.event is not None
    assert found.event.body == history.bodies[3]
    drift(office, "MOUSE-001")
    found = shown(office, "MOUSE-001")
    assert (found.row.level, found.archived.level, found.drifted) == (JUMPED._replace(on_hand=99), JUMPED, True)
    assert found.as_dict()["archive"] == {**JUMPED._asdict(), "seq": 4}


@pytest.mark.parametrize("sku", ["LAPTOP-001", "NONE-001"])
def test_what_is_not_in_doubt_is_not_shown_and_not_cleared(office: HeadOffice, sku: str) -> None:
    before = office.everything()
    with pytest.raises(NotFoundError, match=f"{sku} of downtown is not in doubt"):
        shown(office, sku)
    for rebuild in (False, True):
        with pytest.raises(NotFoundError, match=f"{sku} of downtown is not in doubt"):
            clear(office, "MOUSE-001", sku, rebuild=rebuild)
    assert office.everything() == before


def test_an_unknown_store_is_said(office: HeadOffice) -> None:
    with pytest.raises(NotFoundError, match="no store nowhere"):
        listed(office, "nowhere")
    with pytest.raises(NotFoundError, match="no store nowhere"):
        suspects.clear(office.engine, "nowhere", ["MOUSE-001"])


def test_an_operators_word_settles_a_doubt_and_changes_no_level(office: HeadOffice, history: History) -> None:
    assert clear(office, "MOUSE-001") == [Cleared("downtown", "MOUSE-001", "does_not_follow", JUMPED, None)]
    assert office.suspects() == {"CABLE-001": "does_not_follow"}
    assert office.levels() == history.levels
    assert office.cursor("downtown").suspects == 1
    assert clear(office, "CABLE-001", "CABLE-001") == [
        Cleared("downtown", "CABLE-001", "does_not_follow", JUMPED, None)
    ]
    assert office.suspects() == {}


@pytest.mark.fault_tolerance
def test_a_level_that_drifted_is_not_cleared_unless_it_is_rebuilt(office: HeadOffice, history: History) -> None:
    drift(office, "MOUSE-001")
    before = office.everything()
    with pytest.raises(
        RefusedError, match="MOUSE-001 of downtown is not as its events say: here 99 on hand"
    ) as refused:
        clear(office, "CABLE-001", "MOUSE-001")
    assert "--rebuild" in refused.value.hint
    assert office.everything() == before
    done = clear(office, "CABLE-001", "MOUSE-001", rebuild=True)
    had = JUMPED._replace(on_hand=99)
    assert [(each.sku, each.rebuilt) for each in done] == [("CABLE-001", None), ("MOUSE-001", had)]
    assert office.levels() == history.levels
    assert office.suspects() == {}
    assert office.verify().ok


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("gone", [False, True])
def test_a_level_that_nobody_doubts_is_rebuilt_where_it_drifted(
    office: HeadOffice, history: History, gone: bool
) -> None:
    if gone:
        change(office, delete(tables.levels).where(tables.levels.c.sku == "LAPTOP-001"))
    else:
        drift(office, "LAPTOP-001")
    [done] = clear(office, "LAPTOP-001", rebuild=True)
    assert (done.reason, done.level) == (None, StockLevel(10, 0, 1))
    assert office.levels() == history.levels
    assert office.verify().ok
    assert len(office.suspects()) == 2


@pytest.mark.fault_tolerance
def test_a_level_of_which_no_event_says_anything_is_emptied(office: HeadOffice) -> None:
    ghost = {"store": "downtown", "sku": "GHOST-1", "on_hand": 3, "reserved": 0, "version": 1, "seq": 1}
    change(office, insert(tables.levels).values(ghost))
    [done] = clear(office, "GHOST-1", rebuild=True)
    assert (done.level, done.rebuilt) == (EMPTY, StockLevel(3, 0, 1))
    assert office.levels()["GHOST-1"] == EMPTY


@pytest.mark.concurrency
def test_what_is_applied_while_the_archive_is_read_counts(
    office: HeadOffice, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive is read before the shard is locked; what came since is read under the lock."""
    last_moves = archive.last_moves
    read: list[int] = []

    def meanwhile(connection: Connection, store: str, skus: Sequence[str], *, after: int = 0) -> dict[str, Moved]:
        found = last_moves(connection, store, skus, after=after)
        read.append(after)
        if not after:
            history.adjust({"MOUSE-001": 3})
            office.take(history)
        return found

    monkeypatch.setattr(suspects, "last_moves", meanwhile)
    [done] = clear(office, "MOUSE-001")
    assert (read, done.level, done.rebuilt) == ([0, 5], StockLevel(54, 0, 42), None)
    assert office.levels() == history.levels


@pytest.mark.fault_tolerance
def test_where_the_database_was_set_back_meanwhile_nothing_is_done(
    office: HeadOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    last_moves = archive.last_moves

    def meanwhile(connection: Connection, store: str, skus: Sequence[str], **more: Any) -> dict[str, Moved]:
        found = last_moves(connection, store, skus, **more)
        change(office, update(tables.cursors).where(tables.cursors.c.store == "downtown").values(applied_seq=3))
        return found

    monkeypatch.setattr(suspects, "last_moves", meanwhile)
    with pytest.raises(BusyError):
        clear(office, "MOUSE-001")
    assert "MOUSE-001" in office.suspects()


@pytest.mark.concurrency
@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_it_waits_for_the_apply_under_way(office: HeadOffice) -> None:
    """On SQLite there is one writer at a time. Without the lock it would settle a level that moves under it."""
    waits = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%shards%'")
    with ThreadPoolExecutor(1) as beside:
        with writing(office.engine) as connection:
            lock(connection, 0)
            waiting = beside.submit(clear, office, "MOUSE-001")
            with office.engine.connect() as other:
                while not waiting.done() and not other.execute(waits).scalar_one():
                    other.rollback()
            mouse = tables.levels.c.sku == "MOUSE-001"
            connection.execute(update(tables.levels).where(mouse).values(on_hand=99))
            connection.commit()
        with pytest.raises(RefusedError, match="99 on hand"):
            waiting.result()
    assert "MOUSE-001" in office.suspects()

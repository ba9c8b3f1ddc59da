"""A version conflict: the archive is right, and central's own row is not. It is rebuilt, and told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, update

from central import tables
from central.archive import levels_in_archive
from central.database import reading, writing
from central.state import Drift
from invctl.model.stock import EMPTY, StockLevel

if TYPE_CHECKING:
    from tests.integration.central.head_office import HeadOffice
    from tests.integration.central.histories import History

pytestmark = pytest.mark.fault_tolerance

SKUS = [f"SKU-{number:03d}" for number in range(30)]


@pytest.fixture(autouse=True)
def stocked(office: HeadOffice, history: History) -> None:
    office.admit("downtown")
    history.created()
    history.adjust(dict.fromkeys(SKUS, 10))
    history.adjust({"SKU-001": 5})
    office.take(history)


def tamper(office: HeadOffice, sku: str, **values: Any) -> None:
    table = tables.levels
    with writing(office.engine) as connection:
        connection.execute(update(table).where(table.c.sku == sku).values(**values))
        connection.commit()


@pytest.mark.parametrize("values", [{"on_hand": 99}, {"reserved": 1}, {"version": 7}, {"version": 1, "on_hand": 10}])
def test_an_altered_row_is_rebuilt_and_not_suspect(
    office: HeadOffice, history: History, values: dict[str, int]
) -> None:
    tamper(office, "SKU-001", **values)
    history.adjust({"SKU-001": 1})
    applied = office.take(history)
    assert office.levels() == history.levels
    had = StockLevel(15, 0, 2)._replace(**values)
    assert applied.drifts == (Drift("SKU-001", had, StockLevel(15, 0, 2)),)
    assert (applied.doubts, applied.suspects) == ((), 0)
    assert office.verify().differences == []


def test_a_row_that_is_gone_is_rebuilt(office: HeadOffice, history: History) -> None:
    with writing(office.engine) as connection:
        connection.execute(delete(tables.levels).where(tables.levels.c.sku == "SKU-001"))
        connection.commit()
    history.adjust({"SKU-001": 1})
    assert office.take(history).drifts == (Drift("SKU-001", None, StockLevel(15, 0, 2)),)
    assert office.levels() == history.levels


def test_all_rows_gone_are_rebuilt_in_one_pass(office: HeadOffice, history: History) -> None:
    with writing(office.engine) as connection:
        connection.execute(delete(tables.levels))
        connection.commit()
    history.adjust(dict.fromkeys(SKUS, 1))
    applied = office.take(history)
    assert {drift.sku for drift in applied.drifts} == set(SKUS)
    assert office.levels() == history.levels


def test_a_row_for_what_the_archive_never_had_is_rebuilt(office: HeadOffice, history: History) -> None:
    with writing(office.engine) as connection:
        ghost = {"store": "downtown", "sku": "NEW-001", "on_hand": 3, "reserved": 0, "version": 1, "seq": 1}
        connection.execute(tables.levels.insert(), [ghost])
        connection.commit()
    history.adjust({"NEW-001": 1})
    assert office.take(history).drifts == (Drift("NEW-001", StockLevel(3, 0, 1), EMPTY),)
    assert office.levels() == history.levels


def test_drift_and_an_impossible_fact_at_once_are_told_apart(office: HeadOffice, history: History) -> None:
    tamper(office, "SKU-001", on_hand=99)
    history.levels["SKU-001"] = StockLevel(50, 0, 40)
    seq = history.adjust({"SKU-001": 1})
    applied = office.take(history)
    assert [drift.sku for drift in applied.drifts] == ["SKU-001"]
    assert [(each.sku, each.seq, each.reason) for each in applied.doubts] == [("SKU-001", seq, "does_not_follow")]
    assert office.levels()["SKU-001"] == StockLevel(51, 0, 41)


def test_a_fact_that_does_not_follow_is_no_drift(office: HeadOffice, history: History) -> None:
    history.levels["SKU-001"] = StockLevel(50, 0, 40)
    history.adjust({"SKU-001": 1})
    applied = office.take(history)
    assert applied.drifts == ()
    assert applied.suspects == 1


def test_only_the_drifted_store_is_touched(office: HeadOffice, history: History) -> None:
    office.admit("midtown")
    with writing(office.engine) as connection:
        other = {"store": "midtown", "sku": "SKU-001", "on_hand": 3, "reserved": 0, "version": 1, "seq": 1}
        connection.execute(tables.levels.insert(), [other])
        connection.commit()
    tamper(office, "SKU-001", on_hand=99)
    history.adjust({"SKU-001": 1})
    office.take(history)
    assert office.levels("midtown") == {"SKU-001": StockLevel(99, 0, 1)}


def test_the_last_line_of_an_event_counts_where_it_names_a_sku_twice(office: HeadOffice, history: History) -> None:
    lines = [history.moved("SKU-002", 1, 0), history.moved("SKU-002", 1, 0)]
    history.event("inventory.stock.adjusted", "", {"reason": "received", "lines": lines})
    office.take(history)
    with reading(office.engine) as connection:
        found = levels_in_archive(connection, "downtown", {"SKU-002", "SKU-001", "NONE-001"})
    assert found == {"SKU-002": StockLevel(12, 0, 3), "SKU-001": StockLevel(15, 0, 2), "NONE-001": EMPTY}


def test_a_sku_spelled_with_escapes_is_found_in_the_archive(office: HeadOffice, history: History) -> None:
    history.adjust({"SKU-002": 1})
    body = history.bodies.pop().replace(b"SKU-002", b"SK\\u0055-002")
    history.hashes.pop()
    history.raw(body)
    office.take(history)
    with reading(office.engine) as connection:
        assert levels_in_archive(connection, "downtown", ["SKU-002"]) == {"SKU-002": StockLevel(11, 0, 2)}

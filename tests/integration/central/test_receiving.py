"""The rows of the protocol's receiving table that are decided where events are applied: nothing waits behind them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from central import tables
from central.doubt import Doubt
from invctl.model import events
from invctl.model.stock import StockLevel

if TYPE_CHECKING:
    from tests.integration.central.head_office import HeadOffice
    from tests.integration.central.histories import History

pytestmark = [pytest.mark.fault_tolerance, pytest.mark.business]


@pytest.fixture(autouse=True)
def stocked(office: HeadOffice, history: History) -> None:
    office.admit("downtown")
    history.created()
    history.adjust({"MOUSE-001": 10, "LAPTOP-001": 10})
    office.take(history)


def test_bytes_that_are_no_event_are_archived_and_nothing_waits(office: HeadOffice, history: History) -> None:
    history.raw(b"\xff\x00 not an event")
    history.adjust({"MOUSE-001": 1})
    applied = office.take(history)
    [row] = office.rows(tables.archive, seq=3)
    assert row.body == b"\xff\x00 not an event"
    assert (row.event_id, row.type, row.time_us) == (None, None, None)
    assert office.levels()["MOUSE-001"] == StockLevel(11, 0, 2)
    assert applied.doubts == ()
    assert office.verify().differences == []
    assert office.verify().findings == ["event 3 is unreadable"]


def test_the_lines_of_a_malformed_event_are_taken_and_suspect(office: HeadOffice, history: History) -> None:
    """One field is a float, which no event has; what can be read of it is the stock."""
    line = history.moved("MOUSE-001", 5, 0)
    document = {"id": "x1", "type": events.STOCK_ADJUSTED, "time": "2026-01-01T00:00:00Z", "rate": 1.5}
    broken = {"sku": "LAPTOP-001", "on_hand": "many"}
    seq = history.raw(json.dumps({**document, "data": {"lines": [line, broken, {"sku": 7}, "?"]}}).encode())
    applied = office.take(history)
    assert office.levels()["MOUSE-001"] == StockLevel(15, 0, 2)
    assert office.levels()["LAPTOP-001"] == StockLevel(10, 0, 1)
    assert office.suspects() == {"MOUSE-001": "unreadable", "LAPTOP-001": "unreadable"}
    assert sorted(applied.doubts) == [
        Doubt("LAPTOP-001", seq, "unreadable"),
        Doubt("MOUSE-001", seq, "unreadable"),
    ]
    assert applied.suspects == 2
    [row] = office.rows(tables.archive, seq=seq)
    assert (row.event_id, row.type) == ("x1", events.STOCK_ADJUSTED)
    assert office.verify().differences == []


def reservation_with(history: History, **wrong: Any) -> int:
    data = {
        "reservation": "R-7K4QM2",
        "order": "A-17",
        "clerk": "anna",
        "created_at": "2026-01-01T00:00:00Z",
        "expires_at": "2026-01-01T00:30:00Z",
        "lines": [history.moved("MOUSE-001", 0, 1, quantity=1)],
    }
    return history.event(events.RESERVATION_CREATED, "R-7K4QM2", data | wrong)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"order": "A\0B"}, "unstorable"),
        ({"reservation": "R-" + 300 * "A"}, "unstorable"),
        ({"expires_at": "soon"}, "unreadable"),
        ({"reservation": 7}, "unreadable"),
        ({"clerk": ["anna"]}, "unreadable"),
    ],
)
def test_a_reservation_that_cannot_be_stored_leaves_its_lines_suspect(
    office: HeadOffice, history: History, wrong: dict[str, Any], reason: str
) -> None:
    seq = reservation_with(history, **wrong)
    applied = office.take(history)
    assert office.rows(tables.archive, seq=seq)[0].body == history.bodies[-1]
    assert office.rows(tables.reservations) == []
    assert office.levels()["MOUSE-001"] == StockLevel(10, 1, 2)
    assert applied.doubts == (Doubt("MOUSE-001", seq, reason),)
    assert office.verify().differences == []


def test_half_a_surrogate_pair_is_archived_as_bytes(office: HeadOffice, history: History) -> None:
    seq = history.product("MOUSE-001", "Mouse")
    body = history.bodies.pop().replace(b"Mouse", b"Mouse \\ud83d")
    history.hashes.pop()
    assert history.raw(body) == seq
    applied = office.take(history)
    assert office.rows(tables.archive, seq=seq)[0].body == body
    assert office.rows(tables.products) == []
    assert applied.doubts == (Doubt("MOUSE-001", seq, "unreadable"),)
    assert office.verify().differences == []


def test_a_product_whose_name_no_database_takes_is_archived_as_bytes(office: HeadOffice, history: History) -> None:
    seq = history.product("MOUSE-001", "Mouse\0")
    applied = office.take(history)
    assert office.rows(tables.archive, seq=seq)[0].body == history.bodies[-1]
    assert office.rows(tables.products) == []
    assert applied.doubts == (Doubt("MOUSE-001", seq, "unstorable"),)
    assert office.verify().differences == []


def test_a_sku_that_fits_no_index_is_archived_as_bytes(office: HeadOffice, history: History) -> None:
    history.adjust({"X" * 5000: 1, "MOUSE-001": 1})
    applied = office.take(history)
    assert set(office.levels()) == {"MOUSE-001", "LAPTOP-001"}
    assert office.suspects() == {"MOUSE-001": "unstorable"}
    assert applied.suspects == 1
    assert office.verify().differences == []


def test_a_level_below_zero_is_taken_and_suspect(office: HeadOffice, history: History) -> None:
    seq = history.adjust({"MOUSE-001": -12}, "correction")
    applied = office.take(history)
    assert office.levels()["MOUSE-001"] == StockLevel(-2, 0, 2)
    assert applied.doubts == (Doubt("MOUSE-001", seq, "impossible_level"),)
    [row] = office.rows(tables.suspects)
    assert (row.store, row.sku, row.reason, row.seq) == ("downtown", "MOUSE-001", "impossible_level", seq)
    assert row.since_us == applied.applied_us
    assert office.verify().differences == []
    assert office.verify().findings != []


@pytest.mark.parametrize("part", ["on_hand", "reserved", "version"])
def test_a_level_that_does_not_follow_is_taken_and_suspect(office: HeadOffice, history: History, part: str) -> None:
    level = history.levels["MOUSE-001"]
    history.levels["MOUSE-001"] = level._replace(**{part: getattr(level, part) + 1})
    history.adjust({"MOUSE-001": 1})
    applied = office.take(history)
    assert office.levels()["MOUSE-001"] == history.levels["MOUSE-001"]
    assert office.suspects() == {"MOUSE-001": "does_not_follow"}
    assert applied.drifts == ()
    assert office.verify().differences == []


@pytest.mark.parametrize(
    "end", [events.RESERVATION_CONFIRMED, events.RESERVATION_CANCELLED, events.RESERVATION_EXPIRED]
)
def test_the_second_end_of_a_reservation_is_taken_and_suspect(office: HeadOffice, history: History, end: str) -> None:
    other = history.reserve({"MOUSE-001": 1})
    key = history.reserve({"MOUSE-001": 1})
    again = dict(history.pending[key])
    history.end(key, events.RESERVATION_CANCELLED)
    office.take(history)
    assert office.suspects() == {}
    history.pending[key] = again
    history.end(key, end)
    applied = office.take(history)
    assert office.suspects() == {"MOUSE-001": "reservation_ended"}
    assert applied.suspects == 1
    statuses = {row.reservation: row.status for row in office.rows(tables.reservations)}
    assert statuses == {other: "pending", key: events.STATUS_AFTER[end]}
    assert office.verify().differences == []


def test_the_end_of_an_unknown_reservation_is_taken_and_suspect(office: HeadOffice, history: History) -> None:
    history.adjust({"MOUSE-001": 1})
    key = history.reserve({"MOUSE-001": 1})
    # Central never gets to see how it began.
    history.bodies.pop()
    history.hashes.pop()
    level = history.levels["MOUSE-001"]
    history.levels["MOUSE-001"] = StockLevel(level.on_hand, 1, level.version - 1)
    history.raw(
        events.compose(
            id="e1",
            type="inventory.other",
            store="downtown",
            time="2026-01-01T00:00:00Z",
            subject="",
            data={"lines": [events.line("MOUSE-001", 0, 1, history.levels["MOUSE-001"].moved(0, 0))]},
        )
    )
    history.levels["MOUSE-001"] = history.levels["MOUSE-001"].moved(0, 0)
    history.end(key, events.RESERVATION_CONFIRMED)
    office.take(history)
    assert office.suspects() == {"MOUSE-001": "reservation_unknown"}
    assert [row.status for row in office.rows(tables.reservations)] == ["confirmed"]
    assert office.verify().differences == []


def test_a_reservation_that_begins_twice_is_suspect(office: HeadOffice, history: History) -> None:
    reservation_with(history)
    reservation_with(history)
    office.take(history)
    assert office.suspects() == {"MOUSE-001": "reservation_twice"}
    assert office.verify().differences == []


def test_the_first_reason_stands_also_in_a_later_batch(office: HeadOffice, history: History) -> None:
    first = history.adjust({"MOUSE-001": -12}, "correction")
    office.take(history)
    history.levels["MOUSE-001"] = StockLevel(5, 0, 9)
    history.adjust({"MOUSE-001": 1})
    applied = office.take(history)
    assert (applied.doubts, applied.suspects) == ((), 1)
    [row] = office.rows(tables.suspects)
    assert (row.reason, row.seq) == ("impossible_level", first)


@pytest.mark.parametrize("reason", sorted(events.COUNTED_REASONS))
@pytest.mark.parametrize("batches", [1, 2])
def test_a_count_settles_the_doubt(office: HeadOffice, history: History, reason: str, batches: int) -> None:
    history.adjust({"MOUSE-001": -12}, "correction")
    history.levels["LAPTOP-001"] = StockLevel(5, 0, 9)
    history.adjust({"LAPTOP-001": 1})
    if batches == 2:
        assert office.take(history).suspects == 2
    history.adjust({"MOUSE-001": 6}, reason)
    applied = office.take(history)
    assert office.suspects() == {"LAPTOP-001": "does_not_follow"}
    assert applied.suspects == 1
    assert office.cursor("downtown").suspects == 1


@pytest.mark.parametrize("reason", [None, "received", ["cycle_count"]])
def test_what_is_no_count_settles_nothing(office: HeadOffice, history: History, reason: Any) -> None:
    history.adjust({"MOUSE-001": -12}, "correction")
    history.event(events.STOCK_ADJUSTED, "", {"reason": reason, "lines": [history.moved("MOUSE-001", 20, 0)]})
    assert office.take(history).suspects == 1


def test_a_count_that_is_itself_impossible_settles_nothing(office: HeadOffice, history: History) -> None:
    history.adjust({"MOUSE-001": -12}, "cycle_count")
    office.take(history)
    assert office.suspects() == {"MOUSE-001": "impossible_level"}


def test_a_count_says_where_the_level_is_whatever_was_before(office: HeadOffice, history: History) -> None:
    history.levels["MOUSE-001"] = StockLevel(70, 0, 30)
    history.adjust({"MOUSE-001": 1}, "cycle_count")
    assert office.take(history).suspects == 0
    assert office.levels()["MOUSE-001"] == StockLevel(71, 0, 31)


def test_a_doubt_that_comes_back_after_a_count_is_kept(office: HeadOffice, history: History) -> None:
    history.adjust({"MOUSE-001": -12}, "correction")
    office.take(history)
    history.adjust({"MOUSE-001": 20}, "cycle_count")
    again = history.adjust({"MOUSE-001": -30}, "correction")
    applied = office.take(history)
    assert applied.suspects == 1
    [row] = office.rows(tables.suspects)
    assert row.seq == again


def test_a_suspect_sku_is_listed_with_the_stock(office: HeadOffice, history: History) -> None:
    history.raw(json.dumps({"data": {"lines": [{"sku": "GHOST-001", "on_hand": 1.5}]}}).encode())
    office.take(history)
    assert office.levels()["GHOST-001"] == StockLevel(0, 0, 0)
    assert office.suspects() == {"GHOST-001": "unreadable"}
    assert office.verify().differences == []

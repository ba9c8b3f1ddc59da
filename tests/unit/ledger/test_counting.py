"""The shelves are counted while trade goes on: what is posted is right whatever was sold in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from invctl.errors import NotEnoughStockError, NotFoundError, WrongStateError
from invctl.ledger import adjustments, counting, products, reservations
from invctl.ledger.verify import verify
from invctl.ledger.writing import Origin

if TYPE_CHECKING:
    from invctl.clock import ManualClock
    from invctl.ledger.ledger import Ledger

pytestmark = pytest.mark.business


@pytest.fixture
def store(ledger: Ledger) -> Ledger:
    for sku in ("MOUSE-001", "LAPTOP-001"):
        products.add(ledger, sku, sku.title())
        adjustments.adjust(ledger, {sku: 100}, "received")
    return ledger


def on_hand(ledger: Ledger, sku: str = "MOUSE-001") -> int:
    return int(ledger.row("SELECT on_hand FROM stock WHERE sku = ?", (sku,))[0])


def test_what_is_sold_after_a_line_was_counted_does_not_make_it_wrong(store: Ledger) -> None:
    counting.start(store, note="year end", origin=Origin("ann"))
    assert counting.line(store, "MOUSE-001", 97).variance == -3
    reservations.sell(store, {"MOUSE-001": 10})
    adjustments.adjust(store, {"MOUSE-001": 5}, "received")
    (line,) = counting.lines(store)
    assert (line.counted, line.expected, line.variance, line.on_hand) == (97, 100, -3, 95)
    found, receipt = counting.finish(store, origin=Origin("ann"))
    assert [each.variance for each in found] == [-3]
    assert on_hand(store) == 92
    event = receipt.event
    assert (event.data["reason"], event.data["note"], event.data["clerk"]) == ("cycle_count", "year end", "ann")
    assert event.data["lines"][0]["counted"] == 97
    assert verify(store).findings == []


def test_what_was_found_to_be_right_is_posted_too_as_somebody_saw_it(store: Ledger) -> None:
    counting.start(store)
    counting.line(store, "MOUSE-001", 100)
    _, receipt = counting.finish(store)
    (entry,) = receipt.event.lines
    assert (entry.sku, entry.on_hand_change) == ("MOUSE-001", 0)
    assert receipt.event.is_count


def test_a_second_shelf_is_added_and_sales_between_the_two_are_taken_off(store: Ledger) -> None:
    counting.start(store)
    counting.line(store, "MOUSE-001", 60)
    reservations.sell(store, {"MOUSE-001": 10})
    # Ten of the sixty are gone by now; forty lie elsewhere.
    line = counting.line(store, "MOUSE-001", 40, more=True)
    assert (line.counted, line.expected, line.variance) == (90, 90, 0)
    assert (line.found_before, line.moved) == (60, -10)
    # Without `more`, the last word stands alone.
    assert counting.line(store, "MOUSE-001", 89).variance == -1


def test_nothing_is_posted_before_the_end(store: Ledger) -> None:
    head = store.row("SELECT max(seq) FROM events")[0]
    counting.start(store)
    counting.line(store, "MOUSE-001", 1)
    assert store.row("SELECT max(seq) FROM events")[0] == head
    assert counting.cancel(store) == 1
    assert on_hand(store) == 100
    with pytest.raises(WrongStateError, match="no count"):
        counting.lines(store)


def test_what_is_reserved_is_not_counted_away(store: Ledger) -> None:
    reservations.reserve(store, {"MOUSE-001": 95})
    counting.start(store)
    counting.line(store, "MOUSE-001", 90)
    with pytest.raises(NotEnoughStockError):
        counting.finish(store)
    assert on_hand(store) == 100
    assert len(counting.lines(store)) == 1


def test_a_line_of_yesterday_is_stale(store: Ledger, clock: ManualClock) -> None:
    counting.start(store)
    counting.line(store, "MOUSE-001", 97)
    clock.advance(counting.STALE_S + 1)
    counting.line(store, "LAPTOP-001", 100)
    assert [bool(each.stale) for each in counting.lines(store)] == [False, True]
    with pytest.raises(WrongStateError, match="MOUSE-001"):
        counting.finish(store)
    counting.finish(store, anyway=True)
    assert on_hand(store) == 97


def test_lines_from_before_another_history_are_never_posted(store: Ledger) -> None:
    counting.start(store)
    counting.line(store, "MOUSE-001", 97)
    # As the daemon does it, behind the back of a process that has the ledger open.
    store.connection.execute("UPDATE ledger SET epoch = 2")
    with pytest.raises(WrongStateError, match="another history"):
        counting.finish(store, anyway=True)
    assert on_hand(store) == 100
    store.connection.execute("UPDATE ledger SET epoch = 1")


def test_one_count_at_a_time(store: Ledger) -> None:
    with pytest.raises(WrongStateError, match="no count"):
        counting.line(store, "MOUSE-001", 1)
    counting.start(store)
    with pytest.raises(WrongStateError, match="under way"):
        counting.start(store)
    with pytest.raises(WrongStateError, match="nothing was counted"):
        counting.finish(store)
    with pytest.raises(NotFoundError):
        counting.line(store, "NOBODY", 1)

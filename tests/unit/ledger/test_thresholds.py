"""A level that crosses its reorder point is told once, whatever is sold below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from invctl.errors import InvalidValueError, NotFoundError
from invctl.ledger import adjustments, reads, reservations, thresholds
from invctl.ledger.verify import verify
from invctl.model import events

if TYPE_CHECKING:
    from invctl.clock import ManualClock
    from invctl.ledger.ledger import Ledger

pytestmark = pytest.mark.business


def told_low(ledger: Ledger) -> list[int]:
    """The availability at which an item was told to be low, each time."""
    found = ledger.rows("SELECT body FROM events WHERE type = ? ORDER BY seq", (events.STOCK_LOW,))
    return [events.parse(body).data["available"] for (body,) in found]


def test_it_is_told_as_it_crosses_and_again_after_it_has_risen(ledger: Ledger) -> None:
    thresholds.set_thresholds(ledger, "MOUSE", reorder_point=95)
    for _ in range(8):
        reservations.sell(ledger, {"MOUSE": 1})
    assert told_low(ledger) == [95]
    adjustments.adjust(ledger, {"MOUSE": 10}, "received")
    assert thresholds.low(ledger) == []
    reservations.reserve(ledger, {"MOUSE": 50})
    assert told_low(ledger) == [95, 52]
    assert [(row.sku, row.available, row.reorder_point) for row in thresholds.low(ledger)] == [("MOUSE", 52, 95)]
    assert verify(ledger).findings == []


def test_what_is_low_already_is_told_at_once(ledger: Ledger) -> None:
    thresholds.set_thresholds(ledger, "LAPTOP", reorder_point=10, safety_stock=2)
    assert told_low(ledger) == [10]
    assert thresholds.low(ledger)[0].safety_stock == 2
    # Nothing new is nothing.
    assert thresholds.set_thresholds(ledger, "LAPTOP", reorder_point=10).seq == 0
    thresholds.set_thresholds(ledger, "LAPTOP", reorder_point=0)
    assert thresholds.low(ledger) == []
    assert told_low(ledger) == [10]


def test_a_reservation_that_is_due_does_not_make_an_item_low(ledger: Ledger, clock: ManualClock) -> None:
    thresholds.set_thresholds(ledger, "LAPTOP", reorder_point=5)
    reservations.reserve(ledger, {"LAPTOP": 6}, hold_s=60)
    assert [row.available for row in thresholds.low(ledger)] == [4]
    clock.advance(61)
    assert thresholds.low(ledger) == []


def test_what_has_no_sense_is_refused(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError):
        thresholds.set_thresholds(ledger, "NOBODY", reorder_point=1)
    with pytest.raises(InvalidValueError):
        thresholds.set_thresholds(ledger, "MOUSE", reorder_point=-1)
    with pytest.raises(InvalidValueError):
        thresholds.set_thresholds(ledger, "MOUSE")


def test_the_stock_of_a_moment_is_as_the_events_up_to_then_left_it(ledger: Ledger, clock: ManualClock) -> None:
    clock.advance(10)
    before_us = clock.now_us()
    clock.advance(10)
    reservations.reserve(ledger, {"MOUSE": 4})
    held_us = clock.now_us()
    clock.advance(10)
    reservations.sell(ledger, {"MOUSE": 1})
    assert [(row.on_hand, row.reserved) for row in reads.stock_at(ledger, before_us, "MOUSE")] == [(100, 0)]
    assert [(row.on_hand, row.reserved) for row in reads.stock_at(ledger, held_us, "MOUSE")] == [(100, 4)]
    assert [(row.on_hand, row.reserved) for row in reads.stock_at(ledger, clock.now_us(), "MOUSE")] == [(99, 4)]
    assert reads.stock_at(ledger, 0) == []
    with pytest.raises(NotFoundError):
        reads.stock_at(ledger, held_us, "NOBODY")


def test_verify_sees_a_threshold_that_no_event_set(ledger: Ledger) -> None:
    ledger.connection.execute("INSERT INTO thresholds VALUES ('MOUSE', 5, 0)")
    assert any("thresholds of MOUSE" in each for each in verify(ledger).findings)
    ledger.connection.execute("DELETE FROM thresholds")

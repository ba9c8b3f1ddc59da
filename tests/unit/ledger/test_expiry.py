from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from invctl.clock import ManualClock, format_time, parse_time
from invctl.errors import InventoryError, NotEnoughStockError, NotFoundError, WrongStateError
from invctl.ledger import adjustments, products, reads, reservations
from invctl.ledger.writing import Origin
from tests.unit.ledger.support import HOLD_S, head, hold, level, tables, types, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from invctl.ledger.ledger import Ledger

pytestmark = pytest.mark.business

ALMOST_S = HOLD_S - 0.000_001
INSTANT_S = 0.000_001


def shown(ledger: Ledger, sku: str) -> tuple[int, int, int]:
    """Return what a read shows: on hand, reserved, available."""
    ((_, _, _, on_hand, reserved, available, _),), _ = reads.stock(ledger, sku)
    return on_hand, reserved, available


def test_it_is_never_early(ledger: Ledger, clock: ManualClock) -> None:
    key = hold(ledger, LAPTOP=10)
    clock.advance(ALMOST_S)
    assert not reservations.any_due(ledger)
    assert reservations.expire(ledger) == 0
    assert shown(ledger, "LAPTOP") == (10, 10, 0)
    with pytest.raises(NotEnoughStockError):
        hold(ledger, LAPTOP=1)
    assert reads.reservation(ledger, key).status == "pending"
    reservations.confirm(ledger, key)


def test_a_read_stops_counting_it_the_moment_it_is_due_and_writes_nothing(ledger: Ledger, clock: ManualClock) -> None:
    key = hold(ledger, LAPTOP=4, MOUSE=1)
    other = hold(ledger, LAPTOP=2, hold_s=HOLD_S + 1)
    clock.advance(HOLD_S)
    before = tables(ledger)
    assert shown(ledger, "LAPTOP") == (10, 2, 8)
    assert shown(ledger, "MOUSE") == (100, 0, 100)
    held = reads.reservation(ledger, key)
    assert (held.status, held.ended_at) == ("expired", held.expires_at)
    assert all((line.confirmed, line.released) == (0, line.quantity) for line in held.lines)
    assert [entry.reservation for entry in reads.reservations(ledger)] == [other]
    assert [entry.reservation for entry in reads.reservations(ledger, status="expired")] == [key]
    assert reads.status(ledger).open_reservations == 1
    assert reservations.any_due(ledger)
    assert tables(ledger) == before


def test_a_write_records_it_first_in_an_event_of_its_own(ledger: Ledger, clock: ManualClock) -> None:
    key = hold(ledger, LAPTOP=10, order="A-1", origin=Origin("ann", "r-1"))
    clock.advance(HOLD_S)
    before = head(ledger)
    hold(ledger, LAPTOP=10)
    assert types(ledger, before) == ["reservation.expired", "reservation.created"]
    expired = written(ledger, before)[0]
    assert (expired.subject, expired.data["order"]) == (key, "A-1")
    assert expired.request_id == ""
    assert parse_time(expired.time) == clock.now_us()
    assert [(line["quantity"], line["confirmed"], line["released"]) for line in expired.data["lines"]] == [(10, 0, 10)]
    assert level(ledger, "LAPTOP") == (10, 10, 4)


def test_what_is_due_expires_the_longest_due_first(ledger: Ledger, clock: ManualClock) -> None:
    keys = [hold(ledger, LAPTOP=1, hold_s=hold_s) for hold_s in (30, 10, 20)]
    clock.advance(30)
    before = head(ledger)
    hold(ledger, LAPTOP=1)
    assert [event.subject for event in written(ledger, before)[:3]] == [keys[1], keys[2], keys[0]]


def test_one_that_holds_several_of_the_skus_expires_once(ledger: Ledger, clock: ManualClock) -> None:
    hold(ledger, LAPTOP=1, MOUSE=1)
    clock.advance(HOLD_S)
    before = head(ledger)
    hold(ledger, LAPTOP=1, MOUSE=1)
    assert types(ledger, before) == ["reservation.expired", "reservation.created"]


def test_a_write_leaves_alone_what_is_due_for_other_skus(ledger: Ledger, clock: ManualClock) -> None:
    hold(ledger, MOUSE=1)
    clock.advance(HOLD_S)
    before = head(ledger)
    hold(ledger, LAPTOP=1)
    assert types(ledger, before) == ["reservation.created"]


REFUSED: list[tuple[type[InventoryError], Callable[[Ledger], Any]]] = [
    (NotEnoughStockError, lambda ledger: hold(ledger, LAPTOP=11)),
    (NotEnoughStockError, lambda ledger: adjustments.adjust(ledger, {"LAPTOP": -11}, "damaged")),
    (NotFoundError, lambda ledger: reservations.reserve(ledger, {"LAPTOP": 1, "PHONE": 1})),
]


@pytest.mark.parametrize(("error", "operation"), REFUSED)
def test_it_stays_recorded_where_the_operation_is_then_refused(
    ledger: Ledger, clock: ManualClock, error: type[InventoryError], operation: Callable[[Ledger], Any]
) -> None:
    key = hold(ledger, LAPTOP=10)
    clock.advance(HOLD_S)
    before = head(ledger)
    with pytest.raises(error):
        operation(ledger)
    assert types(ledger, before) == ["reservation.expired"]
    assert reads.story(ledger, key)[-1].event == "reservation.expired"
    assert level(ledger, "LAPTOP") == (10, 0, 3)


@pytest.mark.parametrize("operation", [reservations.confirm, reservations.cancel, reservations.extend])
def test_an_expired_one_never_ends_otherwise_and_the_attempt_records_it(
    ledger: Ledger, clock: ManualClock, operation: Callable[[Ledger, str], Any]
) -> None:
    key = hold(ledger, LAPTOP=10)
    due = format_time(clock.now_us() + HOLD_S * 1_000_000)
    clock.advance(HOLD_S)
    before = head(ledger)
    with pytest.raises(WrongStateError, match=f"{key} expired at {due[:19]}Z") as caught:
        operation(ledger, key)
    assert caught.value.details == {"reservation": key, "status": "expired", "ended_at": due}
    assert types(ledger, before) == ["reservation.expired"]
    clock.advance(90)
    with pytest.raises(WrongStateError) as again:
        operation(ledger, key)
    assert (again.value.message, again.value.hint, again.value.details) == (
        caught.value.message,
        caught.value.hint,
        caught.value.details,
    )
    assert types(ledger, before) == ["reservation.expired"]


def test_it_is_told_as_of_when_it_was_due_and_by_nobody_swept_or_not(ledger: Ledger, clock: ManualClock) -> None:
    key = hold(ledger, LAPTOP=4, MOUSE=1, origin=Origin("ann"))
    due = format_time(clock.now_us() + HOLD_S * 1_000_000)
    clock.advance(HOLD_S + 90)
    unswept = reads.reservation(ledger, key)
    assert (unswept.status, unswept.ended_at) == ("expired", due)
    assert reservations.expire(ledger) == 1
    swept = reads.reservation(ledger, key)
    # Only its last event is another.
    assert swept._replace(seq=unswept.seq) == unswept
    assert reads.reservations(ledger, status="expired") == [swept]
    rows = [row for row in reads.history(ledger) if row.event == "reservation.expired"]
    assert rows == reads.story(ledger, key)[-2:]
    assert {(row.time, row.clerk) for row in rows} == {(due, None)}
    # What is stored is when it was written down, in the event and in the row.
    assert parse_time(written(ledger)[-1].time) == clock.now_us()


def test_sweeping_records_the_longest_due_first_and_so_many_at_most(ledger: Ledger, clock: ManualClock) -> None:
    keys = [hold(ledger, MOUSE=1, hold_s=hold_s) for hold_s in (50, 10, 40, 20, 30)]
    clock.advance(50)
    before = head(ledger)
    assert reservations.expire(ledger, 2) == 2
    assert [event.subject for event in written(ledger, before)] == [keys[1], keys[3]]
    assert reservations.expire(ledger, 100) == 3
    assert reservations.expire(ledger, 100) == 0
    assert types(ledger, before) == ["reservation.expired"] * 5
    assert level(ledger, "MOUSE")[:2] == (100, 0)


def test_a_clock_that_runs_back_takes_no_time_away(ledger: Ledger, clock: ManualClock) -> None:
    key = hold(ledger, LAPTOP=10)
    clock.advance(HOLD_S - 1)
    products.edit(ledger, "MOUSE", {"name": "Seen at 29:59"})
    seen_us = ledger.now_us()
    clock.shift_wall(-3600)
    assert ledger.now_us() == seen_us
    reservations.extend(ledger, key, 10)
    assert parse_time(written(ledger)[-1].time) == seen_us
    assert parse_time(reads.reservation(ledger, key).expires_at) == seen_us + 10_000_000
    # The machine's clock has to come by the ledger's time before time goes on.
    clock.advance(3600)
    assert reads.reservation(ledger, key).status == "pending"
    clock.advance(10)
    assert reads.reservation(ledger, key).status == "expired"


def test_what_was_due_by_the_ledgers_time_stays_due_when_the_clock_runs_back(
    ledger: Ledger, clock: ManualClock
) -> None:
    key = hold(ledger, LAPTOP=10)
    clock.advance(HOLD_S)
    products.edit(ledger, "MOUSE", {"name": "Seen at 30:00"})
    clock.shift_wall(-3600)
    assert shown(ledger, "LAPTOP") == (10, 0, 10)
    assert reservations.any_due(ledger)
    assert reservations.expire(ledger) == 1
    with pytest.raises(WrongStateError, match="expired"):
        reservations.confirm(ledger, key)


def test_a_clock_an_hour_ahead_expires_what_is_due_by_it(ledger: Ledger, clock: ManualClock) -> None:
    key = hold(ledger, LAPTOP=10)
    clock.shift_wall(3600)
    with pytest.raises(WrongStateError):
        reservations.confirm(ledger, key)
    clock.shift_wall(-3600)
    hold(ledger, LAPTOP=10)
    times = [event.time for event in written(ledger)]
    assert times == sorted(times)


def test_the_last_instant_still_confirms(ledger: Ledger, clock: ManualClock) -> None:
    key = hold(ledger, LAPTOP=10)
    clock.advance(ALMOST_S)
    reservations.confirm(ledger, key)
    clock.advance(INSTANT_S)
    assert reservations.expire(ledger) == 0
    assert level(ledger, "LAPTOP")[:2] == (0, 0)

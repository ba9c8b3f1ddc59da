from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from invctl.errors import (
    BusyError,
    InvalidValueError,
    InventoryError,
    NotEnoughStockError,
    NotFoundError,
    RefusedError,
    RequestReusedError,
    WrongStateError,
)
from invctl.ledger import adjustments, products, requests, reservations
from invctl.ledger.ledger import Ledger
from invctl.ledger.writing import Origin
from tests.unit.ledger.support import HOLD_S, head, hold, key_of, level, tables, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from invctl.clock import ManualClock
    from invctl.ledger.writing import Receipt

pytestmark = pytest.mark.business

DAY_S = 24 * 3600
ONCE = Origin(clerk="ann", request_id="till-3:0001")

OPERATIONS: dict[str, Callable[[Ledger, str, Origin], Receipt]] = {
    "reserve": lambda ledger, _, origin: reservations.reserve(ledger, {"MOUSE": 2}, order="A-1", origin=origin),
    "confirm": lambda ledger, key, origin: reservations.confirm(ledger, key, origin=origin),
    "confirm a part": lambda ledger, key, origin: reservations.confirm(ledger, key, {"LAPTOP": 1}, origin=origin),
    "cancel": lambda ledger, key, origin: reservations.cancel(ledger, key, origin=origin),
    "extend": lambda ledger, key, origin: reservations.extend(ledger, key, 60, origin=origin),
    "adjust": lambda ledger, _, origin: adjustments.adjust(ledger, {"MOUSE": 5}, "received", origin=origin),
    "add": lambda ledger, _, origin: products.add(ledger, "PHONE", "Phone", 100, origin),
    "edit": lambda ledger, _, origin: products.edit(ledger, "MOUSE", {"price": 100}, origin),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_same_request_again_gives_the_first_outcome_again(
    ledger: Ledger, clock: ManualClock, operation: str
) -> None:
    key = hold(ledger, LAPTOP=2)
    first = OPERATIONS[operation](ledger, key, ONCE)
    after = tables(ledger)
    clock.advance(5)
    again = OPERATIONS[operation](ledger, key, ONCE._replace(clerk="bob"))
    assert (again.seq, again.body) == (first.seq, first.body)
    assert (first.replayed, again.replayed) == (False, True)
    assert tables(ledger) == after


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_event_bears_the_id_and_the_fingerprint(ledger: Ledger, operation: str) -> None:
    event = OPERATIONS[operation](ledger, hold(ledger, LAPTOP=2), ONCE).event
    assert event.request_id == ONCE.request_id
    ((fingerprint, seq),) = ledger.rows("SELECT fingerprint, seq FROM requests")
    assert event.request_hash == fingerprint
    assert seq == head(ledger)


@pytest.mark.parametrize(("first", "second"), [*permutations(OPERATIONS, 2)])
def test_another_request_under_the_same_id_is_refused(ledger: Ledger, first: str, second: str) -> None:
    key = hold(ledger, LAPTOP=2)
    OPERATIONS[first](ledger, key, ONCE)
    after = tables(ledger)
    with pytest.raises(RequestReusedError) as caught:
        OPERATIONS[second](ledger, key, ONCE)
    assert caught.value.details == {"request_id": ONCE.request_id}
    assert tables(ledger) == after


VARIANTS: list[Callable[[Ledger], Any]] = [
    lambda ledger: reservations.reserve(ledger, {"MOUSE": 3}, order="A-1", origin=ONCE),
    lambda ledger: reservations.reserve(ledger, {"LAPTOP": 2}, order="A-1", origin=ONCE),
    lambda ledger: reservations.reserve(ledger, {"MOUSE": 2, "LAPTOP": 1}, order="A-1", origin=ONCE),
    lambda ledger: reservations.reserve(ledger, {"MOUSE": 2}, order="A-2", origin=ONCE),
    lambda ledger: reservations.reserve(ledger, {"MOUSE": 2}, order="A-1", hold_s=60, origin=ONCE),
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_request_that_differs_in_any_argument_is_another(ledger: Ledger, variant: Callable[[Ledger], Any]) -> None:
    reservations.reserve(ledger, {"MOUSE": 2}, order="A-1", origin=ONCE)
    with pytest.raises(RequestReusedError):
        variant(ledger)


def test_the_order_of_the_lines_makes_no_other_request(ledger: Ledger) -> None:
    first = reservations.reserve(ledger, {"MOUSE": 1, "LAPTOP": 2}, origin=ONCE)
    assert reservations.reserve(ledger, {"LAPTOP": 2, "MOUSE": 1}, origin=ONCE) == first._replace(replayed=True)
    other = ONCE._replace(request_id="other")
    adjusted = adjustments.adjust(ledger, {"MOUSE": 1, "LAPTOP": 2}, "restock", origin=other)
    again = adjustments.adjust(ledger, {"LAPTOP": 2, "MOUSE": 1}, "restock", origin=other)
    assert again == adjusted._replace(replayed=True)


REFUSALS: list[tuple[type[InventoryError], Callable[[Ledger], Any]]] = [
    (NotEnoughStockError, lambda ledger: reservations.reserve(ledger, {"LAPTOP": 11}, origin=ONCE)),
    (NotFoundError, lambda ledger: reservations.reserve(ledger, {"PHONE": 1}, origin=ONCE)),
    (NotFoundError, lambda ledger: reservations.cancel(ledger, "R-ZZZZZZ", origin=ONCE)),
    (WrongStateError, lambda ledger: products.add(ledger, "MOUSE", "Mouse", origin=ONCE)),
]


@pytest.mark.parametrize(("error", "operation"), REFUSALS)
def test_a_refusal_is_the_same_again_even_when_it_would_now_be_granted(
    ledger: Ledger, error: type[InventoryError], operation: Callable[[Ledger], Any]
) -> None:
    with pytest.raises(error) as first:
        operation(ledger)
    adjustments.adjust(ledger, {"LAPTOP": 100}, "received")
    products.add(ledger, "PHONE", "Phone")
    after = tables(ledger)
    with pytest.raises(error) as again:
        operation(ledger)
    assert type(again.value) is type(first.value)
    assert again.value.message == first.value.message
    assert again.value.hint == first.value.hint
    assert "replayed" not in first.value.details
    assert again.value.details == {**first.value.details, "replayed": True}
    assert tables(ledger) == after


def test_the_refusal_of_an_expired_reservation_is_remembered_with_the_expiry(
    ledger: Ledger, clock: ManualClock
) -> None:
    key = hold(ledger, LAPTOP=1)
    clock.advance(HOLD_S)
    with pytest.raises(WrongStateError, match="expired at") as first:
        reservations.confirm(ledger, key, origin=ONCE)
    assert written(ledger)[-1].type.endswith("expired")
    with pytest.raises(WrongStateError) as again:
        reservations.confirm(ledger, key, origin=ONCE)
    assert again.value.message == first.value.message


def test_another_request_under_the_id_of_a_refusal_is_refused(ledger: Ledger) -> None:
    with pytest.raises(NotEnoughStockError):
        reservations.reserve(ledger, {"LAPTOP": 11}, origin=ONCE)
    with pytest.raises(RequestReusedError):
        reservations.reserve(ledger, {"LAPTOP": 10}, origin=ONCE)


def test_busy_is_never_remembered(ledger: Ledger) -> None:
    with (
        Ledger.open(ledger.home, clock=ledger.clock, queue_timeout_s=0.01) as hurried,
        ledger.write(),
        pytest.raises(BusyError),
    ):
        reservations.reserve(hurried, {"MOUSE": 1}, origin=ONCE)
    assert not reservations.reserve(ledger, {"MOUSE": 1}, origin=ONCE).replayed


def test_what_was_no_request_at_all_is_never_remembered(ledger: Ledger) -> None:
    key = hold(ledger, LAPTOP=1)
    with pytest.raises(InvalidValueError):
        reservations.confirm(ledger, key, {"LAPTOP": 2}, origin=ONCE)
    with pytest.raises(RefusedError):
        reservations.reserve(ledger, dict.fromkeys(map(str, range(400)), 1), origin=ONCE)
    assert ledger.rows("SELECT * FROM requests") == []
    reservations.confirm(ledger, key, origin=ONCE)


def test_an_edit_that_changed_nothing_may_be_asked_again(ledger: Ledger) -> None:
    assert products.edit(ledger, "MOUSE", {"price": None}, ONCE).seq == 0
    products.edit(ledger, "MOUSE", {"price": 5})
    assert products.edit(ledger, "MOUSE", {"price": None}, ONCE).seq == head(ledger)


def test_an_id_is_kept_for_thirty_days(ledger: Ledger, clock: ManualClock) -> None:
    first = reservations.reserve(ledger, {"MOUSE": 1}, hold_s=40 * DAY_S, origin=ONCE)
    clock.advance(30 * DAY_S - 0.000_001)
    assert reservations.reserve(ledger, {"MOUSE": 1}, hold_s=40 * DAY_S, origin=ONCE).seq == first.seq
    clock.advance(0.000_001)
    other = reservations.reserve(ledger, {"LAPTOP": 1}, origin=ONCE)
    assert not other.replayed
    assert other.seq > first.seq
    assert ledger.rows("SELECT id, seq FROM requests") == [(ONCE.request_id, other.seq)]


def test_a_refusal_is_kept_for_thirty_days(ledger: Ledger, clock: ManualClock) -> None:
    with pytest.raises(NotEnoughStockError):
        reservations.reserve(ledger, {"CABLE": 1}, origin=ONCE)
    adjustments.adjust(ledger, {"CABLE": 1}, "received")
    clock.advance(30 * DAY_S)
    key_of(reservations.reserve(ledger, {"CABLE": 1}, origin=ONCE))
    assert level(ledger, "CABLE")[:2] == (1, 1)


def test_the_table_holds_no_more_than_thirty_days_of_requests(ledger: Ledger, clock: ManualClock) -> None:
    for number in range(25):
        products.edit(ledger, "MOUSE", {"price": number}, Origin(request_id=f"old-{number}"))
    clock.advance(30 * DAY_S)
    counts = []
    for number in range(4):
        products.edit(ledger, "MOUSE", {"price": 100 + number}, Origin(request_id=f"new-{number}"))
        counts.append(ledger.row("SELECT count(*) FROM requests")[0])
    assert requests.FORGOTTEN_AT_ONCE == 10
    assert counts == [16, 7, 3, 4]


def test_who_gives_no_id_is_served_each_time(ledger: Ledger) -> None:
    assert hold(ledger, MOUSE=1) != hold(ledger, MOUSE=1)
    assert ledger.rows("SELECT * FROM requests") == []
    assert written(ledger)[-1].request_hash == ""

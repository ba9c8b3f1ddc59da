"""Sold over the counter, brought back, and undone: by events, each with its story."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from invctl.errors import NotEnoughStockError, WrongStateError
from invctl.ledger import adjustments, barcodes, products, reads, reservations, undoing
from invctl.ledger.verify import verify
from invctl.ledger.writing import Origin
from invctl.model import events

if TYPE_CHECKING:
    from invctl.ledger.ledger import Ledger

pytestmark = pytest.mark.business


@pytest.fixture
def store(ledger: Ledger) -> Ledger:
    for sku in ("MOUSE-001", "LAPTOP-001"):
        products.add(ledger, sku, sku.title())
        adjustments.adjust(ledger, {sku: 10}, "received")
    return ledger


def level(ledger: Ledger, sku: str = "MOUSE-001") -> tuple[int, int]:
    return tuple(ledger.row("SELECT on_hand, reserved FROM stock WHERE sku = ?", (sku,)))


def test_a_sale_is_a_reservation_that_ended_at_once(store: Ledger) -> None:
    receipt = reservations.sell(store, {"MOUSE-001": 2, "LAPTOP-001": 1}, order="A-17", origin=Origin("ann"))
    sold = reads.reservation(store, receipt.event.subject)
    assert (sold.status, sold.order, sold.clerk) == ("confirmed", "A-17", "ann")
    assert [(entry.sku, entry.confirmed) for entry in sold.lines] == [("LAPTOP-001", 1), ("MOUSE-001", 2)]
    assert level(store) == (8, 0)
    assert next(row.event for row in reads.story(store, sold.reservation)) == "reservation.created"
    assert verify(store).findings == []


def test_of_a_sale_all_lines_or_none(store: Ledger) -> None:
    head = store.row("SELECT max(seq) FROM events")[0]
    with pytest.raises(NotEnoughStockError):
        reservations.sell(store, {"MOUSE-001": 2, "LAPTOP-001": 11})
    assert level(store) == (10, 0)
    assert store.row("SELECT max(seq) FROM events")[0] == head


def test_the_same_request_sells_once(store: Ledger) -> None:
    first = reservations.sell(store, {"MOUSE-001": 2}, origin=Origin(request_id="r1"))
    again = reservations.sell(store, {"MOUSE-001": 2}, origin=Origin(request_id="r1"))
    assert (again.seq, again.replayed) == (first.seq, True)
    assert level(store) == (8, 0)
    assert verify(store).findings == []


def test_what_comes_back_is_in_stock_with_its_paper(store: Ledger) -> None:
    receipt = adjustments.adjust(store, {"MOUSE-001": 1}, "returned", note="wrong colour", document="R-1")
    data = receipt.event.data
    assert (data["reason"], data["note"], data["document"]) == ("returned", "wrong colour", "R-1")
    assert level(store) == (11, 0)


class TestUndo:
    def test_what_was_reserved_is_released(self, store: Ledger) -> None:
        opened = reservations.reserve(store, {"MOUSE-001": 3})
        done = undoing.undo(store, origin=Origin("ann"))
        assert done.seq == opened.seq
        assert level(store) == (10, 0)
        assert reads.reservation(store, opened.event.subject).status == "cancelled"

    def test_what_was_sold_comes_back(self, store: Ledger) -> None:
        sold = reservations.sell(store, {"MOUSE-001": 3})
        done = undoing.undo(store)
        assert done.seq == sold.seq
        assert level(store) == (10, 0)
        data = done.receipt.event.data
        assert (data["reason"], data["document"], data["undoes"]) == ("correction", sold.event.subject, sold.event.id)

    def test_what_was_adjusted_is_taken_back_and_then_what_was_before_that(self, store: Ledger) -> None:
        adjustments.adjust(store, {"MOUSE-001": 5}, "received")
        adjustments.adjust(store, {"MOUSE-001": -1}, "damaged")
        undoing.undo(store)
        assert level(store) == (15, 0)
        undoing.undo(store)
        assert level(store) == (10, 0)
        assert verify(store).findings == []

    def test_a_barcode_stands_for_nothing_again(self, store: Ledger) -> None:
        barcodes.assign(store, "MOUSE-001", "ABC-123")
        undoing.undo(store)
        assert barcodes.meant(store, "ABC-123") == "ABC-123"
        assert verify(store).findings == []

    def test_a_clerk_undoes_what_that_clerk_did(self, store: Ledger) -> None:
        mine = reservations.reserve(store, {"MOUSE-001": 1}, origin=Origin("ann"))
        reservations.reserve(store, {"MOUSE-001": 2}, origin=Origin("ben"))
        assert undoing.undo(store, clerk="ann", origin=Origin("ann")).seq == mine.seq
        assert level(store) == (10, 2)
        with pytest.raises(WrongStateError, match="nothing to undo of ann"):
            undoing.undo(store, clerk="ann")

    def test_what_came_in_and_is_promised_already_stays(self, store: Ledger) -> None:
        adjustments.adjust(store, {"MOUSE-001": 5}, "received", origin=Origin("ann"))
        reservations.reserve(store, {"MOUSE-001": 12}, origin=Origin("ben"))
        with pytest.raises(NotEnoughStockError):
            undoing.undo(store, clerk="ann")
        assert level(store) == (15, 12)

    def test_what_is_not_undone_by_itself_says_what_to_do(self, store: Ledger) -> None:
        products.edit(store, "MOUSE-001", {"name": "Rat"})
        with pytest.raises(WrongStateError, match=r"product\.edited") as told:
            undoing.undo(store)
        assert "product edit" in str(told.value.hint)

    def test_a_count_is_not_undone(self, store: Ledger) -> None:
        adjustments.adjust(store, {"MOUSE-001": -1}, "cycle_count")
        with pytest.raises(WrongStateError, match="count"):
            undoing.undo(store)

    def test_a_reservation_that_ended_by_itself_is_passed_over(self, store: Ledger) -> None:
        received = adjustments.adjust(store, {"LAPTOP-001": 1}, "received")
        opened = reservations.reserve(store, {"MOUSE-001": 3}, hold_s=60)
        store.clock.advance(61)  # type: ignore[attr-defined] # the fixture's clock is set by hand
        assert undoing.undo(store).seq == received.seq
        assert reads.reservation(store, opened.event.subject).status == "expired"


def test_no_other_type_is_undone_unseen() -> None:
    """Whoever adds a type of event decides whether it is undone."""
    every = {value for name, value in vars(events).items() if name.isupper() and str(value).startswith("inventory.")}
    every -= {value for value in every if value.endswith(".")}
    known = {
        *(events.STOCK_ADJUSTED, events.RESERVATION_CREATED, events.RESERVATION_CONFIRMED, events.BARCODE_ASSIGNED),
        *undoing._BY_HAND,
        *undoing._BY_THEMSELVES,
        events.STOCK_DISCREPANCY,
    }
    assert {value for value in every if not value.startswith(events.LEDGER_PREFIX)} == known

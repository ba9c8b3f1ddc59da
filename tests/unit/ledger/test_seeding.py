from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from invctl.errors import InvalidValueError, WrongStateError
from invctl.ledger import adjustments, products, reads, reservations, seeding
from invctl.ledger.ledger import Ledger
from invctl.ledger.seeding import Changed, SeedProduct
from invctl.ledger.writing import Origin
from invctl.model.stock import QUANTITY_MAX
from tests.unit.ledger.support import (
    HOLD_S,
    assert_sound,
    head,
    hold,
    level,
    new_ledger,
    pile_up,
    tables,
    types,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from invctl.clock import ManualClock

pytestmark = pytest.mark.business

FIVE = [
    SeedProduct("LAPTOP", "Laptop", 129900, 12),
    SeedProduct("MOUSE", "Wireless mouse", 8000, 100),
    SeedProduct("CABLE", "Cable", None, 0),
]
NOTHING = Changed(0, 0, 0)


@pytest.fixture
def empty(tmp_path: Path, clock: ManualClock) -> Iterator[Ledger]:
    with new_ledger(tmp_path / "empty", clock) as ledger:
        yield ledger
        assert_sound(ledger)


def trade(ledger: Ledger) -> None:
    key = hold(ledger, MOUSE=10)
    reservations.confirm(ledger, key)
    hold(ledger, LAPTOP=2)


def test_a_seeded_store_carries_what_was_asked_for(empty: Ledger) -> None:
    assert seeding.seed(empty, FIVE, Origin(clerk="seed")) == Changed(3, 2, 0)
    assert [(row.sku, row.name, row.price, row.on_hand) for row in reads.stock(empty)[0]] == sorted(FIVE)
    assert types(empty, 1) == ["product.added"] * 3 + ["stock.adjusted"]
    assert written(empty)[-1].data["reason"] == "seed"


def test_seeding_twice_equals_once(empty: Ledger) -> None:
    seeding.seed(empty, FIVE)
    before = tables(empty)
    assert seeding.seed(empty, FIVE) == NOTHING
    assert tables(empty) == before


def test_another_seed_of_a_store_that_has_not_traded_sets_the_new_quantities(empty: Ledger) -> None:
    seeding.seed(empty, FIVE)
    products.add(empty, "PHONE", "Phone")
    products.edit(empty, "MOUSE", {"name": "Mouse"})
    assert seeding.seed(empty, [SeedProduct("MOUSE", "Wireless mouse", 8000, 40)]) == Changed(0, 1, 0)
    assert level(empty, "MOUSE") == (40, 0, 2)
    assert reads.stock(empty, "MOUSE")[0][0].name == "Mouse"


TRADES: list[Callable[[Ledger], object]] = [
    lambda ledger: hold(ledger, MOUSE=1),
    lambda ledger: reservations.cancel(ledger, hold(ledger, MOUSE=1)),
    lambda ledger: adjustments.adjust(ledger, {"MOUSE": 1}, "received"),
    lambda ledger: adjustments.adjust(ledger, {"MOUSE": -1}, "cycle_count"),
]


@pytest.mark.parametrize("operation", TRADES)
def test_a_store_that_has_traded_is_left_alone(empty: Ledger, operation: Callable[[Ledger], object]) -> None:
    seeding.seed(empty, FIVE)
    operation(empty)
    before = tables(empty)
    with pytest.raises(WrongStateError, match="store downtown has traded") as caught:
        seeding.seed(empty, FIVE)
    assert "reset" in caught.value.hint
    assert tables(empty) == before


def test_a_reset_cancels_what_is_open_and_leaves_nothing_on_hand(empty: Ledger) -> None:
    seeding.seed(empty, FIVE)
    trade(empty)
    before = head(empty)
    assert seeding.reset(empty, Origin(clerk="ann")) == Changed(0, 2, 1)
    assert types(empty, before) == ["reservation.cancelled", "stock.adjusted"]
    cancelled, adjusted = written(empty, before)
    assert (cancelled.data["reason"], cancelled.data["clerk"]) == ("reset", "ann")
    assert (adjusted.data["reason"], adjusted.data["clerk"]) == ("reset", "ann")
    assert all((row.on_hand, row.reserved) == (0, 0) for row in reads.stock(empty)[0])
    assert reads.reservations(empty) == []


def test_resetting_twice_equals_once(empty: Ledger) -> None:
    seeding.seed(empty, FIVE)
    trade(empty)
    seeding.reset(empty)
    before = tables(empty)
    assert seeding.reset(empty) == NOTHING
    assert tables(empty) == before


def test_a_reset_store_can_be_seeded(empty: Ledger) -> None:
    for _ in range(2):
        seeding.seed(empty, FIVE)
        trade(empty)
        seeding.reset(empty)
    assert seeding.seed(empty, FIVE) == Changed(0, 2, 0)
    assert level(empty, "MOUSE")[:2] == (100, 0)


def test_a_store_that_sold_everything_can_be_reset_and_seeded(empty: Ledger) -> None:
    seeding.seed(empty, FIVE)
    reservations.confirm(empty, hold(empty, MOUSE=100, LAPTOP=12))
    before = head(empty)
    assert seeding.reset(empty) == NOTHING
    assert [event.data for event in written(empty, before)] == [{"reason": "reset"}]
    assert seeding.reset(empty) == NOTHING
    assert head(empty) == before + 1
    assert seeding.seed(empty, FIVE).levels == 2


def test_a_reset_of_a_store_that_has_not_traded_leaves_no_trace(empty: Ledger) -> None:
    before = tables(empty)
    assert seeding.reset(empty) == NOTHING
    assert tables(empty) == before


def test_what_is_due_at_a_reset_expired_and_was_not_cancelled(empty: Ledger, clock: ManualClock) -> None:
    seeding.seed(empty, FIVE)
    due = hold(empty, MOUSE=1)
    live = hold(empty, hold_s=2 * HOLD_S, MOUSE=1)
    clock.advance(HOLD_S)
    assert seeding.reset(empty).reservations == 1
    assert reads.reservation(empty, due).status == "expired"
    assert reads.reservation(empty, live).status == "cancelled"


def test_a_dry_run_tells_and_writes_nothing(empty: Ledger) -> None:
    seeding.seed(empty, FIVE)
    trade(empty)
    before = tables(empty)
    told = seeding.reset(empty, dry_run=True)
    assert tables(empty) == before
    assert told == seeding.reset(empty) == Changed(0, 2, 1)


def test_a_large_seed_is_split_into_events_that_fit_and_still_is_one_transaction(empty: Ledger) -> None:
    many = [SeedProduct(f"{number:03d}".ljust(64, "X"), "Product", 1, 1 + number % 3) for number in range(400)]
    assert seeding.seed(empty, many) == Changed(400, 400, 0)
    adjusted = [event for event in written(empty) if event.data.get("reason") == "seed"]
    assert len(adjusted) > 1
    assert sum(len(event.lines) for event in adjusted) == 400
    assert seeding.reset(empty).levels == 400


def test_the_largest_stock_can_be_reset(empty: Ledger) -> None:
    products.add(empty, "MOUSE", "Mouse")
    pile_up(empty, "MOUSE")
    seeding.reset(empty)
    assert level(empty, "MOUSE")[:2] == (0, 0)


@pytest.mark.parametrize(
    "product",
    [
        SeedProduct("mouse-002", "Mouse", 1, 1),
        SeedProduct("MOUSE 2", "Mouse", 1, 1),
        SeedProduct("MOUSE-002", "", 1, 1),
        SeedProduct("MOUSE-002", "Mouse", -1, 1),
        SeedProduct("MOUSE-002", "Mouse", 1, -1),
        SeedProduct("MOUSE-002", "Mouse", 1, QUANTITY_MAX + 1),
        SeedProduct("CABLE", "Cable again", 1, 1),
    ],
)
def test_a_seed_with_one_value_out_of_range_writes_nothing(empty: Ledger, product: SeedProduct) -> None:
    before = tables(empty)
    with pytest.raises(InvalidValueError):
        seeding.seed(empty, [*FIVE, product])
    assert tables(empty) == before


def test_who_seeds_and_resets_is_looked_at_like_anybody(empty: Ledger) -> None:
    for origin in (Origin(clerk="a\0b"), Origin(trace="x"), Origin(request_id="a b")):
        with pytest.raises(InvalidValueError):
            seeding.seed(empty, FIVE, origin)
        with pytest.raises(InvalidValueError):
            seeding.reset(empty, origin)
        with pytest.raises(InvalidValueError):
            Ledger.create(empty.home / "other", "other", origin=origin)

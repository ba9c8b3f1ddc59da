from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from invctl.errors import InvalidValueError, NotEnoughStockError, NotFoundError, RefusedError
from invctl.ledger import adjustments, products
from invctl.ledger.writing import Origin
from invctl.model import events
from invctl.model.stock import LEVEL_MAX, QUANTITY_MAX
from tests.unit.ledger.support import head, hold, level, pile_up, tables, types

if TYPE_CHECKING:
    from invctl.ledger.ledger import Ledger

pytestmark = pytest.mark.business

# What a clerk may give as a reason, and the signs that go with it.
SIGNS = {
    "received": (1,),
    "correction": (1, -1),
    "cycle_count": (1, -1),
    "damaged": (-1,),
    "shrinkage": (-1,),
    "restock": (1,),
    "returned": (1,),
    "promotion": (1, -1),
    "transfer_out": (-1,),
    "transfer_in": (1,),
}


def test_every_reason_but_those_of_seed_and_reset_is_a_clerks() -> None:
    assert {*SIGNS, "seed", "reset"} == set(events.REASONS)
    assert set(SIGNS) == set(adjustments.REASONS)


@pytest.mark.parametrize(("reason", "sign"), [(reason, sign) for reason, signs in SIGNS.items() for sign in signs])
def test_stock_comes_and_goes_for_a_reason(ledger: Ledger, reason: str, sign: int) -> None:
    receipt = adjustments.adjust(ledger, {"MOUSE": sign * 3}, reason, note="pallet 7", origin=Origin(clerk="ann"))
    assert level(ledger, "MOUSE") == (100 + sign * 3, 0, 2)
    assert receipt.event.type == events.STOCK_ADJUSTED
    assert receipt.event.subject == "MOUSE"
    assert {key: receipt.event.data[key] for key in ("reason", "note", "clerk")} == {
        "reason": reason,
        "note": "pallet 7",
        "clerk": "ann",
    }


def test_a_count_that_finds_what_is_here_is_an_event_like_any_other(ledger: Ledger) -> None:
    ledger.connection.execute("INSERT INTO recounts VALUES ('MOUSE', 1)")
    receipt = adjustments.adjust(ledger, {"MOUSE": 0}, "cycle_count")
    assert receipt.event.is_count
    assert level(ledger, "MOUSE") == (100, 0, 2)
    assert ledger.rows("SELECT * FROM recounts") == []


@pytest.mark.parametrize("reason", sorted(SIGNS.keys() - {"cycle_count"}))
def test_nothing_is_no_change_for_any_other_reason(ledger: Ledger, reason: str) -> None:
    before = tables(ledger)
    with pytest.raises(InvalidValueError, match="MOUSE cannot change by 0"):
        adjustments.adjust(ledger, {"MOUSE": 0}, reason)
    assert tables(ledger) == before


@pytest.mark.parametrize(
    ("reason", "sign"), [(reason, sign) for reason, signs in SIGNS.items() for sign in (1, -1) if sign not in signs]
)
def test_a_sign_that_does_not_fit_the_reason_is_refused(ledger: Ledger, reason: str, sign: int) -> None:
    before = tables(ledger)
    with pytest.raises(InvalidValueError, match=f"'{reason}' does not go with a change of"):
        adjustments.adjust(ledger, {"MOUSE": sign}, reason)
    assert tables(ledger) == before


@pytest.mark.parametrize("reason", ["seed", "reset", "stolen", ""])
def test_what_is_no_clerks_reason_is_refused(ledger: Ledger, reason: str) -> None:
    with pytest.raises(InvalidValueError, match="is not a reason") as caught:
        adjustments.adjust(ledger, {"MOUSE": 1}, reason)
    assert "seed" not in caught.value.hint


def test_several_skus_change_in_one_event_or_not_at_all(ledger: Ledger) -> None:
    before = head(ledger)
    receipt = adjustments.adjust(ledger, {"MOUSE": -2, "LAPTOP": 5}, "correction")
    assert types(ledger, before) == ["stock.adjusted"]
    assert receipt.event.subject == "correction"
    assert (level(ledger, "MOUSE")[0], level(ledger, "LAPTOP")[0]) == (98, 15)
    everything = tables(ledger)
    with pytest.raises(NotEnoughStockError):
        adjustments.adjust(ledger, {"MOUSE": -2, "LAPTOP": -16}, "correction")
    with pytest.raises(NotFoundError, match="no product PHONE"):
        adjustments.adjust(ledger, {"MOUSE": -2, "PHONE": 1}, "correction")
    assert tables(ledger) == everything


def test_what_is_reserved_stays(ledger: Ledger) -> None:
    key = hold(ledger, LAPTOP=4)
    with pytest.raises(NotEnoughStockError) as caught:
        adjustments.adjust(ledger, {"LAPTOP": -7}, "damaged")
    (line,) = caught.value.details["lines"]
    assert (line["requested"], line["on_hand"], line["available"]) == (7, 10, 6)
    assert [holder["reservation"] for holder in line["held_by"]] == [key]
    adjustments.adjust(ledger, {"LAPTOP": -6}, "damaged")
    assert level(ledger, "LAPTOP")[:2] == (4, 4)


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({}, ""),
        ({"MOUSE": 0}, ""),
        ({"MOUSE": QUANTITY_MAX + 1}, ""),
        ({"MOUSE": -QUANTITY_MAX - 1}, ""),
        ({"MOUSE": 2**63}, ""),
        ({"MOUSE": 1}, "a\0b"),
        ({"MOUSE": 1}, "\ud800"),
        ({"MOUSE": 1}, "x" * 501),
    ],
)
def test_what_is_out_of_range_is_refused(ledger: Ledger, changes: dict[str, int], note: str) -> None:
    before = tables(ledger)
    with pytest.raises(InvalidValueError):
        adjustments.adjust(ledger, changes, "correction", note=note)
    assert tables(ledger) == before


def test_no_level_passes_the_greatest(ledger: Ledger) -> None:
    pile_up(ledger, "CABLE", but=1)
    before = tables(ledger)
    with pytest.raises(InvalidValueError, match=f"CABLE would come to {LEVEL_MAX + 1:,}"):
        adjustments.adjust(ledger, {"MOUSE": 1, "CABLE": 2}, "received")
    assert tables(ledger) == before
    adjustments.adjust(ledger, {"CABLE": 1}, "received")
    assert level(ledger, "CABLE")[0] == LEVEL_MAX


def test_what_one_event_cannot_carry_is_refused(ledger: Ledger) -> None:
    many = [f"{number:03d}".ljust(64, "X") for number in range(600)]
    with ledger.write() as write:
        for sku in many:
            products.insert(write, {"sku": sku, "name": "Product", "price": None}, Origin())
        write.commit()
    before = tables(ledger)
    with pytest.raises(RefusedError, match="the event would take"):
        adjustments.adjust(ledger, dict.fromkeys(many, 1), "received")
    assert tables(ledger) == before

"""Lists, and what the ledger's codes are called, as sentences have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.language import _, marked, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CALLED = {
    # Why stock changes.
    "received": marked("received"),
    "correction": marked("correction"),
    "cycle_count": marked("cycle count"),
    "damaged": marked("damaged"),
    "shrinkage": marked("shrinkage"),
    "restock": marked("restock"),
    "returned": marked("returned"),
    "promotion": marked("promotion"),
    "transfer_out": marked("transfer out"),
    "transfer_in": marked("transfer in"),
    "seed": marked("seed"),
    "reset": marked("reset"),
    # How a reservation stands.
    "pending": marked("pending"),
    "confirmed": marked("confirmed"),
    "cancelled": marked("cancelled"),
    "expired": marked("expired"),
}


def called(code: str) -> str:
    """Return what a reason of a change, or a reservation's status, is called: `cycle count`."""
    return _(CALLED[code]) if code in CALLED else code.replace("_", " ")


def named(names: Sequence[str], at_most: int = 10) -> str:
    """Return `downtown, midtown`; of a long list the beginning, and how many more there are."""
    more = len(names) - at_most
    return ", ".join(names[:at_most]) + (_(" and {more:,} more", more=more) if more > 0 else "")


def units(lines: Iterable[tuple[str, int]]) -> str:
    """Return `2 MOUSE-001, 1 LAPTOP-001`; lines of nothing are left out."""
    return ", ".join(f"{number(quantity)} {sku}" for sku, quantity in lines if quantity)

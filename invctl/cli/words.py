"""Counts and lists, as sentences have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def counted(count: int, noun: str) -> str:
    """Return `1 event`, `2 events`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def named(names: Sequence[str], at_most: int = 10) -> str:
    """Return `downtown, midtown`; of a long list the beginning, and how many more there are."""
    more = len(names) - at_most
    return ", ".join(names[:at_most]) + (f" and {more} more" if more > 0 else "")


def units(lines: Iterable[tuple[str, int]]) -> str:
    """Return `2 MOUSE-001, 1 LAPTOP-001`; lines of nothing are left out."""
    return ", ".join(f"{quantity} {sku}" for sku, quantity in lines if quantity)

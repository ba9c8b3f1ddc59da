"""A stock level, and the only way in which it moves."""

from __future__ import annotations

from typing import NamedTuple

from invctl.errors import InvalidValueError
from invctl.language import _

QUANTITY_MAX = 1_000_000_000
LEVEL_MAX = 1_000_000_000_000


class StockLevel(NamedTuple):
    """What one store has of one SKU, in whole units. `version` rises by one with every change."""

    on_hand: int
    reserved: int
    version: int

    def __str__(self) -> str:
        return _(
            "{on_hand:,} on hand and {reserved:,} reserved (version {version})",
            on_hand=self.on_hand,
            reserved=self.reserved,
            version=self.version,
        )

    @property
    def available(self) -> int:
        """Units that may still be reserved."""
        return self.on_hand - self.reserved

    @property
    def possible(self) -> bool:
        """Whether the level is one that a store can have."""
        return 0 <= self.reserved <= self.on_hand <= LEVEL_MAX and self.version >= 0

    def moved(self, on_hand_change: int, reserved_change: int) -> StockLevel:
        """Return the level after a change. Whether that one is `possible` is for the caller to ask."""
        return StockLevel(self.on_hand + on_hand_change, self.reserved + reserved_change, self.version + 1)


EMPTY = StockLevel(0, 0, 0)


class LineChange(NamedTuple):
    """One line of an event: how a SKU's level moved, and what it came to."""

    sku: str
    on_hand_change: int
    reserved_change: int
    level: StockLevel


def check_quantity(quantity: int, *, least: int = 1) -> int:
    """Return a quantity as it is. Raises InvalidValueError where it is no whole number in range."""
    if not least <= quantity <= QUANTITY_MAX:
        raise InvalidValueError(
            _("{quantity:,} is not a quantity", quantity=quantity),
            hint=_("a whole number from {least} to {most:,}", least=least, most=QUANTITY_MAX),
        )
    return quantity


def sum_lines(lines: list[tuple[str, int]]) -> dict[str, int]:
    """Add up the quantities of each SKU, in the order in which the SKUs first appear.

    Raises InvalidValueError where a quantity, alone or summed, is out of range.
    """
    summed: dict[str, int] = {}
    for sku, quantity in lines:
        summed[sku] = check_quantity(summed.get(sku, 0) + check_quantity(quantity))
    return summed

"""A basket at the counter: what was scanned, in the order in which it was."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from invctl.errors import InvalidValueError
from invctl.language import _
from invctl.model.stock import check_quantity

if TYPE_CHECKING:
    from invctl.ledger.reads import StockRow

_MULTIPLIER = re.compile(r"([0-9]{1,9})\*(.*)")


class Scan(NamedTuple):
    """A word as scanned: a code, and how many of it; the code is empty where only the number was said."""

    quantity: int
    code: str


def parse_scan(word: str) -> Scan | None:
    """Read `3*` or `3*4006381333931`; None where no number is said. Raises InvalidValueError for none or too many."""
    found = _MULTIPLIER.fullmatch(word)
    if not found:
        return None
    number = int(found[1])
    if not number:
        raise InvalidValueError(_("0 of something is nothing"), hint=_("`3*` before an item means three of it"))
    return Scan(check_quantity(number), found[2].strip())


class Basket:
    """Lines by SKU, with each scan as a step that can be taken back."""

    def __init__(self) -> None:
        """Begin empty."""
        self.lines: dict[str, int] = {}
        self._steps: list[tuple[str, int]] = []
        self._rows: dict[str, StockRow] = {}

    def __bool__(self) -> bool:
        return bool(self.lines)

    def add(self, row: StockRow, quantity: int) -> int:
        """Put units of an item in. Returns how many of it there are now. Raises InvalidValueError for too many."""
        total = check_quantity(self.lines.get(row.sku, 0) + quantity)
        self.lines[row.sku] = total
        self._steps.append((row.sku, quantity))
        self._rows[row.sku] = row
        return total

    def take_back(self) -> tuple[str, int] | None:
        """Take the last scan back. Returns which item and how many, None where nothing is in it."""
        if not self._steps:
            return None
        sku, quantity = self._steps.pop()
        self.lines[sku] -= quantity
        if not self.lines[sku]:
            del self.lines[sku]
        return sku, quantity

    def take_out(self, sku: str) -> int:
        """Take an item out altogether. Returns how many of it there were."""
        self._steps = [step for step in self._steps if step[0] != sku]
        return self.lines.pop(sku, 0)

    def rows(self) -> list[tuple[StockRow, int]]:
        """Return what is in it, and how many of each."""
        return [(self._rows[sku], quantity) for sku, quantity in self.lines.items()]

    def clear(self) -> None:
        """Take everything out."""
        self.lines.clear()
        self._steps.clear()
        self._rows.clear()

    @property
    def units(self) -> int:
        """How many units are in it."""
        return sum(self.lines.values())

    @property
    def total(self) -> int | None:
        """What it comes to in minor units, None where something in it has no price."""
        prices = [self._rows[sku].price for sku in self.lines]
        if any(price is None for price in prices):
            return None
        return sum(price * quantity for price, quantity in zip(prices, self.lines.values(), strict=True) if price)

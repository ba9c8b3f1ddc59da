"""Where a row and the archive part: the first event after which what is shown is no longer what the archive says.

A second pass through the archive, and only where something differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from central import facts
from central.archive import read_archive
from invctl.model.projection import Product, Projection
from invctl.model.reservation import Reservation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Connection

Key = tuple[str, str]
"""What it is (`level`, `product` or `reservation`), and which."""


class Shown(NamedTuple):
    """What a row shows, without the event that it names as its last (`seq`); None for both where there is no row."""

    value: Any
    seq: int | None


def partings(
    connection: Connection, store: str, rows: Mapping[Key, Shown], told: Callable[[Reservation], Any]
) -> dict[Key, int]:
    """Return, for each of these rows that differ, the seq of the event at which it parts from the archive.

    That is the first event that moves it after the last one that left it as it is shown. Where none did, it is the one
    that the row itself names, or else the first that there is. What the archive never had is left out. `told` makes of
    a reservation what is shown of it.
    """
    watched = {key: _Watched(shown) for key, shown in rows.items()}
    projection = Projection()
    for row in read_archive(connection, store):
        item = facts.read(row.seq, row.body)
        projection.apply(row.seq, facts.as_applied(item, row.body))
        projection.findings.clear()
        for key in _touched(item):
            if key in watched:
                watched[key].saw(row.seq, _after(projection, key, told))
        _let_go(projection, item)
    return {key: each.parted for key, each in watched.items() if each.parted is not None}


class _Watched:
    """One row, held against the archive's words one after the other."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._agreed = False
        self._first: int | None = None
        self._named: int | None = None

    def saw(self, seq: int, value: Any) -> None:
        if value == self._shown.value:
            self._agreed, self._first = True, None
        elif self._first is None:
            self._first = seq
        if seq == self._shown.seq:
            self._named = seq

    @property
    def parted(self) -> int | None:
        return self._first if self._agreed or self._named is None else self._named


def _touched(item: facts.Facts) -> Iterator[Key]:
    for sku in {entry.sku for entry in item.lines}:
        yield "level", sku
    if isinstance(item.stated, Product):
        yield "product", item.stated.sku
    elif isinstance(item.stated, Reservation):
        yield "reservation", item.stated.reservation


def _after(projection: Projection, key: Key, told: Callable[[Reservation], Any]) -> Any:
    what, name = key
    if what == "level":
        return projection.levels[name]._asdict()
    if what == "product":
        product = projection.products[name]
        return {"name": product.name, "price": product.price}
    return told(projection.reservations[name])


def _let_go(projection: Projection, item: facts.Facts) -> None:
    """Keep only the reservations that are open at this point of the history."""
    stated = item.stated
    if isinstance(stated, Reservation) and not stated.pending:
        projection.reservations.pop(stated.reservation, None)

"""A store's reservations in the order of their last events, to be compared with a replay of its archive."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from central import tables
from central.archive import ROWS_FETCHED_MAX
from central.rows import reservation_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Select

    from invctl.model.reservation import Reservation

COLUMNS = ("status", "order_id", "clerk", "created_us", "expires_us", "ended_us", "seq")
LINE = ("sku", "quantity", "confirmed", "released")


class ReservationRows:
    """The reservations, one by one."""

    def __init__(self, connection: Connection, store: str) -> None:
        self._rows = _reservation_rows(connection, store)
        self._next = next(self._rows, None)

    def at(self, seq: int, key: str) -> dict[str, Any] | None:
        """Return the row of a reservation that `seq` changed last, None where another event did, or there is none."""
        if self._next is None or (self._next[0], self._next[1]) != (seq, key):
            return None
        row = self._next[2]
        self._next = next(self._rows, None)
        return row

    def before(self, seq: int | None) -> Iterator[tuple[str, int]]:
        """Skip, and yield, the rows that name an earlier event (None: all that are left)."""
        while self._next is not None and (seq is None or self._next[0] < seq):
            yield self._next[1], self._next[0]
            self._next = next(self._rows, None)


def _reservation_rows(connection: Connection, store: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    held, entry = tables.reservations, tables.reservation_lines
    query: Select[*tuple[Any, ...]] = (
        select(held, entry.c.sku, entry.c.quantity, entry.c.confirmed, entry.c.released)
        .outerjoin(entry, (entry.c.store == held.c.store) & (entry.c.reservation == held.c.reservation))
        .where(held.c.store == store)
        .order_by(held.c.seq, held.c.reservation, entry.c.line)
        .execution_options(yield_per=ROWS_FETCHED_MAX)
    )
    with connection.execute(query) as rows:
        for (seq, key), group in groupby(rows, key=lambda row: (row.seq, row.reservation)):
            each = list(group)
            said = {name: getattr(each[0], name) for name in COLUMNS}
            said["lines"] = [{name: getattr(row, name) for name in LINE} for row in each if row.sku is not None]
            yield seq, key, said


def comparable(reservation: Reservation) -> dict[str, Any]:
    """Return what the row and the lines of a reservation must say, as `ReservationRows.at` gives them."""
    columns = reservation_columns(reservation)
    lines = [dict(zip(LINE, entry, strict=True)) for entry in reservation.lines]
    return {**{name: getattr(columns, name) for name in COLUMNS}, "lines": lines}

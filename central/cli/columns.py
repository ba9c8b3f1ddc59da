"""Columns of lists: for programs every value of a row, for people those that say something."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from rich.cells import cell_len

from central.freshness import Freshness
from invctl.console.output import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from central.views import ReservationRow, StockRow, StoreRow
    from invctl.console.output import Record


GAP = 3
"""Cells between two columns of a table."""
TEXT_LEAST = 14
"""Cells that free text needs at the least: `may have moved`."""


def all_columns(kind: type[StockRow | ReservationRow | StoreRow]) -> list[Column]:
    """Return the columns of `kind.as_dict()`, in its order."""
    names: list[str] = []
    for field in kind._fields:
        names += Freshness._fields if field == "fresh" else [field.removesuffix("_us") + "_at" * field.endswith("_us")]
    return [Column(name) for name in names]


def fitting(
    columns: Sequence[Column],
    records: Sequence[Record],
    width: int | None,
    *,
    drop: Sequence[str],
    wrapped: str | None = None,
) -> tuple[list[Column], list[Record]]:
    """Lay out a list for `width` cells, None for as many as it takes: no number, id or time is broken in two.

    Columns are left out in the order of `drop` until the rest fits. The text of the column `wrapped` goes on in
    lines of its own where it has to.
    """
    kept = list(columns)
    if width is None:
        return kept, list(records)
    for key in drop:
        if _rigid_width(kept, records, wrapped) <= width:
            break
        kept = [column for column in kept if column.key != key]
    room = width - _rigid_width(kept, records, wrapped) + TEXT_LEAST
    if not any(column.key == wrapped for column in kept) or room < TEXT_LEAST:
        return kept, list(records)
    return kept, [line for record in records for line in _wrapped(record, str(wrapped), room)]


def _rigid_width(columns: Sequence[Column], records: Sequence[Record], wrapped: str | None) -> int:
    """Return what a table is wide at the least: its text, where there is one, needs TEXT_LEAST."""
    widest = [
        TEXT_LEAST
        if column.key == wrapped
        else max([cell_len(column.heading), *(cell_len(str(record[column.key] or "")) for record in records)])
        for column in columns
    ]
    return sum(widest) + GAP * (len(columns) - 1)


def _wrapped(record: Record, key: str, room: int) -> list[Record]:
    first, *rest = textwrap.wrap(record[key] or "", room) or [""]
    empty = dict.fromkeys(record)
    return [{**record, key: first}, *({**empty, key: line} for line in rest)]


def telling(columns: Sequence[Column], records: Sequence[Record], optional: Sequence[str]) -> list[Column]:
    """Leave out those optional columns in which no record has anything to say: a terminal is narrow."""
    empty = {key for key in optional if not any(record[key] for record in records)}
    return [column for column in columns if column.key not in empty]

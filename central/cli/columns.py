"""Columns of lists: for programs every value of a row, for people those that say something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.freshness import Freshness
from invctl.console.output import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from central.views import ReservationRow, StockRow, StoreRow
    from invctl.console.output import Record


def all_columns(kind: type[StockRow | ReservationRow | StoreRow]) -> list[Column]:
    """Return the columns of `kind.as_dict()`, in its order."""
    names: list[str] = []
    for field in kind._fields:
        names += Freshness._fields if field == "fresh" else [field.removesuffix("_us") + "_at" * field.endswith("_us")]
    return [Column(name) for name in names]


def telling(columns: Sequence[Column], records: Sequence[Record], optional: Sequence[str]) -> list[Column]:
    """Leave out those optional columns in which no record has anything to say: a terminal is narrow."""
    empty = {key for key in optional if not any(record[key] for record in records)}
    return [column for column in columns if column.key not in empty]

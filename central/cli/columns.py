"""Columns of lists for programs: every value of a row, whichever a table shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.freshness import Freshness
from invctl.console.output import Column

if TYPE_CHECKING:
    from central.views import ReservationRow, StockRow, StoreRow


def all_columns(kind: type[StockRow | ReservationRow | StoreRow]) -> list[Column]:
    """Return the columns of `kind.as_dict()`, in its order."""
    names: list[str] = []
    for field in kind._fields:
        names += Freshness._fields if field == "fresh" else [field.removesuffix("_us") + "_at" * field.endswith("_us")]
    return [Column(name) for name in names]

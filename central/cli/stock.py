"""`invcentral stock`."""

from collections.abc import Iterator
from shutil import get_terminal_size
from typing import Any

from typer import Context

from central import reads
from central.cli import words
from central.cli.columns import all_columns, telling
from central.cli.command import read
from central.cli.parameters import AnySku, AnyStore
from central.views import StockRow
from invctl.console.command import output
from invctl.console.output import Column

_PEOPLES = [
    Column("store", style="bold"),
    Column("sku", "SKU", style="cyan"),
    Column("name"),
    Column("on_hand"),
    Column("reserved"),
    Column("available", style="bold"),
    Column("as_of", "As of seq"),
    Column("doubt"),
]
_OPTIONAL = ("doubt",)
NAME_FROM_WIDTH = 100
# How fresh a number is matters more than how the item is called.
_NARROW = [column for column in _PEOPLES if column.key != "name"]


def stock(ctx: Context, sku: AnySku = None, store: AnyStore = None) -> None:
    """Show what the stores have, with how fresh each number is. With a SKU: which store has it.

    `As of seq` says up to which event of the store, and up to how long ago that is proved to be all. What a store has
    done since, head office cannot know.

    For example:

        invcentral stock MOUSE-001
        invcentral stock --store downtown -o json
    """
    out = output(ctx)
    with read(ctx) as connection:
        rows = reads.stock(connection, sku=sku, store=store)
        if out.fmt != "table":
            out.rows(all_columns(StockRow), (row.as_dict() for row in rows), ident="sku")
            return
        records = list(_for_people(rows))
    columns = _PEOPLES if get_terminal_size((NAME_FROM_WIDTH, 0)).columns >= NAME_FROM_WIDTH else _NARROW
    out.rows(telling(columns, records, _OPTIONAL), records, ident="sku", empty="no store has reported any stock yet")


def _for_people(rows: Iterator[StockRow]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {
            **row.as_dict(),
            "as_of": words.as_of(row.fresh),
            "doubt": row.suspect and f"{row.suspect.replace('_', ' ')}: count it",
        }

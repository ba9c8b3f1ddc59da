"""`invcentral stock`."""

from collections.abc import Iterator
from typing import Any

from typer import Context

from central import reads
from central.cli import words
from central.cli.columns import all_columns
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
    Column("as_of_seq", "As of seq"),
    Column("age"),
    Column("behind"),
    Column("doubt"),
]


def stock(ctx: Context, sku: AnySku = None, store: AnyStore = None) -> None:
    """Show what the stores have, with how fresh each number is. With a SKU: which store has it.

    `Age` says up to how long ago the numbers are proved complete. What a store has done since, head office cannot know.

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
        out.rows(_PEOPLES, _for_people(rows), ident="sku", empty="no store has reported any stock yet")


def _for_people(rows: Iterator[StockRow]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {
            **row.as_dict(),
            "age": words.age(row.fresh),
            "behind": words.gap(row.fresh),
            "doubt": row.suspect and f"{row.suspect.replace('_', ' ')}: count it",
        }

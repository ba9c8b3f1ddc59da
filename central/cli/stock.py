"""`invcentral stock`."""

from collections.abc import Iterable, Iterator
from typing import Any

from typer import Context

from central import reads
from central.cli import words
from central.cli.columns import all_columns, fitting, telling
from central.cli.command import read
from central.cli.narrow import line_width
from central.cli.parameters import AnySku, AnyStore
from central.cli.presence import tell_if_stopped
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
    Column("as_of_seq", "As of"),
    Column("age"),
    Column("doubt"),
]
_OPTIONAL = ("name", "doubt")
# How fresh a number is matters more than how the item is called, and what is reserved is the difference of two others.
_DROPPED = ("name", "reserved", "age", "doubt", "as_of_seq")


def stock(ctx: Context, sku: AnySku = None, store: AnyStore = None) -> None:
    """Show what the stores have, with how fresh each number is. With a SKU: which store has it.

    `As of` says up to which event of the store, `Age` up to how long ago that is proved to be all. What a store has
    done since, head office cannot know.

    For example:

        invcentral stock MOUSE-001
        invcentral stock --store downtown -o json
    """
    out = output(ctx)
    with read(ctx) as connection:
        rows = reads.stock(connection, sku=sku, store=store)
        tell_if_stopped(ctx, out, connection)
        if out.fmt != "table":
            out.rows(all_columns(StockRow), (row.as_dict() for row in rows), ident="sku")
            return
        found = list(rows)
    records = list(_for_people(found))
    diverged = {row.store: words.divergence(row.store, row.fresh) for row in found if row.fresh.lacks_seq}
    shown, lines = fitting(
        telling(_PEOPLES, records, _OPTIONAL), records, line_width(out), drop=_DROPPED, wrapped="doubt"
    )
    out.rows(shown, lines, ident="sku", empty="no store has reported any stock yet")
    if not any(column.key == "doubt" for column in shown):
        for record in records:
            if record["doubt"]:
                out.talk([("doubt:", "bold yellow"), f" {record['store']} {record['sku']}: {record['doubt']}"])
    for trouble in diverged.values():
        out.talk([("attention:", "bold yellow"), f" {trouble}"])


def _for_people(rows: Iterable[StockRow]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {
            **row.as_dict(),
            "age": words.bare_age(row.fresh),
            "doubt": words.doubts(row.fresh, row.suspect),
        }

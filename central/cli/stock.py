"""`invcentral stock`."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

from typer import Context

from central import reads
from central.cli import words
from central.cli.columns import all_columns, telling
from central.cli.command import read
from central.cli.parameters import AnySku, AnyStore
from central.cli.presence import tell_if_stopped
from central.views import StockRow
from invctl.console.command import output
from invctl.console.output import Column

_PEOPLES = [
    Column("store", style="bold"),
    Column("sku", "SKU", style="cyan"),
    # How fresh a number is matters more than how the item is called, or what is the difference of two others.
    Column("name", folds=True, drop=1),
    Column("on_hand"),
    Column("reserved", drop=2),
    Column("available", style="bold"),
    Column("as_of_seq", "As of", drop=5),
    Column("age", drop=3),
    Column("doubt", folds=True, drop=4),
]
_OPTIONAL = ("name", "doubt")


def stock(ctx: Context, sku: AnySku = None, store: AnyStore = None) -> None:
    """Show what the stores have, with how fresh each number is. With a SKU: which store has it.

    `As of` says up to which event of the store, `Age` up to how long ago that is proved to be all. What a store has
    done since, head office cannot know.

    For example:

        invcentral stock MOUSE-001
        invcentral stock --store downtown -o json
    """
    out = output(ctx)
    # Closed before its connection is, also where our reader has gone.
    with read(ctx) as connection, closing(reads.stock(connection, sku=sku, store=store)) as rows:
        tell_if_stopped(ctx, out, connection)
        if out.fmt != "table":
            out.rows(all_columns(StockRow), (row.as_dict() for row in rows), ident="sku")
            return
        found = list(rows)
    records = list(_for_people(found))
    diverged = {row.store: words.divergence(row.store, row.fresh) for row in found if row.fresh.lacks_seq}
    shown = telling(_PEOPLES, records, _OPTIONAL)
    left_out = out.rows(shown, records, ident="sku", empty="no store has reported any stock yet")
    if "doubt" in left_out:
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

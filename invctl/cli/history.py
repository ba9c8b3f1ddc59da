"""`invctl history`."""

from typing import Annotated

from typer import Context, Option

from invctl.cli import telling
from invctl.cli.command import meant, open_ledger
from invctl.cli.holding import store_time
from invctl.cli.parameters import AnySku
from invctl.console.command import output
from invctl.console.options import whole
from invctl.language import _, _n
from invctl.ledger import reads

LIMIT = 50


def history(
    ctx: Context,
    sku: AnySku = None,
    limit: Annotated[int, Option("--limit", click_type=whole(1, 1_000_000, "N"), help="At most so many rows.")] = LIMIT,
) -> None:
    """Show the last events of an item, or of the whole store, oldest first: a row for each item that one moves.

    For example:

        invctl history MOUSE-001 --limit 10
    """
    with open_ledger(ctx) as ledger:
        sku = sku and meant(ledger, sku)
        rows = reads.history(ledger, sku, limit=limit + 1)
        when = store_time(ledger)
    more, rows = len(rows) > limit, rows[-limit:]
    out = output(ctx)
    if out.fmt == "table":
        columns, records = telling.table(rows, when)
        if sku:
            columns = [column for column in columns if column.key != "sku"]
        out.rows(columns, records, empty=_("nothing has happened to {sku} yet", sku=sku))
    else:
        out.rows(telling.COLUMNS, [row._asdict() for row in rows])
    if more:
        out.talk(
            _n(
                "there is more before the {n:,} row shown: see --limit",
                "there is more before the {n:,} rows shown: see --limit",
                len(rows),
            )
        )

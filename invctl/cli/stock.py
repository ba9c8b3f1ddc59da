"""`invctl stock`."""

from typer import Context

from invctl.cli.command import open_ledger
from invctl.cli.money import price_column
from invctl.cli.parameters import AnySku
from invctl.console.command import output
from invctl.console.output import Column
from invctl.ledger import reads


def stock(ctx: Context, sku: AnySku = None) -> None:
    """Show what is on hand, reserved and available.

    A reservation whose time is over no longer counts. JSON says as of which event of the ledger the numbers are.

    For example:

        invctl stock
        invctl stock MOUSE-001 -o json
    """
    with open_ledger(ctx) as ledger:
        rows, seq = reads.stock(ledger, sku)
        currency = ledger.store.currency
    columns = [
        Column("sku", "SKU", style="cyan"),
        Column("name"),
        price_column(currency),
        Column("currency", in_table=False),
        Column("on_hand"),
        Column("reserved"),
        Column("available", style="bold"),
        Column("version", in_table=False),
        Column("as_of_seq", in_table=False),
    ]
    records = [{**row._asdict(), "currency": currency, "as_of_seq": seq} for row in rows]
    empty = "no products yet: `invctl product add SKU --name NAME` adds one"
    output(ctx).rows(columns, records, empty=empty)

"""`invctl stock`."""

from typing import Annotated, Any

from typer import Context, Option

from invctl.cli.command import meant, open_ledger
from invctl.cli.money import price_column
from invctl.cli.parameters import AnySku
from invctl.console.command import output
from invctl.console.output import Column
from invctl.errors import InvalidValueError
from invctl.language import _
from invctl.ledger import reads
from invctl.ledger.reads import StockRow


def stock(
    ctx: Context,
    sku: AnySku = None,
    low: Annotated[bool, Option("--low", help="What is to be ordered anew: see `invctl product reorder`.")] = False,
    at: Annotated[
        str | None, Option("--at", metavar="TIME", help="As it was then: 'yesterday 18:00', 2026-11-24T09:30:00Z, 2h.")
    ] = None,
) -> None:
    """Show what is on hand, reserved and available.

    A reservation whose time is over no longer counts. JSON says as of which event of the ledger the numbers are.
    `invctl stock import` takes in a whole file.

    For example:

        invctl stock
        invctl stock MOUSE-001 -o json
        invctl stock --low
        invctl stock MOUSE-001 --at 'yesterday 18:00'
    """
    if low or at is not None:
        if low and (sku or at is not None):
            raise InvalidValueError(_("--low is of all items, as they are now"), hint=_("leave the other out"))
        from invctl.cli.stock_lists import show_at, show_low  # noqa: PLC0415 - most look at what there is now

        if at is None:
            show_low(ctx)
        else:
            show_at(ctx, sku, at)
        return
    with open_ledger(ctx) as ledger:
        rows, seq = reads.stock(ledger, sku and meant(ledger, sku))
        currency = ledger.store.currency
    columns = [
        Column("sku", "SKU", style="cyan"),
        Column("name", folds=True, drop=2),
        price_column(currency)._replace(drop=1),
        Column("currency", in_table=False),
        Column("on_hand"),
        Column("reserved", drop=3),
        Column("available", style="bold"),
        Column("version", in_table=False),
        Column("as_of_seq", in_table=False),
    ]
    empty = _("no products yet: `invctl product add SKU --name NAME` adds one")
    output(ctx).rows(columns, [as_record(row, currency, seq) for row in rows], empty=empty)


def as_record(row: StockRow, currency: str, seq: int) -> dict[str, Any]:
    """Return a level as a JSON value."""
    levels = row._asdict()
    product = {"sku": levels.pop("sku"), "name": levels.pop("name"), "price": levels.pop("price")}
    return {**product, "currency": currency, **levels, "as_of_seq": seq}

"""`invctl product`: what the store carries."""

from typing import Annotated, Any

from typer import Context, Option

from invctl.cli.command import meant, open_ledger
from invctl.cli.holding import tell_asides
from invctl.cli.money import format_price, parse_price, price_column
from invctl.cli.origin import origin
from invctl.cli.parameters import Clerk, RequestId, Sku
from invctl.cli.stock import as_record
from invctl.console.command import output
from invctl.console.output import Column, Output
from invctl.errors import InvalidValueError
from invctl.language import _
from invctl.ledger import products, reads
from invctl.ledger.ledger import Ledger
from invctl.ledger.writing import Receipt

Price = Annotated[str | None, Option("--price", metavar="AMOUNT", help="In the store's currency, such as 80.00.")]


def add(
    ctx: Context,
    sku: Sku,
    name: Annotated[str, Option("--name", metavar="TEXT", help="What it is called.")],
    price: Price = None,
    clerk: Clerk = None,
    request_id: RequestId = None,
) -> None:
    """Add a product to what the store carries, with nothing on hand.

    For example:

        invctl product add MOUSE-001 --name 'Wireless mouse' --price 80.00
    """
    with open_ledger(ctx) as ledger:
        currency = ledger.store.currency
        minor = None if price is None else parse_price(price, currency)
        receipt = products.add(ledger, sku, name, minor, origin(clerk, request_id))
        data = {key: receipt.event.data[key] for key in ("sku", "name", "price")}
        _tell(output(ctx), ledger, receipt, {**data, "currency": currency}, _("added"))


def edit(
    ctx: Context,
    sku: Sku,
    name: Annotated[str | None, Option("--name", metavar="TEXT", help="What it is called now.")] = None,
    price: Price = None,
    no_price: Annotated[bool, Option("--no-price", help="Take the price away.")] = False,
    clerk: Clerk = None,
    request_id: RequestId = None,
) -> None:
    """Change a product's name or price. What is not named stays.

    For example:

        invctl product edit MOUSE-001 --price 75.50
    """
    if price is not None and no_price:
        raise InvalidValueError(_("--price and --no-price contradict each other"), hint=_("give one of them"))
    if name is None and price is None and not no_price:
        raise InvalidValueError(_("nothing to change"), hint=_("give --name, --price or --no-price"))
    with open_ledger(ctx) as ledger:
        currency = ledger.store.currency
        changes: dict[str, Any] = {} if name is None else {"name": name}
        if price is not None or no_price:
            changes["price"] = None if price is None else parse_price(price, currency)
        sku = meant(ledger, sku)
        receipt = products.edit(ledger, sku, changes, origin(clerk, request_id))
        data = receipt.event.data if receipt.seq else reads.stock(ledger, sku)[0][0]._asdict()
        record = {**{key: data[key] for key in ("sku", "name", "price")}, "currency": currency}
        _tell(
            output(ctx), ledger, receipt, record, _("edited") if receipt.seq else _("is so already; nothing was done")
        )


def list_(ctx: Context) -> None:
    """List the products that the store carries.

    For example:

        invctl product list -o csv
    """
    with open_ledger(ctx) as ledger:
        rows = reads.stock(ledger)[0]
        currency = ledger.store.currency
    columns = [
        Column("sku", "SKU", style="cyan"),
        Column("name", folds=True),
        price_column(currency),
        Column("currency", in_table=False),
    ]
    records = [{"sku": row.sku, "name": row.name, "price": row.price, "currency": currency} for row in rows]
    output(ctx).rows(columns, records, empty=_("no products yet: `invctl product add SKU --name NAME` adds one"))


def show(ctx: Context, sku: Sku) -> None:
    """Show one product and what there is of it.

    For example:

        invctl product show MOUSE-001
    """
    with open_ledger(ctx) as ledger:
        rows, seq = reads.stock(ledger, meant(ledger, sku))
        currency = ledger.store.currency
    row = rows[0]
    message = [
        *_named(row._asdict(), currency),
        _(
            "\n{on_hand:,} on hand, {reserved:,} reserved, {available:,} available",
            on_hand=row.on_hand,
            reserved=row.reserved,
            available=row.available,
        ),
    ]
    output(ctx).result(as_record(row, currency, seq), message=message, ident=row.sku)


def _tell(out: Output, ledger: Ledger, receipt: Receipt, record: dict[str, Any], did: str) -> None:
    message = [*_named(record, record["currency"]), " ", did]
    record |= {"seq": receipt.seq or None, "replayed": receipt.replayed}
    out.result(record, message=message, ident=record["sku"])
    tell_asides(out, ledger, receipt)


def _named(product: dict[str, Any], currency: str) -> list[Any]:
    price = product["price"]
    cost = "" if price is None else f", {format_price(price, currency)} {currency}"
    return [(product["sku"], "bold cyan"), f" ({product['name']}{cost})"]

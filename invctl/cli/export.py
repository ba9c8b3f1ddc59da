"""`invctl export`: all that there is, for other programs, however much it is."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import Annotated, Any

from typer import Context, Option

from invctl.cli import telling
from invctl.cli.command import open_ledger
from invctl.cli.reservations import COLUMNS as RESERVATIONS
from invctl.cli.stock import as_record
from invctl.console.options import shared, whole
from invctl.console.output import Column, Format, Output, Record
from invctl.errors import InvalidValueError
from invctl.language import _
from invctl.ledger import streams
from invctl.ledger.ledger import Ledger
from invctl.ledger.reads import StockRow

PRODUCTS = [Column(key) for key in ("sku", "name", "price", "currency")]
STOCK = [*PRODUCTS, *(Column(key) for key in ("on_hand", "reserved", "available", "version", "as_of_seq"))]
SEQ_MAX = 10**15

After = Annotated[
    int, Option("--after", click_type=whole(0, SEQ_MAX, "N"), show_default=False, help="Only what came behind event N.")
]


def products(ctx: Context) -> None:
    """Write out every product, as CSV unless -o ndjson. Prices are in minor units.

    For example:

        invctl export products -o csv
    """
    _export(ctx, PRODUCTS, streams.stock, _product)


def stock(ctx: Context) -> None:
    """Write out what there is of every item, as of one moment, as CSV unless -o ndjson.

    For example:

        invctl export stock -o csv
    """
    _export(ctx, STOCK, streams.stock, _level)


def reservations(ctx: Context) -> None:
    """Write out every reservation, also those that have ended, the oldest first, as CSV unless -o ndjson.

    For example:

        invctl export reservations -o ndjson
    """
    _export(ctx, RESERVATIONS, streams.reservations, lambda each, _currency: each.as_dict())


def history(ctx: Context, after: After = 0) -> None:
    """Write out every event from the first, a row for each item that one moves, as CSV unless -o ndjson.

    With --after the last seq that you have, an export goes on from there.

    For example:

        invctl export history -o ndjson
        invctl export history -o ndjson --after 1234
    """
    _export(ctx, telling.COLUMNS, lambda ledger: streams.history(ledger, after), lambda row, _currency: row._asdict())


def _export(
    ctx: Context,
    columns: list[Column],
    stream: Callable[[Ledger], Generator[Any]],
    record: Callable[[Any, str], Record],
) -> None:
    fmt: Format = shared(ctx, "output") or "csv"
    if fmt not in ("csv", "ndjson"):
        raise InvalidValueError(_("an export is not written as {fmt}", fmt=fmt), hint=_("as csv, or as ndjson"))
    out = Output(fmt, quiet=bool(shared(ctx, "quiet")))
    with open_ledger(ctx) as ledger, closing(stream(ledger)) as found:
        currency = ledger.store.currency
        records: Iterable[Record] = (record(each, currency) for each in found)
        out.rows(columns, records)


def _product(found: tuple[StockRow, int], currency: str) -> Record:
    row = found[0]
    return {"sku": row.sku, "name": row.name, "price": row.price, "currency": currency}


def _level(found: tuple[StockRow, int], currency: str) -> Record:
    row, seq = found
    return as_record(row, currency, seq)

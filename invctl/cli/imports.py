"""`invctl product import` and `invctl stock import`: a whole CSV file, or nothing of it."""

from collections.abc import Callable
from typing import Annotated, Any

from typer import Argument, Context, Option

from invctl.cli import csvfile
from invctl.cli.adjust import parse_reason
from invctl.cli.command import open_ledger
from invctl.cli.csvfile import Row, Sheet
from invctl.cli.holding import tell_asides
from invctl.cli.money import format_price, parse_price
from invctl.cli.origin import origin
from invctl.cli.parameters import Clerk, Note, RequestId, parse_whole
from invctl.cli.words import called
from invctl.console.command import output
from invctl.errors import InvalidValueError, InventoryError, NotFoundError
from invctl.language import _, _n, marked
from invctl.ledger import bulk, products, reads
from invctl.ledger.bulk import KEEP, Line, Product
from invctl.model.identifiers import parse_sku

# To compare one SKU with 100,000 others takes most of a second.
NEAREST_FOR = 3

File = Annotated[str, Argument(metavar="FILE.csv", help="The file; - reads standard input.")]
DryRun = Annotated[bool, Option("--dry-run", help="Say what would change, and change nothing.")]


def product(ctx: Context, file: File, dry_run: DryRun = False, clerk: Clerk = None) -> None:
    """Add the products of a CSV file, and bring those that are there to its names and prices: all, or none.

    The first line names the columns: sku, name and, if the prices are to be set, price, as people write it; an empty
    cell is no price. What the file does not name stays. The same file again changes nothing.

    For example:

        invctl product import products.csv --dry-run
        invctl product import products.csv
    """
    sheet = csvfile.read(file, ("sku", "name"), ("price",))
    with open_ledger(ctx) as ledger:
        currency = ledger.store.currency
        lines: dict[str, int] = {}

        def parse(row: Row) -> Product:
            wanted = _product(row, currency, decimal_comma=sheet.decimal_comma)
            if before := lines.get(wanted.sku):
                raise InvalidValueError(_("{sku} is in line {before} already", sku=wanted.sku, before=before))
            lines[wanted.sku] = row.line
            return wanted

        wanted = _parsed(sheet, parse)
        csvfile.refuse(sheet, sheet.faults)
        done = bulk.carry(ledger, wanted, origin(clerk, None), dry_run=dry_run)
    did = {"added": done.added, "edited": done.edited, "unchanged": done.unchanged}
    by_sku = {each.sku: each for each in wanted}
    changes = [
        {"line": lines[sku], "sku": sku, "change": how, "name": by_sku[sku].name, **_price(by_sku[sku])}
        for how in (marked("added"), marked("edited"))
        for sku in did[how]
    ]
    record: dict[str, Any] = {**{how: len(skus) for how, skus in did.items()}, "dry_run": dry_run}
    record |= {"seq": None if dry_run else done.seq, "changes": changes if dry_run else None}
    counts = _(
        "{added:,} added, {edited:,} edited, {unchanged:,} as they were",
        added=len(done.added),
        edited=len(done.edited),
        unchanged=len(done.unchanged),
    )
    if not dry_run:
        products_ = _n("{n:,} product", "{n:,} products", len(wanted))
        output(ctx).result(record, message=f"{products_}: {counts}")
        return
    shown = [
        _(
            "\n  line {line}: {sku} ({product}) {change}",
            line=each["line"],
            sku=each["sku"],
            product=_described(by_sku[each["sku"]], currency),
            change=_(each["change"]),
        )
        for each in changes[: csvfile.SHOWN_MAX]
    ]
    output(ctx).result(record, message=_would(counts, shown, len(changes)))


def stock(
    ctx: Context,
    file: File,
    note: Note = None,
    dry_run: DryRun = False,
    clerk: Clerk = None,
    request_id: RequestId = None,
) -> None:
    """Take in, or correct, what is on hand by a CSV file: all of its lines, or none.

    The first line names the columns: sku, quantity and, unless all was received, reason. A quantity is how many units
    more or, below zero, fewer; the same item may come several times. Give a nightly job a --request-id: repeated
    with the same one, the same file is not taken twice.

    For example:

        invctl stock import delivery.csv --request-id delivery-4711
    """
    sheet = csvfile.read(file, ("sku", "quantity"), ("reason",))
    with open_ledger(ctx) as ledger:
        lines = _parsed(sheet, _change)
        asked = origin(clerk, request_id)
        if not reads.requested(ledger, request_id):
            # What a request did before was right then, whatever the levels are now.
            found = bulk.faults(ledger, lines)
            csvfile.refuse(sheet, [*sheet.faults, *_with_nearest(ledger, found)])
        csvfile.refuse(sheet, sheet.faults)
        if not lines:
            raise InvalidValueError(
                _("{name} has no lines", name=sheet.name), hint=_("name a SKU and a quantity in each")
            )
        receipt = bulk.adjust(ledger, lines, note=note or "", origin=asked, dry_run=dry_run)
        skus = len({line.sku for line in lines})
        record: dict[str, Any] = {"lines": len(lines), "skus": skus}
        record["units_in"] = sum(line.change for line in lines if line.change > 0)
        record["units_out"] = -sum(line.change for line in lines if line.change < 0)
        record |= {"dry_run": dry_run, "seq": None if dry_run and not receipt.replayed else receipt.seq}
        record["replayed"] = receipt.replayed
        counts = _(
            "{lines} for {items}",
            lines=_n("{n:,} line", "{n:,} lines", len(lines)),
            items=_n("{n:,} item", "{n:,} items", skus),
        )
        counts += _(
            ": {units_in:,} units in, {units_out:,} out", units_in=record["units_in"], units_out=record["units_out"]
        )
        shown = [
            _(
                "\n  line {number}: {sku} {change:+,} {reason}",
                number=line.number,
                sku=line.sku,
                change=line.change,
                reason=called(line.reason),
            )
            for line in lines[: csvfile.SHOWN_MAX]
        ]
        message = _would(counts, shown, len(lines)) if dry_run and not receipt.replayed else counts
        output(ctx).result(record, message=message)
        tell_asides(output(ctx), ledger, receipt)


def _parsed(sheet: Sheet, parse: Callable[[Row], Any]) -> list[Any]:
    """Return what the rows say; what is wrong with one goes to the faults of the sheet."""
    found = []
    for row in sheet.rows:
        try:
            found.append(parse(row))
        except InvalidValueError as error:
            sheet.faults.append((row.line, error))
    return found


def _product(row: Row, currency: str, *, decimal_comma: bool) -> Product:
    sku, name = parse_sku(row.cells["sku"]), row.cells["name"]
    price: Any = KEEP
    if "price" in row.cells:
        text = row.cells["price"]
        if decimal_comma and text.count(",") == 1:
            text = text.replace(",", ".")
        price = parse_price(text, currency) if text else None
    products.check_product(name, None if price is KEEP else price)
    return Product(sku, name, price)


def _change(row: Row) -> Line:
    reason = parse_reason(row.cells.get("reason") or "received")
    return Line(row.line, parse_sku(row.cells["sku"]), parse_whole(row.cells["quantity"]), reason)


def _with_nearest(ledger: Any, found: list[tuple[int, InventoryError]]) -> list[tuple[int, InventoryError]]:
    from invctl.cli.nearest import with_nearest  # noqa: PLC0415 - costs, and is rare

    return [
        (line, with_nearest(error, ledger) if at < NEAREST_FOR and isinstance(error, NotFoundError) else error)
        for at, (line, error) in enumerate(found)
    ]


def _price(wanted: Product) -> dict[str, int | None]:
    return {} if wanted.price is KEEP else {"price": wanted.price}


def _described(wanted: Product, currency: str) -> str:
    if wanted.price is KEEP or wanted.price is None:
        return wanted.name
    return f"{wanted.name}, {format_price(wanted.price, currency)} {currency}"


def _would(counts: str, shown: list[str], total: int) -> str:
    more = _("\n  and {more:,} more", more=total - len(shown)) if total > len(shown) else ""
    return _("nothing was written; it would be {counts}{shown}{more}", counts=counts, shown="".join(shown), more=more)

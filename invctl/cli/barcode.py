"""`invctl barcode`: other names of the items, as their labels have them."""

from typing import Annotated

from typer import Argument, Context

from invctl.cli.command import meant, open_ledger
from invctl.cli.holding import tell_asides
from invctl.cli.origin import origin
from invctl.cli.parameters import AnySku, Clerk, RequestId, Sku
from invctl.console.command import output
from invctl.console.options import Parsed
from invctl.console.output import Column
from invctl.language import _
from invctl.ledger import barcodes, reads
from invctl.model.barcodes import parse_barcode

Code = Annotated[str, Argument(click_type=Parsed("BARCODE", parse_barcode), help="The code, as the scanner types it.")]


def add(ctx: Context, sku: Sku, barcode: Code, clerk: Clerk = None, request_id: RequestId = None) -> None:
    """Let a barcode stand for an item: every command takes either then. An item may have several.

    The check digit of an EAN or UPC has to be right.

    For example:

        invctl barcode add MOUSE-001 4006381333931
    """
    with open_ledger(ctx) as ledger:
        sku = meant(ledger, sku)
        receipt = barcodes.assign(ledger, sku, barcode, origin(clerk, request_id))
        did = _(" stands for {sku}", sku=sku) if receipt.seq else _(" stands already for {sku}", sku=sku)
        record = {"barcode": barcode, "sku": sku, "seq": receipt.seq or None, "replayed": receipt.replayed}
        output(ctx).result(record, message=[(barcode, "bold cyan"), did], ident=barcode)
        tell_asides(output(ctx), ledger, receipt)


def remove(ctx: Context, barcode: Code, clerk: Clerk = None, request_id: RequestId = None) -> None:
    """Let a barcode stand for nothing any more.

    For example:

        invctl barcode remove 4006381333931
    """
    with open_ledger(ctx) as ledger:
        receipt = barcodes.remove(ledger, barcode, origin(clerk, request_id))
        sku = receipt.event.data["sku"]
        record = {"barcode": barcode, "sku": sku, "seq": receipt.seq, "replayed": receipt.replayed}
        told = _(" stands for {sku} no longer", sku=sku)
        output(ctx).result(record, message=[(barcode, "bold cyan"), told], ident=barcode)
        tell_asides(output(ctx), ledger, receipt)


def list_(ctx: Context, sku: AnySku = None) -> None:
    """List the barcodes, of one item or of all.

    For example:

        invctl barcode list -o csv
    """
    with open_ledger(ctx) as ledger:
        if sku:
            sku = meant(ledger, sku)
            reads.stock(ledger, sku)
        found = barcodes.barcodes(ledger, sku)
    records = [{"barcode": barcode, "sku": of} for barcode, of in found]
    columns = [Column("barcode", style="cyan"), Column("sku", "SKU")]
    output(ctx).rows(columns, records, empty=_("no barcodes yet: `invctl barcode add SKU CODE` adds one"))

"""`invctl product reorder`."""

from typing import Annotated

from typer import Context, Option

from invctl.cli.command import meant, open_ledger
from invctl.cli.holding import tell_asides
from invctl.cli.origin import origin
from invctl.cli.parameters import Clerk, RequestId, Sku
from invctl.console.command import output
from invctl.console.options import whole
from invctl.language import _
from invctl.ledger import thresholds
from invctl.model.stock import QUANTITY_MAX

UNITS = whole(0, QUANTITY_MAX, "N")


def reorder(
    ctx: Context,
    sku: Sku,
    at: Annotated[
        int | None, Option("--at", click_type=UNITS, help="It is low when so few are available; 0: never.")
    ] = None,
    safety: Annotated[
        int | None, Option("--safety", click_type=UNITS, help="So many are not promised elsewhere.")
    ] = None,
    clerk: Clerk = None,
    request_id: RequestId = None,
) -> None:
    """Set at which level an item is low. The ledger notes it once, as the level crosses; `invctl stock --low` lists it.

    For example:

        invctl product reorder MOUSE-001 --at 10 --safety 3
    """
    with open_ledger(ctx) as ledger:
        sku = meant(ledger, sku)
        asked = origin(clerk, request_id)
        receipt = thresholds.set_thresholds(ledger, sku, reorder_point=at, safety_stock=safety, origin=asked)
        data = receipt.event.data if receipt.seq else {"reorder_point": at, "safety_stock": safety}
        record = {
            "sku": sku,
            "reorder_point": data["reorder_point"],
            "safety_stock": data["safety_stock"],
            "seq": receipt.seq or None,
            "replayed": receipt.replayed,
        }
        told = (
            _(" is low at {reorder_point:,}", reorder_point=data["reorder_point"])
            if receipt.seq
            else _(" is so already; nothing was done")
        )
        output(ctx).result(record, message=[(sku, "bold cyan"), told], ident=sku)
        tell_asides(output(ctx), ledger, receipt)

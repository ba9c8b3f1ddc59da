"""`invctl sell` and `invctl return`: over the counter, and back."""

from typing import Annotated

from typer import Argument, Context, Option

from invctl.cli.command import meant_lines, open_ledger
from invctl.cli.holding import tell, tell_asides
from invctl.cli.origin import origin
from invctl.cli.parameters import Clerk, Document, Item, RequestId
from invctl.cli.reserve import ITEM, as_typed
from invctl.cli.words import units
from invctl.console.command import output
from invctl.language import _
from invctl.ledger import adjustments, reservations
from invctl.model.stock import sum_lines

Items = Annotated[list[Item], Argument(click_type=ITEM, metavar="SKU[=N]", help="An item, and how many of it.")]


def sell(
    ctx: Context,
    items: Items,
    order: Annotated[str | None, Option("--order", metavar="TEXT", help="The customer's reference.")] = None,
    clerk: Clerk = None,
    request_id: RequestId = None,
) -> None:
    """Reserve and confirm in one step, all lines or none.

    One unit is meant where no number is given; the same item twice is summed. The sale has an id, as a reservation
    has, which `invctl show` tells of.

    For example:

        invctl sell MOUSE-001=2 LAPTOP-001 --order A-17
    """
    lines = sum_lines([*items])
    with open_ledger(ctx) as ledger:
        asked = origin(clerk, request_id)
        with as_typed(items):
            receipt = reservations.sell(ledger, meant_lines(ledger, lines), order=order or "", origin=asked)
        tell(output(ctx), ledger, receipt)


def return_(
    ctx: Context,
    items: Items,
    reason: Annotated[str, Option("--reason", metavar="TEXT", help="Why it came back, in the customer's words.")],
    document: Document = None,
    clerk: Clerk = None,
    request_id: RequestId = None,
) -> None:
    """Take back what was sold, into the stock. What cannot be sold again is `invctl adjust --reason damaged` then.

    For example:

        invctl return MOUSE-001 --reason 'wrong colour' --document R-7K4QMQ
    """
    lines = sum_lines([*items])
    with open_ledger(ctx) as ledger:
        asked = origin(clerk, request_id)
        with as_typed(items):
            back = meant_lines(ledger, lines)
            receipt = adjustments.adjust(ledger, back, "returned", note=reason, document=document or "", origin=asked)
        event = receipt.event
        entries = event.lines
        record = {
            "reason": event.data.get("note"),
            "document": event.data.get("document"),
            "clerk": event.data.get("clerk"),
            "lines": [{"sku": each.sku, "quantity": each.on_hand_change, **each.level._asdict()} for each in entries],
            "seq": receipt.seq,
            "replayed": receipt.replayed,
        }
        levels = "; ".join(
            _("{sku}: {on_hand:,} on hand", sku=each.sku, on_hand=each.level.on_hand) for each in entries
        )
        returned = units((each.sku, each.on_hand_change) for each in entries)
        output(ctx).result(
            record,
            message=_("returned {returned} ({levels})", returned=returned, levels=levels),
            ident=str(receipt.seq),
        )
        tell_asides(output(ctx), ledger, receipt)

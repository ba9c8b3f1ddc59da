"""`invctl receive` and `invctl adjust`: stock that comes, goes, or is found to differ."""

from typing import Annotated

from typer import Argument, Context, Option

from invctl.cli.command import open_ledger
from invctl.cli.holding import tell_replay
from invctl.cli.origin import origin
from invctl.cli.parameters import QUANTITY, WHOLE, Clerk, Note, RequestId, Sku
from invctl.console.command import output
from invctl.console.options import Parsed
from invctl.console.output import Output
from invctl.errors import InvalidValueError
from invctl.ledger import adjustments
from invctl.ledger.writing import Receipt


def parse_reason(text: str) -> str:
    """Read a reason. Raises InvalidValueError."""
    if text not in adjustments.REASONS:
        raise InvalidValueError(f"{text!r} is not a reason", hint="one of " + ", ".join(adjustments.REASONS))
    return text


REASON = Parsed("REASON", parse_reason)


def receive(
    ctx: Context,
    sku: Sku,
    quantity: Annotated[int, Argument(click_type=QUANTITY, help="How many units came.")],
    note: Note = None,
    clerk: Clerk = None,
    request_id: RequestId = None,
) -> None:
    """Take in a delivery of an item that the store carries.

    For example:

        invctl receive MOUSE-001 100 --note 'delivery 4711'
    """
    with open_ledger(ctx) as ledger:
        asked = origin(clerk, request_id)
        receipt = adjustments.adjust(ledger, {sku: quantity}, "received", note=note or "", origin=asked)
        _tell(output(ctx), receipt)


def adjust(
    ctx: Context,
    sku: Sku,
    change: Annotated[int, Argument(click_type=WHOLE, help="How many units more, or fewer.")],
    reason: Annotated[
        str, Option("--reason", click_type=REASON, help="Why: one of " + ", ".join(adjustments.REASONS) + ".")
    ],
    note: Note = None,
    clerk: Clerk = None,
    request_id: RequestId = None,
) -> None:
    """Correct what is on hand, with a reason. A correction appends to the history; nothing is edited.

    For example:

        invctl adjust MOUSE-001 -1 --reason damaged
    """
    with open_ledger(ctx) as ledger:
        asked = origin(clerk, request_id)
        receipt = adjustments.adjust(ledger, {sku: change}, reason, note=note or "", origin=asked)
        _tell(output(ctx), receipt)


def _tell(out: Output, receipt: Receipt) -> None:
    event = receipt.event
    (entry,) = event.lines
    level, reason = entry.level, event.data["reason"]
    record = {
        "sku": entry.sku,
        "change": entry.on_hand_change,
        "reason": reason,
        "note": event.data.get("note"),
        "clerk": event.data.get("clerk"),
        "on_hand": level.on_hand,
        "reserved": level.reserved,
        "available": level.available,
        "version": level.version,
        "seq": receipt.seq,
        "replayed": receipt.replayed,
    }
    did = f"{entry.on_hand_change:+d} {reason}: {level.on_hand} on hand, {level.available} available"
    out.result(record, message=[(entry.sku, "bold cyan"), f" {did}"], ident=entry.sku)
    tell_replay(out, receipt)

"""`invctl receive` and `invctl adjust`: stock that comes, goes, or is found to differ."""

from typing import TYPE_CHECKING, Annotated

from typer import Argument, Context, Option

from invctl.cli.command import meant, open_ledger
from invctl.cli.holding import tell_asides
from invctl.cli.origin import origin
from invctl.cli.parameters import QUANTITY, WHOLE, Clerk, Document, Note, RequestId, SkuAlone
from invctl.cli.words import called
from invctl.console.command import output
from invctl.console.options import Parsed
from invctl.console.output import Output
from invctl.errors import InvalidValueError
from invctl.language import _
from invctl.ledger import adjustments
from invctl.ledger.ledger import Ledger
from invctl.ledger.writing import Receipt

if TYPE_CHECKING:
    from typer._click import Context as AnyContext
    from typer._click import Parameter


def parse_reason(text: str) -> str:
    """Read a reason: `cycle_count`, also as `Cycle count`, as tables have it. Raises InvalidValueError."""
    reason = text.strip().lower().replace(" ", "_").replace("-", "_")
    if reason not in adjustments.REASONS:
        raise InvalidValueError(_("{text!r} is not a reason", text=text), hint=_("one of {names}", names=_REASONS))
    return reason


_REASONS = ", ".join(adjustments.REASONS)


class _Reason(Parsed):
    def get_missing_message(self, param: "Parameter", ctx: "AnyContext | None") -> str:  # noqa: ARG002 - click's signature
        """List the reasons to whoever gave none."""
        return _("It is one of {names}", names=_REASONS)


REASON = _Reason("REASON", parse_reason)


def receive(
    ctx: Context,
    sku: SkuAlone,
    quantity: Annotated[int, Argument(click_type=QUANTITY, help="How many units came.")],
    document: Document = None,
    note: Note = None,
    clerk: Clerk = None,
    request_id: RequestId = None,
) -> None:
    """Take in a delivery of an item that the store carries.

    For example:

        invctl receive MOUSE-001 100 --document 4711
    """
    with open_ledger(ctx) as ledger:
        receipt = adjustments.adjust(
            *(ledger, {meant(ledger, sku): quantity}, "received"),
            note=note or "",
            document=document or "",
            origin=origin(clerk, request_id),
        )
        _tell(output(ctx), ledger, receipt)


def adjust(
    ctx: Context,
    sku: SkuAlone,
    change: Annotated[int, Argument(click_type=WHOLE, help="How many units more, or fewer.")],
    reason: Annotated[str, Option("--reason", click_type=REASON, help=f"Why: one of {_REASONS}.")],
    document: Document = None,
    note: Note = None,
    clerk: Clerk = None,
    request_id: RequestId = None,
) -> None:
    """Correct what is on hand, with a reason. A correction appends to the history; nothing is edited.

    For example:

        invctl adjust MOUSE-001 -1 --reason damaged
    """
    with open_ledger(ctx) as ledger:
        receipt = adjustments.adjust(
            *(ledger, {meant(ledger, sku): change}, reason),
            note=note or "",
            document=document or "",
            origin=origin(clerk, request_id),
        )
        _tell(output(ctx), ledger, receipt)


def _tell(out: Output, ledger: Ledger, receipt: Receipt) -> None:
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
        "document": event.data.get("document"),
    }
    did = _(
        "{change:+,} {reason}: {on_hand:,} on hand, {available:,} available",
        change=entry.on_hand_change,
        reason=called(reason),
        on_hand=level.on_hand,
        available=level.available,
    )
    out.result(record, message=[(entry.sku, "bold cyan"), " ", did], ident=entry.sku)
    tell_asides(out, ledger, receipt)

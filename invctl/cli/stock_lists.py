"""Other looks at the stock: what is low, and how it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.cli.command import meant, open_ledger
from invctl.cli.holding import store_time
from invctl.cli.moments import parse_moment
from invctl.console.command import output
from invctl.console.output import Column
from invctl.errors import InvalidValueError
from invctl.language import _
from invctl.ledger import reads, thresholds

if TYPE_CHECKING:
    from typer import Context


def show_low(ctx: Context) -> None:
    """List what is low."""
    with open_ledger(ctx) as ledger:
        rows = thresholds.low(ledger)
    columns = [
        Column("sku", "SKU", style="cyan"),
        Column("name", folds=True, drop=2),
        Column("on_hand", drop=4),
        Column("reserved", drop=5),
        Column("available", style="bold"),
        Column("reorder_point", "Low at"),
        Column("safety_stock", drop=3),
    ]
    output(ctx).rows(columns, [row._asdict() for row in rows], empty=_("nothing is low"))


def show_at(ctx: Context, sku: str | None, text: str) -> None:
    """List what was on hand and reserved at a moment."""
    with open_ledger(ctx) as ledger:
        when = store_time(ledger)
        at_us = parse_moment(text, when)
        if at_us > ledger.now_us():
            raise InvalidValueError(
                _("{text!r} is still to come", text=text), hint=_("`invctl stock` shows what there is now")
            )
        rows = reads.stock_at(ledger, at_us, sku and meant(ledger, sku))
    columns = [
        Column("sku", "SKU", style="cyan"),
        Column("name", folds=True, drop=1),
        Column("on_hand"),
        Column("reserved"),
        Column("available", style="bold"),
        Column("version", in_table=False),
        Column("as_of_seq", "As of event", drop=2),
    ]
    output(ctx).rows(columns, [row._asdict() for row in rows], empty=_("there were no products yet"))
    output(ctx).talk(_("as of {time}", time=when.exact(at_us)))

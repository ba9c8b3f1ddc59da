"""`invctl count`: the shelves, counted while trade goes on."""

from typing import Annotated, Any

from typer import Argument, Context, Option

from invctl.cli.command import meant, open_ledger
from invctl.cli.holding import store_time, tell_asides
from invctl.cli.origin import origin
from invctl.cli.parameters import WHOLE, Clerk, Note, SkuAlone
from invctl.cli.times import StoreTime
from invctl.clock import format_time
from invctl.console.command import output
from invctl.console.output import Column
from invctl.errors import InvalidValueError
from invctl.language import _, _n, number
from invctl.ledger import counting
from invctl.ledger.counting import Line


def start(ctx: Context, note: Note = None, clerk: Clerk = None) -> None:
    """Begin a count. Sales go on meanwhile: each line is compared with the stock as of the moment it was counted.

    For example:

        invctl count start --note 'year end'
    """
    with open_ledger(ctx) as ledger:
        count = counting.start(ledger, note=note or "", origin=origin(clerk, None))
    record = {"started_at": format_time(count.started_us), "clerk": count.clerk or None, "note": count.note or None}
    output(ctx).result(
        record, message=_("a count is under way: `invctl count line SKU N` for each item"), ident="started"
    )


def line(
    ctx: Context,
    sku: SkuAlone,
    quantity: Annotated[int, Argument(click_type=WHOLE, metavar="N", help="How many are on the shelf, 0 or more.")],
    more: Annotated[bool, Option("--more", help="So many were found elsewhere, too: add them.")] = False,
    clerk: Clerk = None,
) -> None:
    """Note what is on the shelf of an item now. A second time replaces the first, unless it is --more.

    Reserved units that are still on the shelf are counted with the others.

    For example:

        invctl count line MOUSE-001 42
        invctl count line MOUSE-001 6 --more
    """
    if quantity < 0:
        raise InvalidValueError(_("{quantity:,} cannot be on a shelf", quantity=quantity), hint=_("0 or more"))
    with open_ledger(ctx) as ledger:
        counted = counting.line(ledger, meant(ledger, sku), quantity, more=more, origin=origin(clerk, None))
    told = _(" {counted:,} counted, {difference}", counted=counted.counted, difference=_difference(counted))
    if counted.found_before is not None:
        # Both shelves are of one moment: the sum is not what the clerk would make it, where trade went on.
        told += _("; {before:,} counted before", before=counted.found_before)
        told += _(", {moved:+,} moved since", moved=counted.moved) if counted.moved else ""
        told += _(", {quantity:,} more now", quantity=quantity)
    output(ctx).result(_record(counted), message=[(counted.sku, "bold cyan"), told], ident=counted.sku)


def status(ctx: Context) -> None:
    """Show what was counted so far, and how it differs from what there should have been then.

    For example:

        invctl count status
        invctl count status -o csv
    """
    with open_ledger(ctx) as ledger:
        found = counting.lines(ledger)
        when = store_time(ledger)
    _table(ctx, found, when)
    if found and output(ctx).fmt == "table":
        output(ctx).talk(_("{summed}; `invctl count finish` posts it", summed=_summed(found)))


def finish(
    ctx: Context,
    anyway: Annotated[bool, Option("--anyway", help="Post also what was counted more than a day ago.")] = False,
    clerk: Clerk = None,
) -> None:
    """Post the differences, and end the count. What was sold or received since an item was counted stays right.

    For example:

        invctl count finish
    """
    with open_ledger(ctx) as ledger:
        found, receipt = counting.finish(ledger, anyway=anyway, origin=origin(clerk, None))
        when = store_time(ledger)
        out = output(ctx)
        if out.fmt == "table" and not out.quiet:
            _table(ctx, found, when)
        record = {**_sums(found), "seq": receipt.seq, "lines": [_record(each) for each in found]}
        out.result(record, message=_("posted: {summed}", summed=_summed(found)), ident=str(receipt.seq))
        tell_asides(out, ledger, receipt)


def cancel(ctx: Context) -> None:
    """End the count, and post nothing.

    For example:

        invctl count cancel
    """
    with open_ledger(ctx) as ledger:
        dropped = counting.cancel(ledger)
    said = _n(
        "the count is ended, {n:,} line dropped; nothing was posted",
        "the count is ended, {n:,} lines dropped; nothing was posted",
        dropped,
    )
    output(ctx).result({"dropped": dropped}, message=said, ident=str(dropped))


def _table(ctx: Context, found: list[Line], when: StoreTime) -> None:
    columns = [
        Column("sku", "SKU", style="cyan"),
        Column("name", folds=True, drop=3),
        Column("counted", style="bold"),
        Column("expected"),
        Column("variance", show=lambda value: number(value, "+,") if value else "0"),
        Column("on_hand", drop=4),
        Column("reserved", drop=5),
        Column("counted_at", "Counted at", show=when.short, drop=2),
        Column("counted_seq", in_table=False),
        Column("clerk", drop=6, in_table=any(each.clerk for each in found)),
        Column("stale", show=_, folds=True, drop=1, in_table=any(each.stale for each in found)),
    ]
    output(ctx).rows(columns, [_record(each) for each in found], empty=_("nothing was counted yet"))


def _record(each: Line) -> dict[str, Any]:
    return {
        "sku": each.sku,
        "name": each.name,
        "counted": each.counted,
        "expected": each.expected,
        "variance": each.variance,
        "on_hand": each.on_hand,
        "reserved": each.reserved,
        "counted_at": format_time(each.at_us),
        "counted_seq": each.seq,
        "clerk": each.clerk or None,
        "stale": each.stale or None,
    }


def _difference(each: Line) -> str:
    if not each.variance:
        return _("as it should be")
    if each.variance > 0:
        return _("{n:,} more than there should be ({expected:,})", n=each.variance, expected=each.expected)
    return _("{n:,} fewer than there should be ({expected:,})", n=-each.variance, expected=each.expected)


def _summed(found: list[Line]) -> str:
    sums = _sums(found)
    if not sums["more"] and not sums["fewer"]:
        return _("{items} counted, all as it should be", items=_n("{n:,} item", "{n:,} items", sums["items"]))
    return _(
        "{items} counted, {more} more and {fewer:,} fewer than there should have been",
        items=_n("{n:,} item", "{n:,} items", sums["items"]),
        more=_n("{n:,} unit", "{n:,} units", sums["more"]),
        fewer=sums["fewer"],
    )


def _sums(found: list[Line]) -> dict[str, int]:
    more = sum(each.variance for each in found if each.variance > 0)
    fewer = -sum(each.variance for each in found if each.variance < 0)
    return {"items": len(found), "more": more, "fewer": fewer}

"""`invctl reservations`."""

from typing import Annotated, Any

from typer import Context, Option

from invctl.cli.command import meant, open_ledger
from invctl.cli.holding import store_time
from invctl.cli.parameters import SKU
from invctl.cli.times import StoreTime
from invctl.cli.words import called, units
from invctl.console.command import output
from invctl.console.options import Parsed, whole
from invctl.console.output import Column
from invctl.errors import InvalidValueError
from invctl.language import _, number
from invctl.ledger import reads
from invctl.model.reservation import Reservation

STATUSES = ("pending", "confirmed", "cancelled", "expired")
LIMIT = 1000

COLUMNS = [
    Column(key)
    for key in ("reservation", "status", "order", "clerk", "created_at", "expires_at", "ended_at", "seq", "lines")
]


def parse_status(text: str) -> str:
    """Read a status; an open reservation is a pending one. Raises InvalidValueError."""
    status = text.strip().lower()
    if status not in (*STATUSES, "open"):
        raise InvalidValueError(
            _("{text!r} is not a status", text=text), hint=_("one of {names}", names=", ".join(STATUSES))
        )
    return "pending" if status == "open" else status


def reservations(
    ctx: Context,
    status: Annotated[
        str | None,
        Option(
            "--status", click_type=Parsed("STATUS", parse_status), help="Those that are " + ", ".join(STATUSES) + "."
        ),
    ] = None,
    every: Annotated[bool, Option("--all", help="Those that have ended, too.")] = False,
    sku: Annotated[str | None, Option("--sku", click_type=SKU, help="Those with a line of this item.")] = None,
    order: Annotated[str | None, Option("--order", metavar="TEXT", help="Those of this customer's reference.")] = None,
    limit: Annotated[int, Option("--limit", click_type=whole(1, LIMIT * 100, "N"), help="At most so many.")] = LIMIT,
) -> None:
    """List the open reservations, those first that expire next. Others are listed newest first.

    For example:

        invctl reservations
        invctl reservations --sku MOUSE-001 --status confirmed
    """
    if status and every:
        raise InvalidValueError(_("--status and --all contradict each other"), hint=_("give one of them"))
    wanted = None if every else status or "pending"
    with open_ledger(ctx) as ledger:
        found = reads.reservations(ledger, status=wanted, sku=sku and meant(ledger, sku), order=order, limit=limit + 1)
        when = store_time(ledger)
    more, found = len(found) > limit, found[:limit]
    out = output(ctx)
    if out.fmt == "table":
        columns, records = _table(found, when)
        if wanted == "pending":
            columns = [column for column in columns if column.key != "status"]
    else:
        columns, records = COLUMNS, [entry.as_dict() for entry in found]
    out.rows(columns, records, empty=_("no open reservations") if wanted == "pending" else _("no such reservations"))
    if more:
        out.talk(_("there are more than the {limit:,} shown: see --limit", limit=limit))


def _table(found: list[Reservation], when: StoreTime) -> tuple[list[Column], list[dict[str, Any]]]:
    """Return the columns and the records of the table for people. The zone of the times stands above them."""
    ends = [entry.ended_at or entry.expires_at for entry in found]
    zone = when.shared_zone(ends)
    columns = [
        Column("reservation", style="bold cyan"),
        Column("status", show=called),
        Column("until", _("Until {zone}", zone=zone).strip()),
        Column("left", drop=2),
        Column("items", folds=True),
        Column("order", folds=True),
        Column("clerk", drop=1),
    ]
    records = [
        {
            "reservation": entry.reservation,
            "status": entry.status,
            "until": when.short(end, named=not zone),
            "left": when.until(entry.expires_at) if entry.pending else None,
            "items": items(entry),
            "order": entry.order or None,
            "clerk": entry.clerk or None,
        }
        for entry, end in zip(found, ends, strict=True)
    ]
    return columns, records


def items(reservation: Reservation) -> str:
    """Return what it holds, or held; of a sale what was sold: `1 of 2 MOUSE-001, 1 LAPTOP-001`."""
    if reservation.status != "confirmed":
        return units((entry.sku, entry.quantity) for entry in reservation.lines)
    return ", ".join(
        f"{number(entry.confirmed)} {entry.sku}"
        if not entry.released
        else _("{confirmed:,} of {quantity:,} {sku}", confirmed=entry.confirmed, quantity=entry.quantity, sku=entry.sku)
        for entry in reservation.lines
    )

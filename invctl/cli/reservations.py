"""`invctl reservations`."""

from typing import Annotated, Any

from typer import Context, Option

from invctl.cli.command import open_ledger
from invctl.cli.holding import store_time
from invctl.cli.parameters import SKU
from invctl.cli.times import StoreTime
from invctl.cli.words import units
from invctl.console.command import output
from invctl.console.options import Parsed
from invctl.console.output import Column
from invctl.errors import InvalidValueError
from invctl.ledger import reads
from invctl.model.reservation import Reservation

STATUSES = ("pending", "confirmed", "cancelled", "expired")
LIMIT = 1000

COLUMNS = [
    Column(key)
    for key in ("reservation", "status", "order", "clerk", "created_at", "expires_at", "ended_at", "seq", "lines")
]

_PEOPLES = [
    Column("reservation", style="bold cyan"),
    Column("status"),
    Column("until"),
    Column("left"),
    Column("items"),
    Column("order"),
    Column("clerk"),
]


def parse_status(text: str) -> str:
    """Read a status. Raises InvalidValueError."""
    if text not in STATUSES:
        raise InvalidValueError(f"{text!r} is not a status", hint="one of " + ", ".join(STATUSES))
    return text


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
    limit: Annotated[int, Option("--limit", min=1, max=LIMIT * 100, metavar="N", help="At most so many.")] = LIMIT,
) -> None:
    """List the open reservations, those first that expire next. Others are listed newest first.

    For example:

        invctl reservations
        invctl reservations --sku MOUSE-001 --status confirmed
    """
    if status and every:
        raise InvalidValueError("--status and --all contradict each other", hint="give one of them")
    wanted = None if every else status or "pending"
    with open_ledger(ctx) as ledger:
        found = reads.reservations(ledger, status=wanted, sku=sku, order=order, limit=limit)
        when = store_time(ledger)
    out = output(ctx)
    if out.fmt == "table":
        columns, records = _PEOPLES, [_for_people(entry, when) for entry in found]
        columns = [column for column in columns if column.key not in (("status",) if wanted == "pending" else ())]
    else:
        columns, records = COLUMNS, [entry.as_dict() for entry in found]
    out.rows(columns, records, empty="no open reservations" if wanted == "pending" else "no such reservations")
    if len(found) == limit:
        out.talk(f"there may be more than these {limit}: see --limit")


def _for_people(reservation: Reservation, when: StoreTime) -> dict[str, Any]:
    return {
        "reservation": reservation.reservation,
        "status": reservation.status,
        "until": when.short(reservation.ended_at or reservation.expires_at),
        "left": when.until(reservation.expires_at) if reservation.pending else None,
        "items": items(reservation),
        "order": reservation.order or None,
        "clerk": reservation.clerk or None,
    }


def items(reservation: Reservation) -> str:
    """Return what it holds, or held; of a sale what was sold: `1 of 2 MOUSE-001, 1 LAPTOP-001`."""
    if reservation.status != "confirmed":
        return units((entry.sku, entry.quantity) for entry in reservation.lines)
    return ", ".join(
        f"{entry.confirmed} {entry.sku}" if not entry.released else f"{entry.confirmed} of {entry.quantity} {entry.sku}"
        for entry in reservation.lines
    )

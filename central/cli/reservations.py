"""`invcentral reservations`."""

from typing import Annotated, Any

from typer import Context, Option

from central import reads
from central.cli import words
from central.cli.columns import all_columns, telling
from central.cli.command import read
from central.cli.parameters import SKU, AnyStore
from central.cli.times import LocalTime
from central.database import now_us
from central.views import ReservationRow
from invctl.console.command import output
from invctl.console.options import Parsed
from invctl.console.output import Column
from invctl.errors import InvalidValueError
from invctl.model.events import STATUS_AFTER

EVERY = "all"
STATUSES = (*dict.fromkeys(STATUS_AFTER.values()), EVERY)
LIMIT = 1000

_PEOPLES = [
    Column("reservation", style="bold cyan"),
    Column("status"),
    Column("items"),
    Column("until"),
    Column("ended"),
    Column("order"),
    Column("clerk"),
    Column("as_of", "As of seq"),
]
_OPTIONAL = ("status", "until", "ended", "order", "clerk")


def parse_status(text: str) -> str:
    """Read a status, or `all`. Raises InvalidValueError."""
    if text not in STATUSES:
        raise InvalidValueError(f"{text!r} is not a status", hint="one of " + ", ".join(STATUSES))
    return text


def reservations(
    ctx: Context,
    store: AnyStore = None,
    status: Annotated[
        str,
        Option("--status", click_type=Parsed("STATUS", parse_status), help="One of " + ", ".join(STATUSES) + "."),
    ] = "pending",
    sku: Annotated[str | None, Option("--sku", click_type=SKU, help="Those with a line of this item.")] = None,
    limit: Annotated[int, Option("--limit", min=1, metavar="N", help="At most so many.")] = LIMIT,
) -> None:
    """List the stores' open reservations, or others, with how fresh that is.

    For example:

        invcentral reservations --store downtown
        invcentral reservations --status expired
    """
    out = output(ctx)
    with read(ctx) as connection:
        rows = reads.reservations(
            connection, store=store, status=None if status == EVERY else status, sku=sku, limit=limit
        )
        if out.fmt != "table":
            out.rows(all_columns(ReservationRow), (row.as_dict() for row in rows), ident="reservation")
            return
        when = LocalTime(now_us(connection))
        records = [_for_people(row, when, status) for row in rows]
    out.rows(telling(_PEOPLES, records, _OPTIONAL), records, empty=_nothing(status))
    if len(records) == limit:
        out.talk(f"there may be more than these {limit}: see --limit")


def _nothing(status: str) -> str:
    return "no reservations" if status == EVERY else f"no {status} reservations"


def _for_people(row: ReservationRow, when: LocalTime, wanted: str) -> dict[str, Any]:
    return {
        "reservation": f"{row.store}/{row.reservation}",
        "status": row.status if wanted == EVERY else None,
        "items": words.units((line["sku"], line["quantity"]) for line in row.lines),
        "until": when.second(row.expires_us) if row.ended_us is None else None,
        "ended": None if row.ended_us is None else when.second(row.ended_us),
        "order": row.order,
        "clerk": row.clerk,
        "as_of": words.as_of(row.fresh),
    }

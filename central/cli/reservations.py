"""`invcentral reservations`."""

from contextlib import closing
from typing import Annotated, Any

from typer import Context, Option

from central import reads
from central.cli import words
from central.cli.columns import all_columns, telling
from central.cli.command import read
from central.cli.parameters import SKU, AnyStore
from central.cli.presence import tell_if_stopped
from central.cli.times import LocalTime
from central.database import now_us
from central.views import ReservationRow
from invctl.console.command import output
from invctl.console.options import Parsed, whole
from invctl.console.output import Column
from invctl.errors import InvalidValueError
from invctl.model.events import STATUS_AFTER

EVERY = "all"
STATUSES = (*dict.fromkeys(STATUS_AFTER.values()), EVERY)
LIMIT = 1000
LIMIT_MAX = 1_000_000
_ALIASES = {"open": "pending"}

_PEOPLES = [
    Column("reservation", style="bold cyan"),
    Column("status"),
    Column("items", folds=True),
    Column("until"),
    Column("ended"),
    Column("order", folds=True, drop=3),
    Column("clerk", drop=2),
    Column("as_of_seq", "As of", drop=5),
    Column("age", drop=1),
    Column("doubt", folds=True, drop=4),
]
_TIMES = ("until", "ended")
_OPTIONAL = ("status", "until", "ended", "order", "clerk", "doubt")


def parse_status(text: str) -> str:
    """Read a status, or `all`. Raises InvalidValueError."""
    text = _ALIASES.get(text, text)
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
    every: Annotated[bool, Option("--all", help="Those that have ended, too.")] = False,
    sku: Annotated[str | None, Option("--sku", click_type=SKU, help="Those with a line of this item.")] = None,
    limit: Annotated[int, Option("--limit", click_type=whole(1, LIMIT_MAX, "N"), help="At most so many.")] = LIMIT,
) -> None:
    """List the stores' open reservations, or others, with how fresh that is.

    For example:

        invcentral reservations --store downtown
        invcentral reservations --status expired
    """
    status = EVERY if every else status
    out = output(ctx)
    wanted = None if status == EVERY else status
    # Closed before its connection is, also where our reader has gone.
    with (
        read(ctx) as connection,
        closing(reads.reservations(connection, store=store, status=wanted, sku=sku, limit=limit)) as rows,
    ):
        tell_if_stopped(ctx, out, connection)
        if out.fmt != "table":
            out.rows(all_columns(ReservationRow), (row.as_dict() for row in rows), ident="reservation")
            return
        when = LocalTime(now_us(connection))
        records = [_for_people(row, when, status) for row in rows]
    columns = [
        column._replace(title=f"{column.heading} {when.zone}") if column.key in _TIMES else column
        for column in telling(_PEOPLES, records, _OPTIONAL)
    ]
    left_out = out.rows(columns, records, empty=_nothing(status))
    if "doubt" in left_out:
        for name, doubt in {record["store"]: record["doubt"] for record in records if record["doubt"]}.items():
            out.talk([("doubt:", "bold yellow"), f" {name}: {doubt}"])
    if len(records) == limit:
        out.talk(f"there may be more: these are the first {limit}; see --limit")


def _nothing(status: str) -> str:
    return "no reservations" if status == EVERY else f"no {status} reservations"


def _for_people(row: ReservationRow, when: LocalTime, wanted: str) -> dict[str, Any]:
    return {
        "store": row.store,
        "reservation": f"{row.store}/{row.reservation}",
        "status": row.status if wanted == EVERY else None,
        "items": words.reserved_lines(row.lines),
        "until": when.second(row.expires_us) if row.ended_us is None else None,
        "ended": None if row.ended_us is None else when.second(row.ended_us),
        "order": row.order,
        "clerk": row.clerk,
        "as_of_seq": row.fresh.as_of_seq,
        "age": words.bare_age(row.fresh),
        "doubt": words.doubts(row.fresh),
    }

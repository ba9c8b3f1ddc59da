"""`invcentral reservations`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Context, Option

from central import reads
from central.cli import words
from central.cli.columns import all_columns
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

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERY = "all"
STATUSES = (*dict.fromkeys(STATUS_AFTER.values()), EVERY)
LIMIT = 1000

_PEOPLES = [
    Column("reservation", style="bold cyan"),
    Column("status"),
    Column("items"),
    Column("until"),
    Column("order"),
    Column("clerk"),
    Column("as_of_seq", "As of seq"),
    Column("age"),
]


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
    found = 0

    def counted(rows: Iterator[ReservationRow]) -> Iterator[ReservationRow]:
        nonlocal found
        for row in rows:
            found += 1
            yield row

    with read(ctx) as connection:
        rows = counted(
            reads.reservations(
                connection, store=store, status=None if status == EVERY else status, sku=sku, limit=limit
            )
        )
        if out.fmt == "table":
            when = LocalTime(now_us(connection))
            out.rows(_PEOPLES, (_for_people(row, when) for row in rows), empty=_nothing(status))
        else:
            out.rows(all_columns(ReservationRow), (row.as_dict() for row in rows), ident="reservation")
    if found == limit:
        out.talk(f"there may be more than these {limit}: see --limit")


def _nothing(status: str) -> str:
    return "no reservations" if status == EVERY else f"no {status} reservations"


def _for_people(row: ReservationRow, when: LocalTime) -> dict[str, Any]:
    return {
        **row.as_dict(),
        "items": words.units((line["sku"], line["quantity"]) for line in row.lines),
        "until": when.second(row.ended_us or row.expires_us),
        "age": words.age(row.fresh),
    }

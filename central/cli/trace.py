"""`invcentral trace`."""

import re
from typing import Annotated, Any, NamedTuple

from typer import Argument, Context

from central.cli import words
from central.cli.command import read
from central.cli.parameters import AnyStore
from central.cli.times import LocalTime
from central.database import now_us
from central.tracing import Traced, trace_ident, trace_reservation
from invctl.console.command import output
from invctl.console.options import Parsed
from invctl.console.output import Column
from invctl.errors import InvalidValueError
from invctl.model.identifiers import (
    RESERVATION_PREFIX,
    check_store,
    is_whole_reservation_body,
    reservation_body,
)

_IDENT = re.compile(r"(?:[0-9a-f]{2}-)?([0-9a-f]{32})(?:-[0-9a-f]{16}-[0-9a-f]{2})?")
_COLUMNS = [
    Column(name)
    for name in (
        *("store", "seq", "id", "type", "trace", "what", "committed_at", "applied_at", "took_s", "shard", "position"),
        *("acknowledged", "hash"),
    )
]


class Wanted(NamedTuple):
    """What is to be traced: a reservation, at one store if that is named, or an event or trace by its id."""

    reservation: str = ""
    store: str | None = None
    ident: str = ""


def parse_wanted(text: str) -> Wanted:
    """Read `R-7K4QMQ`, `downtown/R-7K4QMQ`, or the id of an event or a trace. Raises InvalidValueError."""
    if found := _IDENT.fullmatch(text.strip().lower()):
        return Wanted(ident=found[1])
    store, slash, key = text.rpartition("/")
    try:
        body = reservation_body(key)
    except InvalidValueError:
        body = ""
    if not is_whole_reservation_body(body):
        raise InvalidValueError(
            f"{text!r} is neither a whole reservation id nor that of an event or trace",
            hint="such as R-7K4QMQ, downtown/R-7K4QMQ, or 32 hexadecimal digits",
        )
    return Wanted(RESERVATION_PREFIX + body, check_store(store) if slash else None)


def trace(
    ctx: Context,
    wanted: Annotated[
        Wanted,
        Argument(
            click_type=Parsed("ID", parse_wanted),
            metavar="ID",
            help="A reservation, the id of an event, or that of a trace.",
        ),
    ],
    store: AnyStore = None,
) -> None:
    """Show where an event is on its way: when its store committed it, when it came here, and at which position.

    Of a reservation all events are shown in order, of a trace all that belong to it. `Took` is by two clocks, the
    store's and the database's. `Heard` says that the store is known to have heard that it is here. By the id of an
    event or a trace the whole archive is read, with --store that of one store.

    For example:

        invcentral trace downtown/R-7K4QMQ
        invcentral trace 4bf92f3577b34da6a3ce929d0e0e4736 --store downtown
    """
    if store and wanted.store and store != wanted.store:
        raise InvalidValueError(f"--store {store} and {wanted.store}/ contradict each other", hint="give one of them")
    store = store or wanted.store
    with read(ctx) as connection:
        if wanted.reservation:
            found = trace_reservation(connection, wanted.reservation, store)
        else:
            found = trace_ident(connection, wanted.ident, store)
        when = LocalTime(now_us(connection))
    out = output(ctx)
    if out.fmt == "table" and not out.quiet:
        several = len({each.event.shard for each in found}) > 1
        out.rows(_peoples(when), [_for_people(each, when, several=several) for each in found])
    else:
        out.rows(_COLUMNS, [each.as_dict() | {"what": words.describe(each.event)} for each in found], ident="id")


def _peoples(when: LocalTime) -> list[Column]:
    return [
        Column("store", style="bold cyan", drop=2),
        Column("seq", "Event"),
        Column("what", folds=True),
        Column("committed", f"Committed {when.zone}"),
        Column("applied", f"Here {when.zone}", drop=3),
        Column("took"),
        Column("position", drop=1),
        Column("heard"),
    ]


def _for_people(each: Traced, when: LocalTime, *, several: bool) -> dict[str, Any]:
    event = each.event
    return {
        "store": event.store,
        "seq": event.seq,
        "what": words.describe(event),
        "committed": None if event.time_us is None else when.millisecond(event.time_us),
        "applied": when.millisecond(event.applied_us),
        "took": None if each.took_s is None else words.milliseconds(each.took_s * 1000),
        "position": f"{event.shard}:{event.position}" if several else event.position,
        "heard": "yes" if each.acknowledged else "not known",
    }

"""`invcentral suspects`: which SKUs are in doubt, why, and an operator's word about them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Context, Option

from central import doubt
from central import suspects as reads
from central.cli import words
from central.cli.columns import telling
from central.cli.command import open_engine, read
from central.cli.parameters import SKU, AnyStore, Store
from central.cli.times import LocalTime
from central.database import now_us
from invctl.console.command import output
from invctl.console.output import Column

if TYPE_CHECKING:
    from central.suspects import Cleared, Suspect, SuspectRow
    from invctl.console.style import Part

REASONS = {
    doubt.UNREADABLE: "an event that names it cannot be read",
    doubt.UNSTORABLE: "an event that names it holds what no database takes",
    doubt.DOES_NOT_FOLLOW: "its level does not follow from the one before it",
    doubt.IMPOSSIBLE_LEVEL: "its level is one that no store can have",
    doubt.RESERVATION_TWICE: "a reservation that holds it was made twice",
    doubt.RESERVATION_UNKNOWN: "a reservation that holds it was changed, and had never been made",
    doubt.RESERVATION_ENDED: "a reservation that holds it was changed after it had ended",
    doubt.CHECKPOINT_DIFFERS: "the store states another level of it than its own events come to",
}
_COLUMNS = [
    Column(name) for name in ("store", "sku", "name", "reason", "seq", "on_hand", "reserved", "version", "since_at")
]
_PEOPLES = [
    Column("store", style="bold"),
    Column("sku", "SKU", style="cyan"),
    Column("name", folds=True, drop=1),
    Column("on_hand", drop=3),
    Column("reserved", drop=3),
    Column("since", drop=2),
    Column("seq", "Event", drop=4),
    Column("why", folds=True),
]


def list_(ctx: Context, store: AnyStore = None) -> None:
    """List the SKUs whose level is in doubt, and why. A count at the store settles a doubt.

    For example:

        invcentral suspects list --store downtown
    """
    out = output(ctx)
    with read(ctx) as connection, closing(reads.suspects(connection, store)) as rows:
        if out.fmt != "table" or out.quiet:
            out.rows(_COLUMNS, (row.as_dict() for row in rows), ident="sku")
            return
        when = LocalTime(now_us(connection))
        records = [_for_people(row, when) for row in rows]
    columns = [
        column._replace(title=f"Since {when.zone}") if column.key == "since" else column
        for column in telling(_PEOPLES, records, ("name",))
    ]
    out.rows(columns, records, empty="nothing is in doubt")
    if records:
        first = records[0]
        hint = f" `invcentral suspects show {first['store']} {first['sku']}` tells more, and what to do"
        out.talk([("hint:", "bold"), hint])


def show(
    ctx: Context,
    store: Store,
    sku: Annotated[str, Argument(click_type=SKU, metavar="SKU", help="The item.")],
) -> None:
    """Show why a SKU is in doubt: since which event, its level here and by the store's events, and what to do.

    For example:

        invcentral suspects show downtown MOUSE-001
    """
    with read(ctx) as connection:
        found = reads.suspect_of(connection, store, sku)
        when = LocalTime(now_us(connection))
    output(ctx).result(found.as_dict() | {"what_to_do": _what_to_do(found)}, message=_message(found, when), ident=sku)


def clear(
    ctx: Context,
    store: Store,
    skus: Annotated[list[str], Argument(click_type=SKU, metavar="SKU", help="The items.")],
    rebuild: Annotated[
        bool, Option("--rebuild", help="Where a level drifted, take what the store's events say.")
    ] = False,
) -> None:
    """Settle doubts by your word: the levels are right as they are. All of them are settled, or none.

    It is refused where a level is not what the store's events come to, unless it is rebuilt from them. What the store
    goes on to dispute is in doubt again after its next checkpoint.

    For example:

        invcentral suspects clear downtown MOUSE-001
    """
    with open_engine(ctx) as engine:
        done = reads.clear(engine, store, skus, rebuild=rebuild)
    fields = ("store", "sku", "reason", "on_hand", "reserved", "version", "rebuilt")
    emit = output(ctx).stream([Column(name) for name in fields], ident="sku")
    for each in done:
        record = {
            "store": each.store,
            "sku": each.sku,
            "reason": each.reason,
            **each.level._asdict(),
            "rebuilt": each.rebuilt and each.rebuilt._asdict(),
        }
        emit(record, _cleared(each))


def _for_people(row: SuspectRow, when: LocalTime) -> dict[str, Any]:
    return {**row.as_dict(), "since": when.second(row.since_us), "why": REASONS.get(row.reason, row.reason)}


def _message(found: Suspect, when: LocalTime) -> list[Part]:
    row, archived = found.row, found.archived
    why = REASONS.get(row.reason, row.reason)
    event = words.describe(found.event) if found.event else "is not here"
    by_events = "none: no event moves it"
    if archived.seq:
        by_events = f"{archived.level if found.drifted else 'the same'}, by event {archived.seq}"
    parts: list[Part] = [
        (row.sku, "bold cyan"),
        f" of {row.store} is in doubt since {when.second(row.since_us)} {when.zone}: {why}",
        ("\nevent", "bold"),
        f"       {row.seq}: {event}",
        ("\nlevel here", "bold"),
        f"  {row.level}",
        ("\nby events", "bold"),
        f"   {by_events}",
    ]
    for number, advice in enumerate(_what_to_do(found)):
        parts += [("\n" + ("" if number else "what to do").ljust(10), "bold"), f"  {advice}"]
    return parts


def _what_to_do(found: Suspect) -> list[str]:
    row = found.row
    clear_it = f"invcentral suspects clear {row.store} {row.sku}"
    if found.drifted:
        return [f"it drifted here: `{clear_it} --rebuild` takes what the store's events say"]
    advice = []
    if row.reason == doubt.CHECKPOINT_DIFFERS:
        advice.append("at the store, `invctl verify` says where its table is not what its events come to")
    return [
        *advice,
        f"count it at the store: `invctl adjust {row.sku} CHANGE --reason cycle_count` there; CHANGE may be 0",
        f"or, where you know that the level is right: `{clear_it}`",
    ]


def _cleared(each: Cleared) -> list[Part]:
    parts: list[Part] = [(each.sku, "bold cyan"), f" of {each.store}"]
    if each.rebuilt is not None:
        parts.append(f" is rebuilt from {each.rebuilt}")
    if each.reason is not None:
        parts.append(" and is no longer in doubt" if each.rebuilt is not None else " is no longer in doubt")
    return [*parts, f": {each.level}"]

"""`invcentral tail`."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any
from zlib import crc32

from typer import Context, Option

from central.cli import words
from central.cli.command import open_engine
from central.cli.following import Filters, Follower
from central.cli.narrow import cut, line_width
from central.cli.parameters import SKU, STORE
from central.cli.presence import PresenceWatch
from central.cli.times import LocalTime
from central.database import now_us, reading
from central.tail import (
    TYPE_PREFIX,
    Positions,
    format_positions,
    latest_positions,
    parse_positions,
    positions_before,
    unknown_names,
)
from invctl.clock import SystemClock, parse_time
from invctl.console.options import Parsed, shared
from invctl.console.output import Column, Format, Output
from invctl.console.units import parse_duration
from invctl.errors import InvalidValueError, NotFoundError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from central.tail import TailEvent
    from invctl.console.style import Part

COLUMNS = [
    Column(name)
    for name in (
        *("position", "shard", "resume", "store", "seq", "id", "type", "time", "applied_at", "subject", "trace"),
        *("data", "hash", "body"),
    )
]
STORE_STYLES = ("cyan", "magenta", "yellow", "green", "blue")
LATE_S = 1.0
AGAIN_CHARS_MAX = 66
"""Of a command that is shown on one line: folded at a space, it would be two."""


class Ago(int):
    """A number of seconds before now."""


class Bare(dict[int, int]):
    """A position that was given without its shard: it says where to begin only where there is one shard, or at 0."""


def parse_start(text: str) -> Positions:
    """Read positions, which are Bare where no shard is named. Raises InvalidValueError."""
    positions = parse_positions(text)
    return positions if ":" in text else Bare(positions)


def parse_since(text: str) -> int:
    """Read an instant (RFC 3339), or how long ago it is: `10m`. In microseconds, or Ago.

    Raises InvalidValueError.
    """
    try:
        return Ago(parse_duration(text))
    except InvalidValueError:
        pass
    try:
        return parse_time(text)
    except InvalidValueError:
        raise InvalidValueError(
            f"{text!r} is neither a time nor a duration", hint="such as 10m, 2h, or 2026-11-24T09:30:00Z"
        ) from None


def parse_type(text: str) -> str:
    """Read a type of event, whole or a family's name, or the word that is printed for it. Raises InvalidValueError."""
    name = text.removeprefix(TYPE_PREFIX)
    if name in words.VERBS:
        return words.VERBS[name]
    known = [each.removeprefix(TYPE_PREFIX) for each in words.TYPES]
    if name in known or any(each.startswith(f"{name}.") for each in known):
        return name
    raise InvalidValueError(f"{text!r} is no type of event", hint="one of " + ", ".join([*known, *words.VERBS]))


def tail(
    ctx: Context,
    start: Annotated[
        dict[int, int] | None,
        Option("--from", click_type=Parsed("POS", parse_start), help="After this position; 0 is the start."),
    ] = None,
    since: Annotated[
        int | None,
        Option("--since", click_type=Parsed("TIME", parse_since), help="What was committed since, or as long ago."),
    ] = None,
    store: Annotated[
        list[str] | None, Option("--store", click_type=STORE, help="Of this store; may be repeated.")
    ] = None,
    sku: Annotated[
        list[str] | None, Option("--sku", click_type=SKU, help="With a line of this item; may be repeated.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        Option(
            "--type",
            click_type=Parsed("TYPE", parse_type),
            help="Such as reservation.created, or reservation; may be repeated.",
        ),
    ] = None,
    follow: Annotated[
        bool, Option("--follow/--no-follow", help="Go on with what comes; the default.", show_default=False)
    ] = True,
) -> None:
    """Follow what head office commits, live: a line an event, or, where nobody watches, NDJSON.

    Begins with what comes now, unless told otherwise; without following, with the first event. Every event has a
    position: a reader that was cut off goes on with --from the last one that it saw, and misses nothing.

    Where there are several shards, a position is SHARD:POSITION, and where to go on is said for each of them: by a
    record's `resume`, and by this command when Ctrl-C ends it. A shard that --from does not name begins at its start.

    For example:

        invcentral tail --store downtown --type reservation
        invcentral tail --since 10m --no-follow -o csv
        invcentral tail --from 1234 -o ndjson
        invcentral tail --from 0:1234,1:88
    """
    if start is not None and since is not None:
        raise InvalidValueError("--from and --since contradict each other", hint="give one of them")
    out = _output(ctx)
    filters = Filters(store or (), sku or (), kind or ())
    with open_engine(ctx) as engine:
        after, now = _begin(engine, start, since, follow=follow)
        follower = Follower(engine, after, filters, clock=SystemClock())
        when = LocalTime(now)
        watch = PresenceWatch(ctx, out, engine, SystemClock()) if follow else None
        if out.fmt == "table":
            out.talk(f"times are {when.zone}")
        _tell_what_is_unknown(engine, filters, out)
        emit = out.stream(COLUMNS, ident="resume")
        found = follower.follow(watch.wait, out.talk) if watch else follower.rest()
        width = line_width(out)
        try:
            for event in found:
                emit(_record(event, follower.after), cut(_line(event, len(follower.after), when), width))
        except KeyboardInterrupt:
            if out.fmt == "table":
                out.talk(f"\ngo on with: {_again(follower.after, filters)}")
            raise


def _output(ctx: Context) -> Output:
    watched = sys.stdout is not None and sys.stdout.isatty()
    fmt: Format = shared(ctx, "output") or ("table" if watched else "ndjson")
    return Output(fmt, quiet=bool(shared(ctx, "quiet")))


def _begin(engine: Engine, start: Positions | None, since: int | None, *, follow: bool) -> tuple[Positions, int]:
    """Return the positions after which to begin, and what time it is at central."""
    with reading(engine) as connection:
        now = now_us(connection)
        latest = latest_positions(connection)
        if start is not None:
            _check(start, latest)
        if since is not None:
            since_us = now - since * 1_000_000 if isinstance(since, Ago) else since
            return positions_before(connection, since_us), now
    if start is None:
        return (latest if follow else dict.fromkeys(latest, 0)), now
    return {shard: start.get(shard, 0) for shard in latest}, now


def _again(after: Positions, filters: Filters) -> str:
    """Return the command that goes on where this one was, on lines that a shell takes for one where it is long.

    A shard that is still at its start need not be named.
    """
    begun = sorted((shard, position) for shard, position in after.items() if position)
    if len(after) == 1:
        start = format_positions(after)
    else:
        start = ",".join(f"{shard}:{position}" for shard, position in begun) or "0"
    narrowed = [
        shlex.join([option, value])
        for option, values in (("--store", filters.stores), ("--sku", filters.skus), ("--type", filters.types))
        for value in values
    ]
    line = " ".join([f"invcentral tail --from {start}", *narrowed])
    # The positions last: nothing of them can be folded, and what stands behind them would be.
    return line if len(line) <= AGAIN_CHARS_MAX else " \\\n    ".join(["invcentral tail", *narrowed, f"--from={start}"])


def _tell_what_is_unknown(engine: Engine, filters: Filters, out: Output) -> None:
    """Say which of the stores and items were never heard of: they may come yet, or be mistyped."""
    with reading(engine) as connection:
        unknown = unknown_names(connection, filters.stores, filters.skus)
    if unknown:
        out.talk([("note:", "bold yellow"), f" head office has not heard of {', '.join(unknown)} yet"])


def _check(start: Positions, latest: Positions) -> None:
    """Refuse positions that are not there yet: they are mistyped, or another database's.

    One without its shard means nothing where there are several.
    """
    if isinstance(start, Bare) and len(latest) > 1 and start[0] > 0:
        raise InvalidValueError(
            f"there are {len(latest)} shards, and {start[0]} does not say of which it is a position",
            hint=f"go on with the last record's `resume`; 1:{start[0]} is of shard 1 alone",
        )
    for shard, position in start.items():
        if shard not in latest:
            raise NotFoundError(f"there is no shard {shard}", hint=f"they are numbered 0 to {len(latest) - 1}")
        if position > latest[shard]:
            named = f"{shard}:{position}" if len(latest) > 1 else str(position)
            of = f" of shard {shard}" if len(latest) > 1 else ""
            raise NotFoundError(
                f"there is no position {named}: the last{of} is {latest[shard]}",
                hint="after a restored or new database, begin with --from 0",
            )


def _record(event: TailEvent, after: Positions) -> dict[str, Any]:
    shown = event.as_dict()
    document = shown.pop("event") or {}
    trace = str(document.get("traceparent", "")).split("-")
    shown |= {
        "resume": format_positions(after),
        "subject": document.get("subject"),
        "trace": trace[1] if len(trace) > 1 else None,
        "data": document.get("data"),
    }
    return {column.key: shown[column.key] for column in COLUMNS if column.key in shown}


def _line(event: TailEvent, shards: int, when: LocalTime) -> list[Part]:
    told = words.tell(event)
    # Where to go on in every shard is told at the end: of many shards it would fill the screen.
    position = str(event.position) if shards == 1 else f"{event.shard}:{event.position}"
    style = STORE_STYLES[crc32(event.store.encode()) % len(STORE_STYLES)]
    time = when.millisecond(event.applied_us if event.time_us is None else event.time_us)
    parts: list[Part] = [
        (f"{position:>7}", "dim"),
        f"  {time}  ",
        (f"{event.store:<12}", style),
        "  ",
        (f"{told.verb:<10}", told.style),
        f" {told.what}",
    ]
    if told.about:
        parts.append((f"  {told.about}" if told.what else told.about, "dim"))
    levels = words.levels_after(event)
    if levels:
        parts += ["  ", (levels, "dim")]
    if event.time_us is not None and event.applied_us - event.time_us >= LATE_S * 1_000_000:
        parts.append((f"  arrived after {words.duration((event.applied_us - event.time_us) / 1_000_000)}", "yellow"))
    return parts

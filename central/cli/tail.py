"""`invcentral tail`."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from central.cli import tail_lines, words
from central.cli.command import open_engine
from central.cli.following import Filters, Follower
from central.cli.narrow import cut, line_width
from central.cli.parameters import SKU, STORE
from central.cli.presence import PresenceWatch
from central.cli.tail_options import Ago, Bare, parse_idle, parse_since, parse_start, parse_type
from central.cli.times import LocalTime
from central.database import now_us, reading
from central.tail import Positions, format_positions, latest_positions, positions_before, unknown_names
from invctl.clock import SystemClock
from invctl.console.options import Parsed, shared
from invctl.console.output import Format, Output
from invctl.errors import InvalidValueError, NotFoundError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from central.tail import TailEvent
    from invctl.console.style import Part

AGAIN_CHARS_MAX = 66
"""Of a command that is shown on one line: folded at a space, it would be two."""


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
    grep: Annotated[
        str | None, Option("--grep", metavar="TEXT", help="With this text in the event, or in its line; in any case.")
    ] = None,
    until_idle: Annotated[
        int | None,
        Option(
            "--until-idle",
            click_type=Parsed("SECONDS", parse_idle),
            help="End once nothing of that came for so long, such as 5 or 2m.",
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
        invcentral tail --from 0 --grep A-17 --until-idle 5
        invcentral tail --from 1234 -o ndjson
        invcentral tail --from 0:1234,1:88
    """
    if start is not None and since is not None:
        raise InvalidValueError("--from and --since contradict each other", hint="give one of them")
    if until_idle is not None and not follow:
        raise InvalidValueError("--until-idle waits, and --no-follow does not", hint="give one of them")
    out = _output(ctx)
    filters = Filters(store or (), sku or (), kind or ())
    with open_engine(ctx) as engine:
        after, now = _begin(engine, start, since, follow=follow)
        when = LocalTime(now)

        def line(event: TailEvent) -> list[Part]:
            return tail_lines.line(event, len(after), when)

        def fits(event: TailEvent) -> bool:
            return not grep or tail_lines.has(event, line(event), grep)

        follower = Follower(engine, after, filters, clock=SystemClock(), fits=fits)
        watch = PresenceWatch(ctx, out, engine, SystemClock()) if follow else None
        if out.fmt == "table":
            out.talk(f"times are {when.zone}")
        _tell_what_is_unknown(engine, filters, out)
        emit = out.stream(tail_lines.COLUMNS, ident="resume")
        found = follower.follow(watch.wait, out.talk, idle_s=until_idle) if watch else follower.rest()
        width = line_width(out)
        try:
            for event in found:
                emit(tail_lines.record(event, follower.after), cut(line(event), width))
        except KeyboardInterrupt:
            if out.fmt == "table":
                out.talk(f"\ngo on with: {_again(follower.after, filters, grep)}")
            raise
        if until_idle is not None and out.fmt == "table":
            again = _again(follower.after, filters, grep)
            out.talk(f"nothing came for {words.duration(until_idle)}; go on with: {again}")


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


def _again(after: Positions, filters: Filters, grep: str | None = None) -> str:
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
    narrowed += [shlex.join(["--grep", grep])] if grep else []
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

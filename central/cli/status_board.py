"""`invcentral status --watch`: one screen that is drawn anew, with who needs somebody at its top."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, TextIO

from central import reads
from central.cli import words
from central.cli.command import open_engine
from central.cli.following import wait_for_reader
from central.cli.narrow import cut
from central.cli.times import LocalTime
from central.database import describe, reading
from central.tables import ADMITTED
from invctl.clock import SystemClock
from invctl.console.command import output
from invctl.console.output import Column
from invctl.console.style import paint, wants_colour
from invctl.console.tables import render
from invctl.errors import BusyError, InvalidValueError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer._click import Context

    from central.views import Status, StoreRow
    from invctl.console.style import Part

EVERY_S = 2
WELL = "well"
_SILENT = "`invctl status` there says why"
_COLUMNS = [
    Column("store", style="bold cyan"),
    Column("state"),
    Column("behind"),
    Column("age"),
    Column("heard", drop=1),
    Column("suspects"),
    Column("why", folds=True, drop=2),
]
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _LINE_END, _REST = "\x1b[H", "\x1b[K\n", "\x1b[J"


def watch(ctx: Context, every_s: int) -> None:
    """Draw the screen, or write a record, every so many seconds, until Ctrl-C.

    Raises InvalidValueError where there is neither a terminal nor a form for programs.
    """
    out = output(ctx)
    drawn = out.fmt == "table" and not out.quiet
    if out.quiet or out.fmt == "csv" or (drawn and not (sys.stdout is not None and sys.stdout.isatty())):
        raise InvalidValueError("--watch draws on a terminal", hint="with -o ndjson it writes a record each time")
    now: Status | None = None
    with open_engine(ctx) as engine, _screen(sys.stdout if drawn else None) as draw:
        while True:
            trouble = ""
            try:
                with reading(engine) as connection:
                    now = reads.status(connection)
            except (BusyError, UnreachableError) as error:
                trouble = error.message
            if drawn:
                draw(board(now, describe(engine), every_s, trouble, stream=sys.stdout))
            elif now is not None and not trouble:
                out.result(now.as_dict(), message="")
            else:
                out.talk(trouble)
            wait_for_reader(every_s)


def board(now: Status | None, database: str, every_s: int, trouble: str, *, stream: TextIO) -> list[str]:
    """Return the lines of the screen, no more than it has. `now` is what was read last, None where nothing was yet."""
    width, height = get_terminal_size()
    colour = wants_colour(stream)
    when = LocalTime(now.now_us if now else SystemClock().now_us())
    read_at = f"{when.second(now.now_us)} {when.zone}" if now else "never"
    head: list[list[Part]] = [
        [("head office", "bold"), f"  as of {read_at}, every {every_s} s; Ctrl-C ends it; {database}"]
    ]
    if trouble:
        head.append([("attention", "bold red"), f"    {trouble}; what is shown is what was read last"])
    if now is None:
        return [paint(cut(line, width), colour=colour) for line in head]
    records = [_for_people(row, now.now_us) for row in sorted(now.stores, key=lambda row: _urgency(row, now.now_us))]
    ill = sum(record["state"] != WELL for record in records)
    summary = f"{words.counted(len(records), 'store')}, {ill} not well" if ill else f"{len(records)} stores, all well"
    head.append([("stores", "bold"), f"       {summary}; {words.counted(now.events, 'event')} here"])
    unserved = [str(shard.shard) for shard in now.shards if shard.shard not in now.served_by]
    if unserved:
        head.append([("attention", "bold yellow"), f"    nobody serves {words.shards(unserved)} now"])
    # A line that wraps would push another off the screen.
    lines = [*(paint(cut(line, width), colour=colour) for line in head), ""]
    lines += render(_COLUMNS, records, stream=stream).lines if records else ["no store has spoken yet"]
    # The cursor stands on the last line of the screen.
    return lines if len(lines) < height else [*lines[: height - 2], "..."]


def state(row: StoreRow, now_us: int) -> str:
    """Say in a word what is the matter with a store: the gravest of what is."""
    if row.status != ADMITTED:
        return "waits"
    if row.fresh.lacks_seq:
        return "diverged"
    if words.other_ledger(row, now_us):
        return "refused"
    if row.fresh.silent:
        return "silent"
    if row.lag:
        return "behind"
    return "suspect" if row.suspects else WELL


_STATES = ("diverged", "refused", "silent", "behind", "suspect", "waits", WELL)


def _urgency(row: StoreRow, now_us: int) -> tuple[int, int, str]:
    return _STATES.index(state(row, now_us)), -row.lag, row.store


def _for_people(row: StoreRow, now_us: int) -> dict[str, Any]:
    why = [words.lacking(row.fresh), words.other_ledger(row, now_us), _SILENT if row.fresh.silent else ""]
    waits = "see `invcentral stores list`" if row.status != ADMITTED else ""
    return {
        "store": row.store,
        "state": state(row, now_us),
        "behind": row.lag or None,
        "age": words.bare_age(row.fresh),
        "heard": "never" if row.fresh.heard_s is None else f"{words.duration(row.fresh.heard_s)} ago",
        "suspects": row.suspects or None,
        "why": waits or ", ".join(filter(None, why)),
    }


@contextmanager
def _screen(stream: TextIO | None) -> Iterator[Any]:
    """Take a terminal over, and yield what draws lines on it; it is given back as it was."""

    def draw(lines: list[str]) -> None:
        if stream is not None:
            stream.write(_HOME + "".join(line + _LINE_END for line in lines) + _REST)
            stream.flush()

    if stream is not None:
        stream.write(_ENTER)
    try:
        yield draw
    finally:
        if stream is not None:
            stream.write(_LEAVE)
            stream.flush()

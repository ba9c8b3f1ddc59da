"""`invctl daemon logs`."""

import json
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TextIO

from typer import Context, Option

from invctl.cli.command import home
from invctl.console.command import output
from invctl.console.options import whole
from invctl.console.output import Column
from invctl.console.style import Part
from invctl.errors import NotFoundError
from invctl.language import _
from invctl.settings import LOG_FILE, RUN

LINES = 50
LOOK_EVERY_S = 0.2
_STYLES = {"warning": "yellow", "error": "red", "critical": "red"}
_IN_FRONT = ("time", "level", "action", "process")
_COLUMNS = [Column(key) for key in ("time", "level", "action", "store", "seq", "message")]


def logs(
    ctx: Context,
    follow: Annotated[bool, Option("--follow", "-f", help="Go on, until Ctrl-C.")] = False,
    lines: Annotated[
        int, Option("--lines", "-n", click_type=whole(0, 1_000_000, "N"), help="At most so many.")
    ] = LINES,
) -> None:
    """Show the end of what the daemon wrote to its log, and what it goes on to write.

    For example:

        invctl daemon logs -f
    """
    emit = output(ctx).stream(_COLUMNS, ident="action")
    for line in _tail(home(ctx) / RUN / LOG_FILE, lines, follow=follow):
        record = _parsed(line)
        emit(record, _message(record))


def _tail(path: Path, lines: int, *, follow: bool) -> Iterator[str]:
    """Yield the last lines of a file, and then, if told to, each new one. Raises NotFoundError where there is none."""
    try:
        stream = path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        hint = _("`invctl daemon start` begins one; a daemon that runs in the foreground writes elsewhere")
        raise NotFoundError(_("there is no log at {path}", path=path), hint=hint) from None
    with stream:
        yield from (line.rstrip("\n") for line in deque(stream, maxlen=lines))
        if not follow:
            return
        yield from _grown(path, stream)
    while True:
        # The next daemon begins a new file where this one has grown large.
        with path.open(encoding="utf-8", errors="replace") as stream:
            yield from _grown(path, stream)


def _grown(path: Path, stream: TextIO) -> Iterator[str]:
    """Yield each line that comes to stand in a file, until another file has taken its place."""
    begun = ""
    while True:
        begun += stream.readline()
        if begun.endswith("\n"):
            yield begun.rstrip("\n")
            begun = ""
        elif path.exists() and path.stat().st_ino != os.fstat(stream.fileno()).st_ino:
            return
        else:
            time.sleep(LOOK_EVERY_S)


def _parsed(line: str) -> dict[str, Any]:
    """Return a line as a record: the daemon's own are JSON, others are text."""
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    known = record if isinstance(record, dict) else {"message": line}
    return {**dict.fromkeys(column.key for column in _COLUMNS), **known}


def _message(record: dict[str, Any]) -> list[Part]:
    if record["action"] is None:
        return [str(record["message"])]
    level = str(record["level"])
    told = (f"{key}={value}" for key, value in record.items() if value is not None and key not in _IN_FRONT)
    return [
        (f"{str(record['time'])[:19]}Z", "dim"),
        " ",
        (f"{level:7}", _STYLES.get(level, "green")),
        " ",
        (str(record["action"]), "bold"),
        *(f" {fact}" for fact in told),
    ]

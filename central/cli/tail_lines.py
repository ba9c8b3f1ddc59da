"""An event of the tail: as a record for programs, and as a line for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

from central.cli import words
from central.tail import format_positions
from invctl.console.output import Column

if TYPE_CHECKING:
    from central.cli.times import LocalTime
    from central.tail import Positions, TailEvent
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


def record(event: TailEvent, after: Positions) -> dict[str, Any]:
    """Return an event as a record. `after` is how far the stream is read with it."""
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


def line(event: TailEvent, shards: int, when: LocalTime) -> list[Part]:
    """Return an event as a line."""
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


def has(event: TailEvent, shown: list[Part], text: str) -> bool:
    """Say whether a text is in an event's bytes, or in the line that is shown of it, in any case.

    A line is aligned by spaces; a text need not have as many of them.
    """
    whole = "".join(part if isinstance(part, str) else part[0] for part in shown)
    wanted = text.casefold()
    return wanted in event.body.decode(errors="replace").casefold() or _narrow(wanted) in _narrow(whole.casefold())


def _narrow(text: str) -> str:
    return " ".join(text.split())

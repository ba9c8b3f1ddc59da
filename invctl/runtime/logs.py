"""Structured logs: one line an action, as JSON for machines or in columns for people, on stderr.

Our own lines name an `action` (`batch.published`) and carry the facts beside it: `store`, `seq`, `trace`.
Those of libraries go through the same renderer, under their logger's name, with their text as `message`.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Literal, TextIO

import structlog

from invctl.clock import Clock, SystemClock, format_time
from invctl.errors import InventoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

LogFormat = Literal["json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]


def format_for(stream: TextIO) -> LogFormat:
    """Return the form that a log has unless it is said: columns on a terminal, JSON elsewhere."""
    return "console" if stream.isatty() else "json"


_LEADING = ("time", "level", "process", "action", "store", "seq", "trace")
"""The keys that come first in JSON, so that lines can be read from the left."""


def configure(
    process: str,
    *,
    fmt: LogFormat | None = None,
    level: LogLevel = "info",
    stream: TextIO | None = None,
    clock: Clock | None = None,
    context: Callable[[], Mapping[str, Any]] = dict,
) -> FilteringBoundLogger:
    """Set up logging for this process. Returns its logger, which carries `process`.

    `fmt` is by default `console` on a terminal and `json` elsewhere. Libraries are heard from warnings up.
    `context` is asked at each line for what else to say, such as a trace. May be called again, and then replaces what
    was set up before.
    """
    stream = stream or sys.stderr
    own_level = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        _Context(context),
        structlog.stdlib.add_log_level,
        _Time(clock or SystemClock()),
        structlog.processors.StackInfoRenderer(),
        _spell_out_error,
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _Foreign(process)],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.EventRenamer("action"),
                *_renderer(fmt or format_for(stream), stream),
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers:
        if isinstance(old.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(own_level, logging.WARNING))
    logging.getLogger(process).setLevel(own_level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(own_level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    log: FilteringBoundLogger = structlog.get_logger(process)
    return log.bind(process=process)


def _renderer(fmt: LogFormat, stream: TextIO) -> list[Processor]:
    if fmt == "json":
        return [structlog.processors.format_exc_info, _in_order, structlog.processors.JSONRenderer()]
    colours = stream.isatty() and not os.environ.get("NO_COLOR")
    return [
        _one_line,
        structlog.dev.ConsoleRenderer(
            colors=colours,
            event_key="action",
            timestamp_key="time",
            sort_keys=False,
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]


class _Context:
    """What the line is part of; what it says itself comes first."""

    def __init__(self, context: Callable[[], Mapping[str, Any]]) -> None:
        self._context = context

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        for key, value in self._context().items():
            event.setdefault(key, value)
        return event


class _Time:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["time"] = format_time(self._clock.now_us())
        return event


class _Foreign:
    """A library's line has a text where ours has an action."""

    def __init__(self, process: str) -> None:
        self._process = process

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        record: logging.LogRecord = event["_record"]
        return {**event, "process": self._process, "event": record.name, "message": event["event"]}


def _spell_out_error(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Let `error=` be one of ours: its code, message, hint and details become keys of the line."""
    error = event.get("error")
    if isinstance(error, InventoryError):
        told = {"error": error.code, "message": error.message} | ({"hint": error.hint} if error.hint else {})
        return {**error.details, **event, **told}
    return event


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    leading = {key: event[key] for key in _LEADING if key in event}
    return {**leading, **event}


def _one_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep values that came over a network from writing lines, or steering the terminal, of their own."""

    def tame(value: Any) -> Any:
        return repr(value) if isinstance(value, str) and not value.isprintable() else value

    return {key: value if key in ("exception", "stack") else tame(value) for key, value in event.items()}

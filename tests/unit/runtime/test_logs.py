"""Structured logs, ours and those of libraries, in one form."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import structlog

from invctl.clock import ManualClock
from invctl.errors import RefusedError
from invctl.runtime.logs import LogFormat, configure


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_of_ours() -> None:
    stream = io.StringIO()
    log = configure("invd", stream=stream, clock=ManualClock()).bind(trace="4bf9", seq=7)
    log.info("batch.published", store="downtown", events=3, names=["Ü"])
    assert stream.getvalue().count("\n") == 1
    (line,) = lines(stream)
    assert line == {
        "time": "2026-01-01T00:00:00.000000Z",
        "level": "info",
        "process": "invd",
        "action": "batch.published",
        "store": "downtown",
        "seq": 7,
        "trace": "4bf9",
        "events": 3,
        "names": ["Ü"],
    }
    assert list(line) == ["time", "level", "process", "action", "store", "seq", "trace", "events", "names"]


def test_any_room_may_ask_for_a_logger() -> None:
    stream = io.StringIO()
    configure("invd", stream=stream)
    structlog.get_logger("invd").warning("bus.lost")
    assert [(line["action"], line["level"]) for line in lines(stream)] == [("bus.lost", "warning")]


@pytest.mark.parametrize(
    ("level", "ours", "theirs"),
    [
        ("debug", ["debug", "info", "warning", "error"], ["warning", "error"]),
        ("info", ["info", "warning", "error"], ["warning", "error"]),
        ("error", ["error"], ["error"]),
    ],
)
def test_levels(level: Any, ours: list[str], theirs: list[str]) -> None:
    stream = io.StringIO()
    log = configure("invd", stream=stream, level=level)
    library = logging.getLogger("redis.client")
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("mine")
        getattr(library, name)("it's %s", name)
    assert [line["level"] for line in lines(stream) if line["action"] == "mine"] == ours
    assert [line["level"] for line in lines(stream) if line["action"] == "redis.client"] == theirs
    assert {line["message"] for line in lines(stream) if "message" in line} == {f"it's {name}" for name in theirs}
    assert {line["process"] for line in lines(stream)} == {"invd"}


def test_an_error_of_ours_is_spelt_out() -> None:
    stream = io.StringIO()
    error = RefusedError("the disk is low", hint="make room", free_mib=3, level="theirs")
    configure("invd", stream=stream).error("write.refused", error=error)
    (line,) = lines(stream)
    assert {key: line[key] for key in ("error", "message", "hint", "free_mib", "level")} == {
        "error": "refused",
        "message": "the disk is low",
        "hint": "make room",
        "free_mib": 3,
        "level": "error",
    }


def test_a_traceback_is_one_line_of_json_and_stands_below_a_line_for_people() -> None:
    json_stream, console_stream = io.StringIO(), io.StringIO()
    for fmt, stream in (("json", json_stream), ("console", console_stream)):
        log = configure("invd", fmt=fmt, stream=stream)  # type: ignore[arg-type]
        try:
            _ = dict[str, int]()["x"]
        except KeyError:
            log.exception("tick.broke")
            logging.getLogger("redis").exception("broke")
    ours, theirs = lines(json_stream)
    assert "KeyError: 'x'" in ours["exception"]
    assert "KeyError: 'x'" in theirs["exception"]
    assert console_stream.getvalue().count("\nKeyError: 'x'\n") == 2


def test_people_get_columns_and_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    configure("invd", stream=stream, clock=ManualClock()).info("batch.published", store="downtown", seq=7)
    assert "\x1b[" in stream.getvalue()

    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    configure("invd", stream=stream, clock=ManualClock()).info("batch.published", store="downtown", seq=7)
    assert stream.getvalue().split() == [
        "2026-01-01T00:00:00.000000Z",
        "[info",
        "]",
        "batch.published",
        "process=invd",
        "store=downtown",
        "seq=7",
    ]


def test_a_value_cannot_forge_a_line_or_steer_the_terminal() -> None:
    evil = "downtown\n2026 [error] forged\x1b[2J"
    for fmt in get_args(LogFormat):
        stream = Terminal()
        log = configure("invd", fmt=fmt, stream=stream)
        log.info("frame.dropped", store=evil, why="\x1b[2J")
        logging.getLogger("redis").warning("%s", evil)
        assert stream.getvalue().count("\n") == 2
        assert "\x1b[2J" not in stream.getvalue()
        assert stream.getvalue().count("[2J") == 3


def test_the_last_configuration_is_the_one() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure("invd", stream=first)
    configure("invcentral", stream=second).info("started")
    assert first.getvalue() == ""
    assert [line["process"] for line in lines(second)] == ["invcentral"]


@pytest.mark.fault_tolerance
def test_a_log_that_cannot_be_written_does_not_stop_the_process() -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    log = configure("invd", fmt="json", stream=Full())
    logging.raiseExceptions = False
    try:
        log.info("still.alive")
    finally:
        logging.raiseExceptions = True

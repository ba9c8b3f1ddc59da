"""Commands that do not end well."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from invctl import errors

FAILURES: dict[str, Exception] = {
    "stock": errors.NotEnoughStockError(
        "MOUSE-001: asked for 9, but 3 are available", hint="ask for 3", short=[{"sku": "MOUSE-001", "available": 3}]
    ),
    "odd": errors.NotFoundError("no such product", path=Path("/tmp"), error="not this"),
    "bug": KeyError("x"),
    "socket": BrokenPipeError(32, "Broken pipe"),
    "stopped": typer.Exit(7),
}


def fail(how: str) -> None:
    """Fail in a chosen way."""
    if how == "ask":
        typer.confirm("Really?", abort=True)
    raise FAILURES[how]


def wait() -> None:
    """Wait for Ctrl-C."""
    print("ready", flush=True)  # noqa: T201 - to the test
    sys.stdin.read()

"""A script as a command: the same options, errors and exit codes as the three command lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

from typer import Typer
from typer.main import get_command

from invctl.console.command import Command
from invctl.console.main import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def run_script(name: str, function: Callable[..., Any]) -> NoReturn:
    """Run a Typer function as the command `name`, and end the process with its exit code."""
    app = Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, cls=Command)(function)
    sys.exit(run(name, lambda: get_command(app)))

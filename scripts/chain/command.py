"""A script as a command: the same options, errors and exit codes as the three command lines."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn

from typer import Typer
from typer.main import get_command

from invctl.console.command import Command
from invctl.console.main import run
from invctl.console.options import output_options, whole
from scripts.chain.kills import ALL

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from typer._click import Command as AnyCommand
    from typer._click import Context  # Typer's own copy of click
    from typer.core import TyperOption


KILL = "--kill"
A_SEED = whole(0, 2**31, "N")
"""What chance is drawn from."""


class _Script(Command):
    """A command whose `--kill` may stand without a value: it means all then. It takes no arguments beside options."""

    @classmethod
    def shared_options(cls) -> list[TyperOption]:
        """Make the options that every script has."""
        return output_options(quiet="Write the bare names, or the verdict, alone.")

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Put in the value that was left out."""
        given = []
        for word, next_word in pairwise([*args, "-"]):
            given.append(word)
            if word == KILL and next_word.startswith("-"):
                given.append(ALL)
        return super().parse_args(ctx, given)


def as_command(name: str, function: Callable[..., Any]) -> AnyCommand:
    """Make the command `name` of a Typer function."""
    app = Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, cls=_Script)(function)
    return get_command(app)


def run_script(name: str, function: Callable[..., Any]) -> NoReturn:
    """Run a Typer function as the command `name`, and end the process with its exit code."""
    sys.exit(run(name, lambda: as_command(name, function)))

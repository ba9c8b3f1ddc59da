"""What every `invcentral check` keeps to, as a monitor reads it: one line on stdout, and one of four exit codes.

Source: https://nagios-plugins.org/doc/guidelines.html
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, NoReturn

from typer import Exit

# Typer 0.28 carries its own copy of click, of which it exports next to nothing.
from typer._click.exceptions import UsageError

from central.cli.command import CentralCommand
from invctl.console.options import shared
from invctl.console.output import Output
from invctl.errors import InventoryError

if TYPE_CHECKING:
    from typer._click import Context


class Verdict(IntEnum):
    """What a check says, by the exit code that a monitor takes it from. These are not the codes of other commands."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


class CheckCommand(CentralCommand):
    """A check: also what keeps it from looking is its one line, and UNKNOWN."""

    def make_context(self, info_name: str | None, args: list[str], parent: Context | None = None, **extra: Any) -> Any:
        """Read the command line. Raises Exit where that cannot be done, once that is told."""
        # Reading takes the words out of it.
        argv = list(args)
        try:
            return super().make_context(info_name, args, parent, **extra)
        except UsageError as error:
            self._unknown(error, parent, argv)

    def invoke(self, ctx: Context) -> Any:
        """Look. Raises Exit with the exit code of what was found."""
        try:
            return super().invoke(ctx)
        except InventoryError as error:
            self._unknown(error, ctx, [])
        except OSError as error:
            # One without a file is of our own output.
            if error.filename is None:
                raise
            self._unknown(error, ctx, [])

    def _unknown(self, error: Exception, ctx: Context | None, argv: list[str]) -> NoReturn:
        from invctl.console.failures import describe, wanted_format  # noqa: PLC0415 - costs, and is rare

        failure = describe(error, "invcentral")
        fmt = wanted_format(argv)
        if fmt == "table" and ctx is not None:
            fmt = shared(ctx, "output") or fmt
        hint = f" ({failure.hint})" if failure.hint else ""
        quiet = ctx is not None and bool(shared(ctx, "quiet"))
        conclude(
            Output(fmt, quiet=quiet),
            Verdict.UNKNOWN,
            failure.message + hint,
            {"check": self.name, "value": None, "message": failure.message, "hint": failure.hint},
        )


def conclude(out: Output, verdict: Verdict, told: str, record: dict[str, Any], measured: str = "") -> NoReturn:
    """Write the one line: `told`, and what was measured, as performance data. Raises Exit with the verdict's code."""
    # A bar begins the performance data, and a second line is another matter to a monitor.
    line = f"{verdict.name} - {' '.join(told.split()).replace('|', '/')}"
    out.result(
        {"verdict": verdict.name.lower(), **record},
        message=f"{line}|{measured}" if measured else line,
        ident=verdict.name,
    )
    raise Exit(verdict)

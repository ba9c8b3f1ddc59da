"""The command class of all three command lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

# Typer 0.28 carries its own copy of click, of which it exports next to nothing.
from typer._click.exceptions import NoSuchOption, UsageError
from typer._click.parser import _OptionParser, _ParsingState
from typer.core import TyperArgument, TyperCommand, TyperOption

from invctl.console.helptext import help_page, usage_pieces
from invctl.console.options import output_options, shared
from invctl.console.output import Output

if TYPE_CHECKING:
    from typer._click import Command as AnyCommand
    from typer._click import Context, Parameter

_NEGATIVE_NUMBER = r"-[0-9]+(\.[0-9]+)?"


class Command(TyperCommand):
    """A command that has `-o` and `-q`, and takes negative numbers as arguments.

    Its function takes the context, and writes to `output(ctx)`. A command line with shared options of its own
    (`--home`) derives a class that adds them in `shared_options`, and hands it to its group.
    """

    def __init__(self, name: str | None, **attributes: Any) -> None:
        """Make the command, with the shared options after its own."""
        super().__init__(name, **attributes)
        for param in self.params:
            # Usage, help and errors are to call an argument by the same word.
            if isinstance(param, TyperArgument) and param.metavar is None:
                param.metavar = (param.name or "").upper()
        self.params += self.shared_options()

    @classmethod
    def shared_options(cls) -> list[TyperOption]:
        """Make the options that every command has, and its group before it."""
        return output_options()

    def make_parser(self, ctx: Context) -> _OptionParser:
        """Make the parser, which knows a negative number from an option."""
        return make_parser(self, ctx)

    def collect_usage_pieces(self, ctx: Context) -> list[str]:
        """Give the usage line's pieces."""
        return usage_pieces(self, ctx)

    def get_help(self, ctx: Context) -> str:
        """Lay out the help page."""
        return help_page(self, ctx, {})


def make_parser(command: AnyCommand, ctx: Context) -> _OptionParser:
    """Make the parser of a command or group."""
    parser = _Parser(ctx)
    for param in command.get_params(ctx):
        param.add_to_parser(parser, ctx)
    return parser


class _Parser(_OptionParser):
    def parse_args(self, args: list[str]) -> tuple[dict[str, Any], list[str], list[Parameter]]:
        try:
            return super().parse_args(args)
        except UsageError as error:
            # Click forgets it for an option that lacks its value; the hint needs it.
            error.ctx = error.ctx or self.ctx
            raise

    def _process_opts(self, arg: str, state: _ParsingState) -> None:
        if arg[:2] in self._short_opt or arg in self._long_opt:
            super()._process_opts(arg, state)
        elif re.fullmatch(_NEGATIVE_NUMBER, arg):
            state.largs.append(arg)
        elif (long := f"-{arg.partition('=')[0]}") in self._long_opt:
            # `-reason`: without this, click would complain of `-r` alone.
            raise NoSuchOption(long[1:], possibilities=[long], ctx=self.ctx)
        else:
            super()._process_opts(arg, state)


def output(ctx: Context) -> Output:
    """Give where a command writes to, by its `-o` and `-q`."""
    return Output(shared(ctx, "output") or "table", quiet=bool(shared(ctx, "quiet")))

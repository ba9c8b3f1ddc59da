"""Parameters for Typer commands: values read by a function of ours, and options that every command shares."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

# Typer 0.28 carries its own copy of click, of which it exports next to nothing.
from typer._click.core import ParameterSource
from typer._click.exceptions import BadParameter
from typer._click.types import ParamType
from typer.core import TyperOption

from invctl.console.helptext import SHARED_PANEL
from invctl.console.output import FORMATS, Format
from invctl.console.units import parse_duration, parse_whole
from invctl.errors import InvalidValueError
from invctl.language import _, marked

if TYPE_CHECKING:
    from collections.abc import Callable

    from typer._click import Context, Parameter

_KEY = "invctl.console."


class Parsed(ParamType):
    """A parameter read by a function that raises InvalidValueError; its hint reaches the user.

    Use it as `typer.Option(click_type=Parsed("DURATION", parse_duration))`. Values that are not text are defaults, and
    are taken as they are.
    """

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        """Keep the name, shown in help in place of the value, and the function."""
        self.name = name
        self._parse = parse

    def get_metavar(self, param: Parameter, ctx: Context) -> str:  # noqa: ARG002 - click's signature
        """Give the word that stands for the value in help."""
        return self.name

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> Any:
        """Read the value. Raises click's BadParameter, which names the parameter."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except InvalidValueError as error:
            raise BadParameter(error.message, ctx=ctx, param=param) from error


def _parse_format(text: str) -> Format:
    for name in FORMATS:
        if name == text:
            return name
    raise InvalidValueError(
        _("{text!r} is not a format", text=text), hint=_("one of {names}", names=", ".join(FORMATS))
    )


DURATION = Parsed("DURATION", parse_duration)
"""`30m`, `2h`, `90s`, `1d`; the command gets seconds."""
_FORMAT = Parsed("FORMAT", _parse_format)
BARE_ID = marked("Write the bare id alone.")


def whole(low: int, high: int, name: str = "") -> Parsed:
    """Make a parameter that is a whole number of this range. Help shows `name`, by default the range."""
    return Parsed(name or f"{low}-{high}", partial(parse_whole, low=low, high=high))


def shared_option(
    *declarations: str, text: str, kind: ParamType | None = None, envvar: str | None = None, flag: bool = False
) -> TyperOption:
    """Make an option that groups and commands share, so that it may stand before or after the command's name.

    The function behind the command does not get it; `shared` tells its value. One that is typed wins over the
    environment variable `envvar`, and the later of two that are typed over the earlier.
    """
    return TyperOption(
        param_decls=list(declarations),
        help=text,
        type=kind,
        envvar=envvar,
        show_envvar=envvar is not None,
        is_flag=flag or None,
        default=False if flag else None,
        expose_value=False,
        callback=_remember,
        rich_help_panel=SHARED_PANEL,
    )


def shared(ctx: Context, name: str) -> Any:
    """Tell the value of a shared option; None where it was given nowhere."""
    return ctx.meta.get(_KEY + name)


def typed(ctx: Context, name: str) -> bool:
    """Tell whether a shared option was given on the command line, before or after the command's name."""
    at: Context | None = ctx
    while at is not None:
        if at.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            return True
        at = at.parent
    return False


def output_options(quiet: str = BARE_ID) -> list[TyperOption]:
    """Make `-o` and `-q`, which every command has; `quiet` is the help of the latter."""
    return [
        shared_option(
            "-o", "--output", text=f"Write the result as {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.", kind=_FORMAT
        ),
        shared_option("-q", "--quiet", text=quiet, flag=True),
    ]


def _remember(ctx: Context, param: Parameter, value: Any) -> Any:
    name = param.name or ""
    # A group and its command share `meta`. What the group was told on the command line must outlive the default,
    # or the environment variable, that the command's own copy of the option finds afterwards.
    typed = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    if typed or _KEY + name not in ctx.meta:
        ctx.meta[_KEY + name] = value
    return value

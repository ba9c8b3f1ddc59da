"""Groups that import a command only when it is called, or asked for its help.

Thirty commands built eagerly would cost a quarter of the start-up of each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

# Typer 0.28 carries its own copy of click, of which it exports next to nothing.
from typer import Typer, _click
from typer._click.exceptions import NoArgsIsHelpError, UsageError
from typer.core import TyperGroup, TyperOption
from typer.main import get_command as build_command

from invctl.console.command import Command, make_parser
from invctl.console.helptext import SHARED_PANEL, Rows, did_you_mean, help_page
from invctl.language import _, marked

if TYPE_CHECKING:
    from typer._click.parser import _OptionParser


COMMANDS_PANEL = marked("Commands")


class Entry(NamedTuple):
    """One command: where its function is (`package.module:function`), and its line in the list.

    `made_by` is where its class is, where that is not the group's.
    """

    target: str
    summary: str
    panel: str = COMMANDS_PANEL
    made_by: str = ""


class Family(NamedTuple):
    """A group of commands under one name, and its line in the list."""

    commands: Mapping[str, Entry]
    summary: str
    panel: str = COMMANDS_PANEL


Table = Mapping[str, Entry | Family]
"""A command line as data: names, in the order in which they are listed.

A name may be of two words, beside the first of them: `stock` takes an argument, `stock import` is another command.
"""


class LazyGroup(TyperGroup):
    """A group whose commands are a table. Only the one that is called is imported and built."""

    def __init__(
        self,
        name: str,
        table: Table,
        *,
        text: str,
        version: str | None = None,
        command_class: type[Command] = Command,
    ) -> None:
        """Keep the table. `text` is the help; `version`, if given, is what `--version` says."""
        params = command_class.shared_options()
        super().__init__(
            name=name,
            help=text,
            params=[*params, _version_option(name, version)] if version else [*params],
            rich_markup_mode=None,
        )
        self._table = table
        self._command_class = command_class

    def get_command(self, ctx: _click.Context, cmd_name: str) -> _click.Command | None:  # noqa: ARG002 - click's
        """Import and build one command, or None where there is none of that name."""
        entry = self._table.get(cmd_name)
        if entry is not None and cmd_name not in self.commands:
            self.commands[cmd_name] = self._build(cmd_name, entry)
        return self.commands.get(cmd_name)

    def list_commands(self, ctx: _click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Give all names, in the table's order."""
        return list(self._table)

    def make_parser(self, ctx: _click.Context) -> _OptionParser:
        """Make the parser, the same as that of a command."""
        return make_parser(self, ctx)

    def parse_args(self, ctx: _click.Context, args: list[str]) -> list[str]:
        """Parse the group's own options. Raises click's NoArgsIsHelpError where no command follows."""
        rest = super().parse_args(ctx, args)
        if not ctx._protected_args:  # noqa: SLF001 - where TyperGroup leaves the command's name
            raise NoArgsIsHelpError(ctx)
        return rest

    def resolve_command(
        self, ctx: _click.Context, args: list[str]
    ) -> tuple[str | None, _click.Command | None, list[str]]:
        """Find the command that is called. Raises click's UsageError, with the names that come close."""
        if (both := " ".join(args[:2])) in self._table:
            return both, self.get_command(ctx, both), args[2:]
        command = self.get_command(ctx, args[0])
        if command is None:
            self._unknown(ctx, args[0])
        return args[0], command, args[1:]

    def collect_usage_pieces(self, ctx: _click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Give the usage line's pieces."""
        return ["[OPTIONS]", "COMMAND", "..."]

    def get_help(self, ctx: _click.Context) -> str:
        """Lay out the help page, from the table alone."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self._table.items():
            panels.setdefault(entry.panel, []).append((name, _(entry.summary)))
        commands: dict[str, Rows] = {**panels}
        return help_page(self, ctx, commands)

    def _build(self, name: str, entry: Entry | Family) -> _click.Command:
        if isinstance(entry, Family):
            return LazyGroup(name, entry.commands, text=entry.summary, command_class=self._command_class)
        command_class = _found(entry.made_by) if entry.made_by else self._command_class
        app = Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, cls=command_class)(_found(entry.target))
        return build_command(app)

    def _unknown(self, ctx: _click.Context, name: str) -> NoReturn:
        message = _("No such command: {name}", name=name)
        if close := get_close_matches(name, self._table):
            message += did_you_mean(close)
        raise UsageError(message, ctx)


def _version_option(name: str, version: str) -> TyperOption:
    def show(ctx: _click.Context, param: _click.Parameter, value: object) -> None:  # noqa: ARG001 - click's
        if value:
            _click.utils.echo(f"{name} {version}")
            ctx.exit()

    return TyperOption(
        param_decls=["--version"],
        help="Show the version and exit.",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        rich_help_panel=SHARED_PANEL,
    )


def _found(target: str) -> Any:
    module, _colon, name = target.partition(":")
    return getattr(import_module(module), name)

"""Help pages, without rich: `--help` is as fast as any command, and reads well in a pipe.

A paragraph of a docstring whose lines are indented is shown as it stands, so that examples keep their form.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from inspect import cleandoc
from typing import TYPE_CHECKING

from typer.core import TyperArgument, TyperOption

from invctl.console.style import paint
from invctl.language import _, marked

if TYPE_CHECKING:
    from typer._click import Command, Context

Rows = Sequence[tuple[str, str]]

SHARED_PANEL = marked("Shared options")
"""The heading of what is not one command's own; it comes last."""
_ARGUMENTS, _OPTIONS = marked("Arguments"), marked("Options")

_WIDTH_MAX = 100
_LEFT_MAX = 34


def help_page(command: Command, ctx: Context, commands: Mapping[str, Rows]) -> str:
    """Lay out the help of a command or group. `commands` are the group's, by panel, in their order."""
    colour = bool(ctx.color)
    width = min(shutil.get_terminal_size().columns, _WIDTH_MAX)
    pieces = " ".join(command.collect_usage_pieces(ctx))
    usage = paint([(_("Usage:"), "bold"), f" {ctx.command_path} {pieces}"], colour=colour)
    sections = {**commands, **_parameters(command, ctx)}
    # One left column for the whole page.
    left = min(max((len(name) for rows in sections.values() for name, _text in rows), default=0), _LEFT_MAX)
    blocks = [_prose(command.help or "", width), usage]
    for title, rows in sections.items():
        lines = [paint([(f"{_(title)}:", "bold")], colour=colour)]
        for name, text in rows:
            lines += _row(name, text, left=left, width=width, colour=colour)
        blocks.append("\n".join(lines))
    if commands:
        blocks.append(_("'{command} COMMAND --help' tells more about one of them.", command=ctx.command_path))
    return "\n\n".join(block for block in blocks if block)


def usage_pieces(command: Command, ctx: Context) -> list[str]:
    """Give the usage line's pieces: `[OPTIONS] SKU [LINES]...`."""
    arguments = [param for param in command.get_params(ctx) if isinstance(param, TyperArgument) and not param.hidden]
    return ["[OPTIONS]", *(_argument(param, in_usage=True) for param in arguments)]


def _argument(param: TyperArgument, *, in_usage: bool) -> str:
    name = param.human_readable_name
    if in_usage and not param.required:
        name = f"[{name}]"
    return name if param.nargs == 1 else f"{name}..."


def _option(param: TyperOption, ctx: Context) -> str:
    # Short names first, and aligned with those of options that have none.
    names = ", ".join(sorted(param.opts, key=len))
    if param.secondary_opts:
        names += f" / {', '.join(param.secondary_opts)}"
    if not param.is_flag:
        kind = param.metavar or param.type.get_metavar(param, ctx) or (param.name or "").upper()
        # Typer writes choices as `<json|console>`.
        names += f" {kind.strip('<>')}"
    return names if len(min(param.opts, key=len)) == 2 else f"    {names}"


def _about(param: TyperArgument | TyperOption) -> str:
    notes = []
    if param.envvar and param.show_envvar:
        notes.append(_("env: {name}", name=param.envvar))
    if param.default not in (None, False) and param.show_default:
        notes.append(_("default: {value}", value=param.default))
    if isinstance(param, TyperOption) and param.required:
        notes.append(_("required"))
    return " ".join([*([_(param.help)] if param.help else []), *([f"[{', '.join(notes)}]"] if notes else [])])


def _parameters(command: Command, ctx: Context) -> dict[str, Rows]:
    sections: dict[str, list[tuple[str, str]]] = {_ARGUMENTS: [], _OPTIONS: [], SHARED_PANEL: []}
    help_option = command.get_help_option(ctx)
    for param in command.get_params(ctx):
        if isinstance(param, TyperArgument) and not param.hidden:
            sections[_ARGUMENTS].append((_argument(param, in_usage=False), _about(param)))
        elif isinstance(param, TyperOption) and not param.hidden:
            panel = SHARED_PANEL if param is help_option else param.rich_help_panel or _OPTIONS
            sections.setdefault(panel, []).append((_option(param, ctx), _about(param)))
    shared = sections.pop(SHARED_PANEL)
    return {title: rows for title, rows in (sections | {SHARED_PANEL: shared}).items() if rows}


def _prose(text: str, width: int) -> str:
    return "\n\n".join(
        paragraph if paragraph.startswith("    ") else textwrap.fill(_(paragraph), width)
        for paragraph in paragraphs(text)
    )


def paragraphs(text: str) -> list[str]:
    """Split a help text into its paragraphs: prose in one line each, which is what is translated; examples as is."""
    # Typer's convention: a form feed ends what is for users.
    parts = cleandoc(text).partition("\f")[0].strip("\n").split("\n\n")
    return [part if part.startswith("    ") else " ".join(part.split()) for part in parts]


def did_you_mean(names: Sequence[str]) -> str:
    """Return how a complaint of an unknown name goes on."""
    return _(". Did you mean {names}?", names=_(" or ").join(names))


def _row(name: str, text: str, *, left: int, width: int, colour: bool) -> list[str]:
    painted = paint([(name, "cyan")], colour=colour)
    lines = textwrap.wrap(text, max(width - left - 4, 24)) or [""]
    if len(name) > left:
        head, rest = [f"  {painted}"], lines
    else:
        head, rest = [f"  {painted}{' ' * (left - len(name))}  {lines[0]}".rstrip()], lines[1:]
    return head + [f"{'':{left + 4}}{line}" for line in rest]

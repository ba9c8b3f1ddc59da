"""The messages of the source: what a clerk may come to read, found by reading the source and by asking the commands."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import invctl
from invctl.cli.app import build, commands
from invctl.console.helptext import paragraphs
from invctl.console.lazy import Family

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PACKAGE = Path(invctl.__file__).parent
SPEAKERS = {"_": 1, "_n": 2, "marked": 1}
"""The functions that take messages, and how many each takes."""


class Message(NamedTuple):
    """One message, and its plural, if it has one."""

    one: str
    many: str = ""


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def in_source(path: Path) -> Iterator[tuple[Message, int]]:
    """Yield the messages of a module, and their lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if (takes := SPEAKERS.get(node.func.id)) is not None:
            said = [str(arg.value) for arg in node.args[:takes] if isinstance(arg, ast.Constant)]
            if len(said) == takes:
                yield Message(*said), node.lineno
        elif node.func.id == "Column" and (title := heading(node)):
            yield Message(title), node.lineno


def heading(call: ast.Call) -> str:
    """Return the heading of a column that a table shows; empty where it is put together elsewhere."""
    given = {word.arg: word.value for word in call.keywords}
    shown = given.get("in_table")
    title = given.get("title", call.args[1] if len(call.args) > 1 else None)
    if isinstance(shown, ast.Constant) and not shown.value:
        return ""
    if title is not None:
        return str(title.value) if isinstance(title, ast.Constant) else ""
    key = call.args[0]
    return str(key.value).replace("_", " ").capitalize() if isinstance(key, ast.Constant) else ""


def in_help() -> Iterator[str]:
    """Yield what the help pages say, a paragraph or a parameter each."""
    group = build()
    with group.make_context("invctl", ["stock"]) as ctx:
        yield from _of_page(group.help or "", group.params)
        yield "Show this message and exit."
        for name, entry in commands().items():
            command = group.get_command(ctx, name)
            assert command is not None
            yield from (entry.summary, entry.panel)
            yield from _of_page(command.help or "", command.params)
            if isinstance(entry, Family):
                for sub, below in entry.commands.items():
                    yield below.summary
                    found = command.get_command(ctx, sub)  # type: ignore[attr-defined]
                    yield from _of_page(found.help or "", found.params)


def _of_page(text: str, params: Sequence[object]) -> Iterator[str]:
    yield from (part for part in paragraphs(text) if part and not part.startswith("    "))
    yield from (said for param in params if (said := getattr(param, "help", None)))


def every() -> dict[Message, str]:
    """Return all messages, with where each stands first."""
    found: dict[Message, str] = {}
    for path in sources():
        for message, line in in_source(path):
            found.setdefault(message, f"{path.relative_to(PACKAGE.parent)}:{line}")
    for text in in_help():
        found.setdefault(Message(text), "--help")
    # What has a plural needs no entry of its own beside it.
    ones = {message.one for message in found if message.many}
    return {message: where for message, where in found.items() if message.many or message.one not in ones}

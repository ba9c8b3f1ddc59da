"""What a document shows to be copied: its blocks of code, in order, and what a mark in its source says of each.

A block is run as it stands, line by line, unless the HTML comment before it says otherwise:

    <!-- file: NAME -->        what to put into that file
    <!-- output -->            what the line before it prints
    <!-- not run: REASON -->   cannot be had here, or is run elsewhere
"""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import central.app
import daemon.app
import invctl.cli.app
from scripts.chain.command import as_command
from tests.e2e.clerk import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer._click import Command

_MARK = re.compile(r"<!-- (file: (?P<file>\S+)|(?P<output>output)|not run: (?P<reason>.+)) -->")
_FENCE = "```"
_INDENT = "    "
_OPERATORS = set(";&|()<>")
_REDIRECT = set("<>")
SCRIPTS = ("seed", "reset", "demo", "simulate", "chaos", "bench", "replay")
BUILDERS = {"invctl": invctl.cli.app.build, "invd": daemon.app.build, "invcentral": central.app.build}


class Block(NamedTuple):
    """A block of code of `document` under the heading `section`, which begins at line `number`."""

    document: str
    section: str
    number: int
    lines: tuple[str, ...]
    file: str = ""
    output: bool = False
    reason: str = ""

    @property
    def where(self) -> str:
        return f"{self.document}:{self.number}"

    @property
    def is_run(self) -> bool:
        return not (self.file or self.output or self.reason)


def blocks(document: str) -> list[Block]:
    """Read the blocks of a document, which is named from the project's folder."""
    found: list[Block] = []
    lines = (ROOT / document).read_text(encoding="utf-8").splitlines()
    number, mark, section = 0, None, ""
    while number < len(lines):
        line = lines[number]
        taken: list[str] = []
        start = number
        if line.startswith(_FENCE):
            end = lines.index(_FENCE, number + 1)
            taken, number = lines[number + 1 : end], end + 1
        elif line.startswith(_INDENT):
            while number < len(lines) and (lines[number].startswith(_INDENT) or not lines[number]):
                taken.append(lines[number].removeprefix(_INDENT))
                number += 1
            while not taken[-1]:
                taken.pop()
        else:
            number += 1
            if line.startswith("#"):
                section = line.lstrip("# ")
            if line:
                mark = _MARK.fullmatch(line)
        if taken:
            said = mark.groupdict(default="") if mark else {"file": "", "output": "", "reason": ""}
            about = said["file"], bool(said["output"]), said["reason"]
            found.append(Block(document, section, start + 1, tuple(taken), *about))
            mark = None
    return found


def commands(line: str) -> Iterator[list[str]]:
    """Give the words of each command in a line of a shell, but for what is put before it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    is_file = False
    for word in (*lexer, ";"):
        if is_file:
            is_file = False
        elif not set(word) <= _OPERATORS:
            words.append(word)
        elif set(word) & _REDIRECT:
            is_file = True
            if words[-1].isdecimal():
                words.pop()
        else:
            while words and (re.fullmatch(r"[A-Z_]+=.*", words[0]) or words[0] == "export"):
                words.pop(0)
            if words[:2] == ["sudo", "-u"]:
                words = words[3:]
            if words:
                yield words
            words = []


def resolve(words: list[str]) -> bool:
    """Read the words of one of our commands as that does, without calling it. False where it is none of ours.

    Raises click's UsageError where the command does not know what it is given.
    """
    name = words[0].rpartition("/")[2]
    if words[0].startswith("scripts/") and name in SCRIPTS:
        as_command(name, getattr(import_module(f"scripts.{name}"), name)).make_context(name, words[1:])
        return True
    if name not in BUILDERS:
        return False
    command: Command = BUILDERS[name]()
    context = command.make_context(name, words[1:])
    while (resolved := getattr(command, "resolve_command", None)) is not None:
        rest = [*context._protected_args, *context.args]
        found, command, rest = resolved(context, rest)
        context = command.make_context(found, rest, parent=context)
    return True

"""docs/commands.md is what the commands themselves say of themselves.

After a change of a command, `python tests/unit/docs/test_commands.py` writes it anew.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import central.app
import daemon.app
import invctl.cli.app
from invctl.console.lazy import Entry, Family
from invctl.console.main import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from invctl.console.lazy import Table

DOCUMENT = Path(__file__).parents[3] / "docs" / "commands.md"
COLUMNS = "100"
HEAD = """# Commands

What `--help` says of each command, as it is in this version; written by the commands themselves.
"""
PROGRAMS: dict[str, tuple[Callable[[], Any], Callable[[], Table]]] = {
    "invctl": (invctl.cli.app.build, invctl.cli.app.commands),
    "invd": (daemon.app.build, lambda: {"run": Entry("", "")}),
    "invcentral": (central.app.build, central.app.commands),
}


def written() -> str:
    parts = [HEAD]
    for program, (build, commands) in PROGRAMS.items():
        parts.append(f"## {program}\n\n{page(program, build)}")
        parts += [f"### {' '.join([program, *words])}\n\n{page(program, build, *words)}" for words in paths(commands())]
    return "\n".join(parts)


def paths(table: Table) -> Iterator[list[str]]:
    for name, entry in table.items():
        if isinstance(entry, Family):
            yield from ([name, sub] for sub in entry.commands)
        else:
            yield [name]


def page(program: str, build: Callable[[], Any], *words: str) -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        patch.setenv("COLUMNS", COLUMNS)
        patch.setenv("NO_COLOR", "1")
        assert run(program, build, [*words, "--help"]) == 0
    text = out.buffer.getvalue().decode()
    return "```text\n" + "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) + "\n```\n"


def test_the_reference_is_what_the_commands_say() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == written(), f"run: python {Path(__file__).name}"


if __name__ == "__main__":
    DOCUMENT.write_text(written(), encoding="utf-8")

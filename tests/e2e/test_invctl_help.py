"""Every command has help, with an example that it would take."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest

from invctl.cli.app import TEXT, build, commands
from invctl.console.lazy import Family, LazyGroup

if TYPE_CHECKING:
    from tests.e2e.clerk import Clerk

pytestmark = pytest.mark.cli

NAMES = [
    (*name.split(), *sub)
    for name, entry in commands().items()
    for sub in ([(each,) for each in entry.commands] if isinstance(entry, Family) else [()])
]


def examples(text: str) -> list[list[str]]:
    return [shlex.split(line) for line in text.splitlines() if line.startswith("    invctl ")]


def parse(argv: list[str]) -> Any:
    """Parse a command line as `invctl` does, and carry nothing out. Returns the command; raises what click raises."""
    command: Any = build()
    context = command.make_context("invctl", argv[1:])
    while isinstance(command, LazyGroup):
        words: list[str] = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, words)
        context = command.make_context(name, rest, parent=context)
    return command


@pytest.mark.parametrize("name", NAMES, ids=" ".join)
def test_help_says_what_it_does_and_shows_how(clerk: Clerk, name: tuple[str, ...]) -> None:
    done = clerk(*name, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Usage: invctl {' '.join(name)} [OPTIONS]" in done.out
    assert max(len(line) for line in done.out.splitlines()) <= 80
    shown = examples(done.out)
    assert shown
    for example in shown:
        assert example[1 : 1 + len(name)] == list(name)
        command = parse(example)
        assert all(param.help for param in command.params)


def test_the_whole(clerk: Clerk) -> None:
    done = clerk("--help")
    assert done.code == 0
    for name, entry in commands().items():
        assert f"  {name} " in done.out
        assert entry.summary in " ".join(done.out.split())
    for example in examples(TEXT):
        parse(example)


def test_a_group_that_is_called_alone_shows_its_help(clerk: Clerk, monkeypatch: pytest.MonkeyPatch) -> None:
    done = clerk("product")
    assert (done.code, done.out) == (2, "")
    assert done.err == clerk("product", "--help").out
    # In colour, it still steers the terminal instead of being shown to it.
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[1mUsage:\x1b[0m" in clerk("product").err


def test_the_version(clerk: Clerk) -> None:
    from invctl import __version__

    assert clerk("--version").out == f"invctl {__version__}\n"

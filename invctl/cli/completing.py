"""How the words typed so far may go on: commands, options and their choices, SKUs, open reservations."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Typer 0.28 carries its own copy of click, of which it exports next to nothing.
from typer._click import Context
from typer.core import TyperArgument, TyperOption

from invctl.cli.app import build, commands
from invctl.cli.reservations import STATUSES
from invctl.console.lazy import LazyGroup
from invctl.console.output import FORMATS
from invctl.errors import InventoryError
from invctl.ledger import names
from invctl.ledger.adjustments import REASONS
from invctl.ledger.ledger import Ledger
from invctl.settings import home_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WORDS_MAX = 200
_CHOICES: dict[str, Sequence[str]] = {"output": FORMATS, "reason": REASONS, "status": STATUSES}
# By the names of parameters in the commands' functions. What is none of these is a file, or free text: the shell's.
_SKUS = frozenset({"sku", "items", "parts"})
_RESERVATIONS = frozenset({"reservation"})


def candidates(typed: Sequence[str], home: str | None = None) -> list[str]:
    """Return how the last of these words may go on. Of a ledger that cannot be read there is nothing to say.

    `home` is the store's folder, unless they name another.
    """
    # Bash hands over `--reason=damaged` as three words.
    *before, word = [each for each in typed if each != "="] or [""]
    walk = _Walk(home)
    for each in before:
        walk.step(each)
    if walk.option is not None:
        return walk.values(walk.option.name, word)
    if "=" in typed[-2:]:
        # How many, behind `MOUSE-001=`.
        return []
    name, equals, value = word.partition("=")
    if word.startswith("-") and equals and (option := walk.taking(name)) is not None:
        return [f"{name}={choice}" for choice in walk.values(option.name, value)]
    return _beginning(word, walk.options()) if word.startswith("-") else walk.words(word)


class _Walk:
    """Where one is in a command line: behind which command, with which of its arguments, within which option."""

    def __init__(self, home: str | None) -> None:
        self.option: TyperOption | None = None
        self._command: Any = build()
        self._context = Context(self._command)
        self._path: list[str] = []
        self._rest: list[str] = []
        self._home = home

    def step(self, word: str) -> None:
        """Take one word that is complete."""
        name, equals, value = word.partition("=")
        if self.option is not None:
            self._take(self.option, word)
            self.option = None
        elif word.startswith("-"):
            self.option = self.taking(name)
            if self.option is not None and equals:
                self._take(self.option, value)
                self.option = None
        elif (inner := self._inner(word)) is not None:
            self._command = inner
            self._path.append(word)
        else:
            self._rest.append(word)

    def taking(self, name: str) -> TyperOption | None:
        """Return the option of this name, if it takes a value."""
        return next((option for option in self._options() if name in option.opts and not option.is_flag), None)

    def options(self) -> list[str]:
        """Return the long names of the options that may stand here."""
        return ["--help", *(name for option in self._options() for name in option.opts if name.startswith("--"))]

    def words(self, word: str) -> list[str]:
        """Return what may stand here that is no option."""
        if isinstance(self._command, LazyGroup):
            first_words = dict.fromkeys(name.split()[0] for name in self._command.list_commands(self._context))
            return [] if self._rest else _beginning(word, first_words)
        begun = " ".join(self._path) + " "
        inner = [name.removeprefix(begun) for name in commands() if name.startswith(begun) and not self._rest]
        arguments = [param for param in self._command.params if isinstance(param, TyperArgument)]
        at = arguments[len(self._rest) :] or [last for last in arguments[-1:] if last.nargs == -1]
        return _beginning(word, inner) + (self.values(at[0].name, word) if at else [])

    def values(self, name: str | None, word: str) -> list[str]:
        """Return the values of a parameter that begin so, in the case in which they are typed."""
        if name in _CHOICES:
            return _beginning(word, _CHOICES[name])
        if name not in _SKUS | _RESERVATIONS:
            return []
        try:
            with Ledger.open(home_of(self._home, os.environ)) as ledger:
                read = names.skus if name in _SKUS else names.open_ids
                found = read(ledger, word.upper(), WORDS_MAX)
        except (InventoryError, OSError):
            # Whoever presses a key has asked nothing, and wants no answer.
            return []
        return found if word.upper() == word else [each.lower() for each in found]

    def _inner(self, word: str) -> Any:
        if isinstance(self._command, LazyGroup):
            return self._command.get_command(self._context, word)
        both = " ".join([*self._path, word])
        return build().get_command(self._context, both) if both in commands() and not self._rest else None

    def _options(self) -> list[TyperOption]:
        return [param for param in self._command.params if isinstance(param, TyperOption)]

    def _take(self, option: TyperOption, value: str) -> None:
        if option.name == "home":
            self._home = value


def _beginning(word: str, known: Iterable[str]) -> list[str]:
    return [name for name in known if name.startswith(word)]

"""The Spanish catalogue has all that is said, nothing else, and is compiled.

After a change of invctl.po, `python -m tests.unit.language.test_catalogue` compiles it anew.
"""

from __future__ import annotations

import ast
import io
import re
from collections import Counter
from datetime import UTC, datetime
from gettext import GNUTranslations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from invctl.language import LOCALES
from tests.unit.language.messages import SPEAKERS, Message, every, sources

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog

pytestmark = pytest.mark.cli

SPANISH = Path(LOCALES) / "es" / "LC_MESSAGES" / "invctl.po"
_PLACEHOLDER = re.compile(r"(?<!\{)\{[^{}]*\}")
_QUOTED = re.compile(r"`[^`]+`")


def catalogue() -> Catalog:
    with SPANISH.open("rb") as stream:
        return read_po(stream, locale="es", abort_invalid=True)


def compiled() -> bytes:
    written, found = io.BytesIO(), catalogue()
    # Not the day of whoever compiles it: the same source is the same file.
    found.creation_date = found.revision_date = datetime(2026, 1, 1, tzinfo=UTC)
    write_mo(written, found)
    return written.getvalue()


def translated() -> dict[Message, tuple[str, ...]]:
    found = {}
    for entry in catalogue():
        if entry.id:
            message = Message(entry.id) if isinstance(entry.id, str) else Message(*entry.id)
            found[message] = (entry.string,) if isinstance(entry.string, str) else tuple(entry.string or ())
    return found


def entries(compiled: bytes) -> dict[object, str]:
    """Return what a compiled catalogue says, less its header, which names the day and the compiler."""
    found: dict[object, str] = dict(GNUTranslations(io.BytesIO(compiled))._catalog)  # type: ignore[attr-defined]
    del found[""]
    return found


def test_whatever_is_said_is_said_in_spanish_too() -> None:
    spanish = translated()
    missing = [
        f"{where}: {message.one!r}" for message, where in every().items() if not all(spanish.get(message, ("",)))
    ]
    assert not missing, f"add to {SPANISH.name}:\n" + "\n".join(missing)


def test_nothing_is_translated_that_nobody_says() -> None:
    said = every()
    unused = [message.one for message in translated() if message not in said]
    assert not unused, f"take out of {SPANISH.name}:\n" + "\n".join(map(repr, unused))


def test_both_languages_have_the_same_placeholders_commands_and_margins() -> None:
    pairs = [
        pair
        for message, said in translated().items()
        for pair in zip([message.one, message.many or message.one], [*said, *said][:2], strict=True)
    ]
    assert [pair for pair in pairs if kept(pair[0]) != kept(pair[1])] == []


def kept(text: str) -> object:
    """Return what a translation leaves as it is."""
    margins = (text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :])
    return Counter(_PLACEHOLDER.findall(text)), Counter(_QUOTED.findall(text)), margins


def test_what_is_read_is_what_was_written() -> None:
    compiled_before = SPANISH.with_suffix(".mo").read_bytes()
    assert entries(compiled_before) == entries(compiled()), "run: python -m tests.unit.language.test_catalogue"


def test_messages_are_looked_up_when_they_are_said_and_not_when_a_module_is_read() -> None:
    """A module is read once, and before it is known who listens."""
    early = [
        f"{path.name}:{node.lineno}"
        for path in sources()
        for statement in ast.parse(path.read_text(encoding="utf-8")).body
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef)
        for node in ast.walk(statement)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_", "_n")
    ]
    assert early == []


def test_the_function_that_translates_is_never_hidden_by_a_variable() -> None:
    hidden = []
    for path in sources():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        froms = [
            node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "invctl.language"
        ]
        names = {alias.name for node in froms for alias in node.names} & set(SPEAKERS)
        hidden += [
            f"{path.name}:{node.lineno}"
            for node in ast.walk(tree)
            if (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in names)
            or (isinstance(node, ast.arg) and node.arg in names)
        ]
    assert hidden == []


if __name__ == "__main__":
    SPANISH.with_suffix(".mo").write_bytes(compiled())

"""A sentence that is not in the catalogue is found here, wherever it is written."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from invctl.cli.app import TEXT
from tests.unit.language.messages import PACKAGE, SPEAKERS, in_help, sources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.cli

ROOMS = ("cli", "console", "ledger", "model", "settings.py")
NOT_TO_CLERKS = {
    # The daemon's, and so the operators'.
    *("ledger/outbox.py", "ledger/reappend.py", "ledger/rebase.py", "ledger/history.py", "ledger/seeding.py"),
    # What a replay finds is for whoever repairs a ledger, is written down beside it, and is told in the same words
    # at head office.
    *("ledger/comparison.py", "ledger/verify.py", "model/projection.py", "model/checkpoint.py", "model/events.py"),
    # Scripts for shells.
    "cli/completion.py",
    # Currencies by their codes.
    "cli/money.py",
}
"""Modules whose sentences nobody at a counter reads."""
ALLOWED = {
    "it was about to be replaced by a backup": "noted in a file, which head office may read",
    "invctl {}, Python {}": "names and numbers",
    "`sudo chown $(id -u) {}`": "a command",
    "`invctl daemon start`": "a command",
    "`invctl barcode list`": "a command",
    "another machine": "looked for in what the daemon wrote",
    "pip install 'invctl[labels]'": "a command",
    "stock import": "a command",
    "no log: {}\n": "for support",
    "error: ": "looked for in what the daemon wrote",
    "unexpected: ": "looked for in what the daemon wrote",
    "hint: ": "looked for in what the daemon wrote",
    "scan> ": "the command's own name",
    "synchronous = FULL": "SQL",
    "{}IN (SELECT value FROM json_each(?))": "SQL",
    "{} WHERE {} ORDER BY {}, reservation LIMIT ?": "SQL",
    "(status = 'expired' OR (status = 'pending' AND expires_us <= ?))": "SQL",
    "reservation, status, order_reference, clerk, created_us, expires_us, ended_us, first_seq, last_seq": "SQL",
}
_SQL = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|PRAGMA|BEGIN|FROM|WHERE|ORDER|AND|WITH)\b|.*( = \?| > \?)"
)
_STYLE = re.compile(r"(bold|dim) \w+")
# Their words are found by asking the commands themselves, or are read from `Column`.
_ASKED_ELSEWHERE = {*SPEAKERS, "Option", "Argument", "shared_option", "Entry", "Family", "Column", "compile"}
_TEXT_METHODS = {"execute", "executemany", "rows", "row", "first", "split", "startswith", "removeprefix", "partition"}
ERRORS = re.compile(r"[A-Z]\w+Error")


def text_of(node: ast.AST) -> str | None:
    """Return a literal's text, with `{}` for what is put in; None for what is no text."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def is_prose(text: str) -> bool:
    """Say whether a text is words to be read: more than one, and neither SQL nor a style."""
    words = re.findall(r"(?<![\w{%\\$.-])[A-Za-z]{2,}(?![\w}=(])", text)
    if text.startswith(("#", "<")):
        return False  # a comment in a settings file, or HTML
    # One word with a space beside it is part of a sentence: ` by `.
    several = len(words) > 1 and " " in text.strip()
    return (
        (several or (len(words) == 1 and text != text.strip())) and not _SQL.match(text) and not _STYLE.fullmatch(text)
    )


def forgotten(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the sentences below a node that no function of the language sees, and their lines."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.AnnAssign):
            yield from forgotten(ast.Expr(ast.List([child.value] if child.value else [])))
        elif isinstance(child, ast.Call):
            yield from _of_call(child)
        elif (text := text_of(child)) is not None:
            if is_prose(text):
                yield child.lineno, text  # type: ignore[attr-defined] # every literal has one
        elif not _is_aside(child):
            yield from forgotten(child)


def _is_aside(node: ast.AST) -> bool:
    """Say whether a node is a docstring, or what Typer reads."""
    if isinstance(node, ast.Expr):
        return text_of(node.value) is not None
    return isinstance(node, ast.arg) or (
        isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "Annotated"
    )


def _of_call(call: ast.Call) -> Iterator[tuple[int, str]]:
    called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    said = [*call.args, *(word.value for word in call.keywords)]
    if called in _ASKED_ELSEWHERE | _TEXT_METHODS:
        said = [arg for arg in said if text_of(arg) is None]
    if ERRORS.fullmatch(called):
        # Of an error even a single word is a message.
        for told in [*call.args[:1], *(word.value for word in call.keywords if word.arg == "hint")]:
            if (text := text_of(told)) and not is_prose(text) and re.search("[a-z]{2}", text.replace("{}", "")):
                yield told.lineno, text
    yield from forgotten(ast.Expr(ast.List([call.func, *said])))


def told_in(path: Path) -> list[tuple[str, str]]:
    texts = forgotten(ast.parse(path.read_text(encoding="utf-8")))
    return [(f"{path.relative_to(PACKAGE)}:{line}: {text!r}", text) for line, text in texts if text not in ALLOWED]


def test_every_sentence_can_be_said_in_another_language() -> None:
    rooms = [path for path in sources() if path.relative_to(PACKAGE).parts[0] in ROOMS]
    helps = {TEXT, *in_help()}
    wanted = [path for path in rooms if str(path.relative_to(PACKAGE)) not in NOT_TO_CLERKS]
    assert [where for path in wanted for where, text in told_in(path) if text not in helps] == []


@pytest.mark.parametrize(
    "source",
    [
        'raise RefusedError("no")',
        'raise RefusedError(_("no"), hint=f"try {it} again")',
        'out.talk(f"{count} in the basket")',
        'out.result(record, message=[(sku, "bold"), " is gone now"])',
        'HINT = "look at the disk"',
        'return " by " + name',
        'def f(x: int = 0) -> str:\n    return f"held by {x}"',
    ],
)
def test_one_that_cannot_is_found(source: str) -> None:
    assert len(list(forgotten(ast.parse(source)))) >= 1


@pytest.mark.parametrize("source", ['raise RefusedError(_("no such {what}", what=it))', 'x.execute("SELECT a FROM b")'])
def test_one_that_can_is_not(source: str) -> None:
    assert list(forgotten(ast.parse(source))) == []

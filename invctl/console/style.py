"""Plain text for terminals: colour where it is wanted, and nothing that could steer the terminal.

Kept apart from rich, which costs as much to import as a whole command costs to run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TextIO

Part = str | tuple[str, str]
"""Text, or text and its style: `("R-7K4QMQ", "bold cyan")`."""
Message = str | Sequence[Part]

_SGR = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}

# C0 and C1 control characters, but for the tab and the line feed.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(0x7F, 0xA0)) if code not in (9, 10)}
_BREAKS = {9: "\\t", 10: "\\n"}


def wants_colour(stream: TextIO | None) -> bool:
    """Whether to colour what goes to `stream`: a terminal, unless NO_COLOR (https://no-color.org) or TERM=dumb."""
    if stream is None or os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def printable(text: str, *, one_line: bool = False) -> str:
    r"""Show control characters as `\x1b`, so that a product's name cannot steer the terminal."""
    if text.isprintable():
        return text
    text = text.translate(_CONTROLS)
    return text.translate(_BREAKS) if one_line else text


def paint(message: Message, *, colour: bool) -> str:
    """Join a message's parts, each made printable, styled where `colour` says so."""
    if isinstance(message, str):
        return printable(message)
    return "".join(
        printable(part) if isinstance(part, str) else _styled(printable(part[0]), part[1], colour=colour)
        for part in message
    )


def _styled(text: str, style: str, *, colour: bool) -> str:
    if not colour or not text:
        return text
    return f"\x1b[{';'.join(_SGR[word] for word in style.split())}m{text}\x1b[0m"

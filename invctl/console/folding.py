"""Messages on a narrow terminal: folded at spaces, below the text that they belong to, and never within a word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from invctl.console.style import Message

# A number stays with what it counts: `2 MOUSE-001`.
_WORD = re.compile(r"( *)((?:\d+ )?\S+)")
_LABEL = re.compile(r"\S+(?: \S+)*  +")


def folded(message: Message, width: int) -> Message:
    """Fold a message to `width` cells. What stands behind a label and two spaces goes on below itself."""
    parts = [
        (part, "") if isinstance(part, str) else part for part in ([message] if isinstance(message, str) else message)
    ]
    whole = "".join(text for text, _ in parts)
    # A letter takes two cells at the most; what surely fits needs nothing of rich.
    if all(len(line) * (1 if line.isascii() else 2) <= width for line in whole.split("\n")):
        return message
    cuts, at, told = dict(_cuts(whole, width)), 0, []
    for text, style in parts:
        told.append(("".join(cuts.get(at + place, char) for place, char in enumerate(text)), style))
        at += len(text)
    return [(text, style) if style else text for text, style in told]


def _cuts(whole: str, width: int) -> Iterator[tuple[int, str]]:
    """Tell which spaces give way, by their places, and to what."""
    from rich.cells import cell_len  # noqa: PLC0415 - see above

    begin = 0
    for line in whole.split("\n"):
        label = _LABEL.match(line)
        indent = cell_len(label[0]) if label and 2 * cell_len(label[0]) <= width else 0
        used = 0
        for found in _WORD.finditer(line):
            spaces, word = found.groups()
            used += len(spaces) + cell_len(word)
            below = indent if indent + cell_len(word) <= width else 0
            if used > width and found.start() and used - cell_len(word) > below:
                yield begin + found.start(), "\n" + " " * below
                yield from ((begin + found.start() + more, "") for more in range(1, len(spaces)))
                used = below + cell_len(word)
        begin += len(line) + 1

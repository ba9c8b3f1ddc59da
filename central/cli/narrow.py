"""What a terminal has room for. A pipe has room for everything."""

from __future__ import annotations

import sys
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from invctl.console.style import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invctl.console.output import Output
    from invctl.console.style import Part


def line_width(out: Output) -> int | None:
    """Return how many cells a line for people may have; None where nobody watches."""
    watched = out.fmt == "table" and not out.quiet and sys.stdout is not None and sys.stdout.isatty()
    return get_terminal_size().columns if watched else None


def cut(parts: Sequence[Part], width: int | None) -> list[Part]:
    """Cut a line to a width, with an ellipsis where something was left out."""
    whole = [(part, "") if isinstance(part, str) else part for part in parts]
    shown = [(printable(text, one_line=True), style) for text, style in whole]
    if width is None or sum(cell_len(text) for text, _ in shown) <= width:
        return list(parts)
    room = width - 1
    kept: list[Part] = []
    for text, style in shown:
        piece = text if cell_len(text) <= room else set_cell_size(text, room)
        kept.append((piece, style) if style else piece)
        room -= cell_len(piece)
    return [*kept, "\N{HORIZONTAL ELLIPSIS}"]

"""Tables for people: as wide as they are in a pipe; on a terminal no number, id or time is broken in two.

Where a terminal has no room for all, headings fold first, and text; then the columns go that say so; what is left is
told one below the other.
"""

from __future__ import annotations

import re
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from rich.cells import cell_len, chop_cells

from invctl.console.style import paint, printable, wants_colour
from invctl.language import _, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from invctl.console.output import Column

    Cells = Sequence[Sequence[str]]

_GAP = 3
_GAP_TIGHT = 2
_TEXT_LEAST = 14
"""Cells that a text which folds needs at the least: `may have moved`."""
_WORD_MAX = 30
"""Cells that a word has to itself; a longer one is broken."""


class Table(NamedTuple):
    """A table's lines, and the columns that there was no room for."""

    lines: list[str]
    left_out: frozenset[str]


class _Layout(NamedTuple):
    gap: int
    widths: list[int]


def render(columns: Sequence[Column], records: Sequence[Mapping[str, Any]], *, stream: TextIO) -> Table:
    """Lay out a table for `stream`: for a terminal's width, or as wide as it is elsewhere."""
    kept = list(columns)
    width = get_terminal_size().columns if stream.isatty() else None
    cells = {column.key: [_shown(column, record.get(column.key)) for record in records] for column in columns}
    droppable = sorted((column for column in columns if column.drop), key=lambda column: column.drop)
    while (layout := _layout(kept, cells, width)) is None:
        if not droppable:
            lines = _stacked(columns, cells, width or 0, colour=wants_colour(stream))
            return Table(lines, frozenset())
        kept.remove(droppable.pop(0))
    utf = (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")
    right = [_is_numeric([record.get(column.key) for record in records]) for column in kept]
    lines = list(_rows(kept, cells, layout, right, rule="─" if utf else "-", colour=wants_colour(stream)))
    return Table(lines, frozenset(column.key for column in columns) - {column.key for column in kept})


def _layout(columns: Sequence[Column], cells: Mapping[str, Sequence[str]], width: int | None) -> _Layout | None:
    """Return how wide each column is, None where there is no room for them."""
    contents = [max(map(cell_len, cells[column.key]), default=0) for column in columns]
    full = [max(content, cell_len(column.heading)) for content, column in zip(contents, columns, strict=True)]
    if width is None:
        return _Layout(_GAP, full)
    tight = [
        max(content, *map(cell_len, column.heading.split())) for content, column in zip(contents, columns, strict=True)
    ]
    for gap, wanted in ((_GAP, full), (_GAP_TIGHT, tight)):
        widths = [
            min(want, max([_TEXT_LEAST, *map(_widest_piece, cells[column.key])])) if column.folds else want
            for want, column in zip(wanted, columns, strict=True)
        ]
        room = width - gap * (len(columns) - 1) - sum(widths)
        if room < 0:
            continue
        # Who lacks least gets all of it; what that leaves is the others', in equal shares.
        lacking = sorted(range(len(columns)), key=lambda place: wanted[place] - widths[place])
        for done, place in enumerate(lacking):
            more = min(wanted[place] - widths[place], room // (len(columns) - done))
            widths[place] += more
            room -= more
        return _Layout(gap, widths)
    return None


def _rows(
    columns: Sequence[Column],
    cells: Mapping[str, Sequence[str]],
    layout: _Layout,
    right: Sequence[bool],
    *,
    rule: str,
    colour: bool,
) -> Iterator[str]:
    styles = [column.style for column in columns]
    headings = [_folded(column.heading, width) for column, width in zip(columns, layout.widths, strict=True)]
    height = max(map(len, headings))
    # A heading of fewer lines stands on the rule.
    headings = [[""] * (height - len(heading)) + heading for heading in headings]
    yield from _lines(headings, layout, right, ["bold"] * len(columns), colour=colour)
    yield rule * (sum(layout.widths) + layout.gap * (len(columns) - 1))
    for row in zip(*(cells[column.key] for column in columns), strict=True):
        folded = [_folded(cell, width) for cell, width in zip(row, layout.widths, strict=True)]
        yield from _lines(folded, layout, right, styles, colour=colour)


def _lines(
    row: Sequence[Sequence[str]], layout: _Layout, right: Sequence[bool], styles: Sequence[str], *, colour: bool
) -> Iterator[str]:
    """Set one row's cells, each of one or more lines, side by side."""
    for place in range(max(map(len, row))):
        line, owed = "", 0
        for cell, width, is_right, style in zip(row, layout.widths, right, styles, strict=True):
            text = cell[place] if place < len(cell) else ""
            padding = width - cell_len(text)
            if text:
                line += " " * (owed + padding * is_right) + paint([(text, style)] if style else text, colour=colour)
                owed = layout.gap + padding * (not is_right)
            else:
                owed += layout.gap + width
        yield line.rstrip()


def _stacked(columns: Sequence[Column], cells: Mapping[str, Sequence[str]], width: int, *, colour: bool) -> list[str]:
    """Tell each record in lines of its own, one a column that says something."""
    label = max(cell_len(column.heading) for column in columns)
    room = max(width - label - _GAP_TIGHT, 1)
    lines: list[str] = []
    for row in zip(*(cells[column.key] for column in columns), strict=True):
        lines += [""] if lines else []
        for column, cell in zip(columns, row, strict=True):
            for place, text in enumerate(_folded(cell, room) if cell else []):
                heading = "" if place else column.heading
                gap = " " * (label - cell_len(heading) + _GAP_TIGHT)
                value = (text, column.style) if column.style else text
                lines.append(paint([(heading, "bold"), gap, value], colour=colour))
    return lines


def _folded(text: str, width: int) -> list[str]:
    """Fold a text at a comma, or else at a space, or else where the line ends. Returns at least one line."""
    if cell_len(text) <= width:
        return [text]
    lines: list[str] = []
    for piece in _pieces(text, width):
        if lines and cell_len(lines[-1]) + 1 + cell_len(piece) <= width:
            lines[-1] += " " + piece
        else:
            lines.append(piece)
    return lines


def _pieces(text: str, width: int) -> Iterator[str]:
    """Split a text into what stays together: what is between two commas, or a word, or as much as there is room for."""
    for part in text.replace(", ", ",\n").split("\n"):
        if cell_len(part) <= width:
            yield part
        else:
            for word in _words(part):
                yield from chop_cells(word, width)


def _words(text: str) -> list[str]:
    """Split a text at its spaces. A number stays with what it counts: `2 MOUSE-001`."""
    return re.split(r"(?<!\d) +", text.strip())


def _widest_piece(text: str) -> int:
    """Return how wide a column has to be for a text not to be broken within a word, unless that is absurdly long."""
    return min(max(map(cell_len, _words(text))), _WORD_MAX)


def _is_numeric(values: Sequence[object]) -> bool:
    numbers = [value for value in values if value is not None]
    return bool(numbers) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers)


def _shown(column: Column, value: object) -> str:
    if value is None:
        return ""
    if column.show is not None:
        return printable(column.show(value), one_line=True)
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list | tuple):
        return printable(", ".join(str(item) for item in value), one_line=True)
    if isinstance(value, int):
        return number(value)
    return printable(str(value), one_line=True)

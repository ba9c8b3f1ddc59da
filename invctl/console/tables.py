"""Tables for people: folded to the terminal by rich, and as wide as they are in a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from rich.cells import cell_len

from invctl.console.style import printable, wants_colour

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from invctl.console.output import Column

    Cells = Sequence[Sequence[str]]

_GAP = "   "


def render(columns: Sequence[Column], records: Sequence[Mapping[str, Any]], *, stream: TextIO) -> list[str]:
    """Lay out a table for `stream`. Returns its lines: as wide as the terminal, or as needed elsewhere."""
    cells = [[_shown(column, record.get(column.key)) for column in columns] for record in records]
    right = [_is_numeric([record.get(column.key) for record in records]) for column in columns]
    lines = _folded(columns, cells, right, stream) if stream.isatty() else _full(columns, cells, right, stream)
    return [line.rstrip() for line in lines]


def _full(columns: Sequence[Column], cells: Cells, right: Sequence[bool], stream: TextIO) -> list[str]:
    """Lay out by hand: nothing is to be folded, and rich takes seconds for ten thousand rows."""
    headings = [column.heading for column in columns]
    rows = [headings, *cells]
    widths = [max(cell_len(row[number]) for row in rows) for number in range(len(columns))]

    def line(row: Sequence[str]) -> str:
        padding = [" " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        return _GAP.join(
            pad + cell if is_right else cell + pad for cell, pad, is_right in zip(row, padding, right, strict=True)
        )

    utf = (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")
    rule = ("─" if utf else "-") * (sum(widths) + len(_GAP) * (len(columns) - 1))
    return [line(headings), rule, *map(line, cells)]


def _folded(columns: Sequence[Column], cells: Cells, right: Sequence[bool], stream: TextIO) -> list[str]:
    # Only here is all of rich needed, and it costs more than all the rest of a command.
    from rich import box  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    colour = wants_colour(stream)
    console = Console(file=stream, force_terminal=colour)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column, is_right in zip(columns, right, strict=True):
        table.add_column(
            Text(column.heading),
            justify="right" if is_right else "left",
            style=column.style if colour else "",
            overflow="fold",
        )
    for row in cells:
        table.add_row(*map(Text, row))
    with console.capture() as capture:
        console.print(table)
    return capture.get().splitlines()


def _is_numeric(values: Sequence[object]) -> bool:
    numbers = [value for value in values if value is not None]
    return bool(numbers) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers)


def _shown(column: Column, value: object) -> str:
    if value is None:
        return ""
    if column.show is not None:
        return printable(column.show(value), one_line=True)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return printable(", ".join(str(item) for item in value), one_line=True)
    return printable(str(value), one_line=True)

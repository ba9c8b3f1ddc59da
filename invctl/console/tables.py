"""Tables for people. Imported only where one is shown: rich costs more than all the rest of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from invctl.console.style import printable, wants_colour

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from invctl.console.output import Column

_WIDTH_PIPED = 100_000
"""Wide enough that nothing is wrapped or cut where the reader is a program."""


def render(columns: Sequence[Column], records: Sequence[Mapping[str, Any]], *, stream: TextIO) -> list[str]:
    """Lay out a table for `stream`. Returns its lines: as wide as the terminal, or as needed in a pipe."""
    colour = wants_colour(stream)
    console = Console(
        file=stream,
        force_terminal=colour,
        no_color=not colour,
        width=None if stream.isatty() else _WIDTH_PIPED,
        highlight=False,
        markup=False,
        emoji=False,
    )
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        values = [record.get(column.key) for record in records]
        table.add_column(
            Text(column.heading),
            justify="right" if _is_numeric(values) else "left",
            style=column.style if colour else "",
            overflow="fold",
        )
    for record in records:
        table.add_row(*(Text(_shown(column, record.get(column.key))) for column in columns))
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


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

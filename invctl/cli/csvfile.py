"""A CSV file as people save one: with or without a byte order mark, with commas or semicolons."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import NamedTuple

from invctl.errors import InvalidValueError, InventoryError, NotFoundError
from invctl.language import _, _n

STDIN = "-"
FILE_BYTES_MAX = 64 * 1024 * 1024
ROWS_MAX = 100_000
SHOWN_MAX = 20


class Row(NamedTuple):
    """One row, by column, and the line in which it begins. What a column has that is not in the file is None."""

    line: int
    cells: dict[str, str]


class Sheet(NamedTuple):
    """A file as read: its name for messages, its columns, its rows, and what is wrong with lines of it."""

    name: str
    columns: list[str]
    rows: list[Row]
    faults: list[tuple[int, InventoryError]]
    decimal_comma: bool
    """Whether cells are divided by semicolons, as where 80,00 is an amount of money."""


def read(file: str, needed: tuple[str, ...], optional: tuple[str, ...]) -> Sheet:
    """Read a file, `-` for standard input.

    Raises NotFoundError where there is none; InvalidValueError where it is too large, no text in UTF-8, or its first
    line does not name the columns `needed`, or names others than these and the `optional` ones.
    """
    name = _("standard input") if file == STDIN else file
    text = _text(_content(file, name), name)
    first = text.partition("\n")[0]
    semicolons = ";" in first and "," not in first
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if semicolons else ",", strict=True)
    sheet = Sheet(name, [], [], [], semicolons)
    line = 1
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                pass
            elif not sheet.columns:
                sheet.columns.extend(_columns(cells, needed, optional, name))
            elif len(cells) != len(sheet.columns):
                wrong = _(
                    "{cells}, where the header has {columns:,}",
                    cells=_n("{n:,} cell", "{n:,} cells", len(cells)),
                    columns=len(sheet.columns),
                )
                sheet.faults.append((line, InvalidValueError(wrong)))
            else:
                stripped = (cell.strip() for cell in cells)
                sheet.rows.append(Row(line, dict(zip(sheet.columns, stripped, strict=True))))
            line = reader.line_num + 1
            if len(sheet.rows) > ROWS_MAX:
                raise InvalidValueError(
                    _("{name} has more than {rows:,} rows", name=name, rows=ROWS_MAX),
                    hint=_("divide it into several files"),
                )
    except csv.Error as error:
        # Where a quote is left open, what follows cannot be told apart.
        sheet.faults.append((line, InvalidValueError(_("not CSV from here on: {error}", error=error))))
    if not sheet.columns and not sheet.faults:
        raise _no_header(name, needed, optional)
    return sheet


def refuse(sheet: Sheet, faults: list[tuple[int, InventoryError]]) -> None:
    """Raise InvalidValueError where anything is wrong with a file: what, by line, at most 20 of them."""
    if not faults:
        return
    faults = sorted(faults, key=lambda fault: fault[0])
    told = [(line, f"{error.message} ({error.hint})" if error.hint else error.message) for line, error in faults]
    message = _n(
        "{n:,} line of {name} cannot be taken, so nothing was written",
        "{n:,} lines of {name} cannot be taken, so nothing was written",
        len(told),
        name=sheet.name,
    )
    message += "".join(_("\n  line {line}: {what}", line=line, what=what) for line, what in told[:SHOWN_MAX])
    if len(told) > SHOWN_MAX:
        message += _("\n  and {more:,} more", more=len(told) - SHOWN_MAX)
    raise InvalidValueError(
        message,
        hint=_("mend them, and import the whole file again"),
        faults=[{"line": line, "message": what} for line, what in told[:SHOWN_MAX]],
        count=len(told),
    )


def _content(file: str, name: str) -> bytes:
    try:
        if file == STDIN:
            content: bytes = sys.stdin.buffer.read(FILE_BYTES_MAX + 1) if sys.stdin else b""
        else:
            with Path(file).open("rb") as stream:
                content = stream.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise NotFoundError(
            _("there is no file {file}", file=file), hint=_("name a CSV file, or - for standard input")
        ) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InvalidValueError(
            _("{name} cannot be read: {why}", name=name, why=why), hint=_("name a CSV file that is readable")
        ) from None
    if len(content) > FILE_BYTES_MAX:
        hint = _("divide it into several files")
        raise InvalidValueError(
            _("{name} has more than {megabytes} MB", name=name, megabytes=FILE_BYTES_MAX // 2**20), hint=hint
        )
    return content


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        hint = _("save it as CSV in UTF-8 (from Windows-1252: `iconv -f cp1252 -t utf-8`)")
        raise InvalidValueError(_("line {line} of {name} is not UTF-8", line=line, name=name), hint=hint) from None


def _columns(cells: list[str], needed: tuple[str, ...], optional: tuple[str, ...], name: str) -> list[str]:
    columns = [cell.strip().lower() for cell in cells]
    if "currency" in columns:
        # As `product list -o csv` writes it: 8000 for what is 80.00.
        raise InvalidValueError(
            _("{name} has a column currency, as lists for programs have, whose prices are in minor units", name=name),
            hint=_("an import takes prices as people write them, such as 80.00, and no such column"),
        )
    if set(needed) - set(columns) or set(columns) - {*needed, *optional} or len(set(columns)) < len(columns):
        raise _no_header(name, needed, optional)
    return columns


def _no_header(name: str, needed: tuple[str, ...], optional: tuple[str, ...]) -> InvalidValueError:
    may = _("; there may be {columns}", columns=", ".join(optional)) if optional else ""
    return InvalidValueError(
        _("the first line of {name} does not name its columns", name=name),
        hint=_("it is to be {columns}{may}", columns=",".join(needed), may=may),
    )

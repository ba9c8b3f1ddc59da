"""What a command writes: results on stdout in the form that was asked for, talk on stderr.

In JSON a result is one line, in which lists are arrays. Only tables and progress bars load rich.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TextIO

from invctl.console.exits import OutputError
from invctl.console.style import Message, paint, wants_colour
from invctl.language import _

if TYPE_CHECKING:
    from invctl.console.progress import Progress

Format = Literal["table", "json", "ndjson", "csv"]
FORMATS: tuple[Format, ...] = ("table", "json", "ndjson", "csv")

Record = Mapping[str, Any]
"""One result: names of the domain, and JSON values."""


class Column(NamedTuple):
    """One column of a list: which value, and how a table shows it. JSON and CSV have the value itself."""

    key: str
    title: str = ""
    """By default made from the key: `on_hand` becomes `On hand`."""
    show: Callable[[Any], str] | None = None
    style: str = ""
    """As `invctl.console.style` has them, for the table."""
    in_table: bool = True
    folds: bool = False
    """Text, which may go on in further lines where a terminal is narrow. Nothing else is broken."""
    drop: int = 0
    """What goes first where a terminal has no room for all: 1, then 2 and so on. 0 stays."""

    @property
    def heading(self) -> str:
        """What stands above the column in a table."""
        return _(self.title or self.key.replace("_", " ").capitalize())


class Output:
    """Where a command writes to. Made anew for each command, from its `-o` and `-q`."""

    def __init__(
        self,
        fmt: Format = "table",
        *,
        quiet: bool = False,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        """Keep the form, and the streams: by default the process's own, which may be missing (`>&-`)."""
        self.fmt = fmt
        self.quiet = quiet
        self._stdout: TextIO | None = stdout or sys.stdout
        self._stderr: TextIO | None = stderr or sys.stderr

    def result(self, record: Record, *, message: Message, ident: str | None = None) -> None:
        """Write the one result of a command: the message for people, the record for programs, `ident` under -q."""
        if self.quiet:
            self._lines([] if ident is None else [ident])
        elif self.fmt == "table":
            self._lines([_painted(message, self._stdout)])
        elif self.fmt == "csv":
            self._lines([csv_line(record), csv_line(record.values())])
        else:
            self._lines([self._json(record)])

    def rows(
        self,
        columns: Sequence[Column],
        records: Iterable[Record],
        *,
        ident: str | None = None,
        empty: str = "",
    ) -> frozenset[str]:
        """Write a list. Under -q the values of `ident` alone, by default those of the first column.

        `empty` is said in place of a table that would have no rows. NDJSON and CSV do not hold the records in memory.
        Returns the keys of the columns that a terminal had no room for.
        """
        if self.fmt == "table" and not self.quiet:
            return self._table(columns, list(records), empty)
        if self.fmt == "json" and not self.quiet:
            self._lines([self._json(list(records))])
        else:
            line = self._line_writer(columns, ident)
            self._lines(self._header(columns))
            self._lines(line(record, "") for record in records)
        return frozenset()

    def stream(self, columns: Sequence[Column], *, ident: str | None = None) -> Callable[[Record, Message], None]:
        """Begin a result without an end. Returns what writes one record of it, which is out when that returns.

        JSON is one record a line here, as NDJSON is; a table is the messages.
        """
        line = self._line_writer(columns, ident)
        self._lines(self._header(columns))

        def emit(record: Record, message: Message) -> None:
            self._lines([line(record, message)])

        return emit

    def talk(self, message: Message) -> None:
        """Say something on stderr that is not the result. Nothing under -q."""
        if not self.quiet and self._stderr is not None:
            _write(self._stderr, _painted(message, self._stderr) + "\n", flush=True)

    def progress(self, label: str, *, total: int) -> Progress:
        """Show a progress bar on stderr, in a `with` block. Nothing where that is no terminal, or under -q."""
        from invctl.console.progress import Bar, Hidden  # noqa: PLC0415 - loads rich

        if self.quiet or self._stderr is None or not self._stderr.isatty():
            return Hidden()
        return Bar(label, total=total, stream=self._stderr)

    def _table(self, columns: Sequence[Column], records: list[Record], empty: str) -> frozenset[str]:
        if not records and empty:
            self.talk(empty)
        elif self._stdout is not None:
            from invctl.console.tables import render  # noqa: PLC0415 - loads rich

            shown = [column for column in columns if column.in_table]
            table = render(shown, records, stream=self._stdout)
            self._lines(table.lines)
            return table.left_out
        return frozenset()

    def _header(self, columns: Sequence[Column]) -> list[str]:
        return [csv_line(column.key for column in columns)] if self.fmt == "csv" and not self.quiet else []

    def _line_writer(self, columns: Sequence[Column], ident: str | None) -> Callable[[Record, Message], str]:
        if self.quiet:
            key = ident or columns[0].key
            return lambda record, _message: str(record[key])
        if self.fmt == "table":
            return lambda _record, message: _painted(message, self._stdout)
        if self.fmt == "csv":
            return lambda record, _message: csv_line(record.get(column.key) for column in columns)
        return lambda record, _message: self._json(record)

    def _json(self, value: object) -> str:
        return json_line(value, self._stdout)

    def _lines(self, lines: Iterable[str]) -> None:
        if self._stdout is not None:
            for line in lines:
                _write(self._stdout, line + "\n")
            _write(self._stdout, "", flush=True)


def _write(stream: TextIO, text: str, *, flush: bool = False) -> None:
    """Write, and tell an error in that from those of whoever makes the text. Raises OutputError, BrokenPipeError."""
    try:
        stream.write(text)
        if flush:
            stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(error.errno, error.strerror) from error


def _painted(message: Message, stream: TextIO | None) -> str:
    if stream is not None and stream.isatty():
        from invctl.console.folding import folded  # noqa: PLC0415 - a pipe has no need of it

        message = folded(message, get_terminal_size().columns)
    return paint(message, colour=wants_colour(stream))


def json_line(value: object, stream: TextIO | None) -> str:
    """Write a value as one line of JSON, in ASCII where the stream cannot take more."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return json.dumps(value, ensure_ascii=not encoding.lower().startswith("utf"), allow_nan=False)


def csv_line(values: Iterable[object]) -> str:
    """Write one row as RFC 4180 says, less the carriage return. Lists are JSON in their cell; nothing is left out."""
    cells = [_cell(value) for value in values]
    # A lone empty cell would be a blank line, which readers skip.
    return ",".join(cells) if cells != [""] else '""'


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)
    if any(char in text for char in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text

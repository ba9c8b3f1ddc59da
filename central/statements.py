"""Statements of the hot path: written in Core, compiled once for each database, and run past SQLAlchemy.

A batch is a few statements of many rows, and a lone event the same few of one row each. Values go to the driver as they
are: integers, texts and bytes, which both drivers take as such. See `central.driver` for what that saves.
"""

from __future__ import annotations

import json
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ARRAY, Text, and_, bindparam, func, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler

from central import driver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ClauseElement, ColumnElement, Connection, FromClause, Table

Insert = sqlite.Insert | postgresql.Insert


class _Compiled(NamedTuple):
    text: str
    # The values that the statement itself names, by the names that they were given.
    fixed: dict[str, Any]
    # The names of the driver's parameters by their places; None where it takes names.
    order: list[str] | None

    def parameters(self, values: dict[str, Any]) -> driver.Parameters:
        """Return the driver's parameters for these values."""
        named = {**self.fixed, **values}
        return named if self.order is None else tuple([named[name] for name in self.order])


class ForRows:
    """A statement that is run once for each of many rows."""

    def __init__(self, names: Sequence[str], build: Callable[[str], ClauseElement]) -> None:
        """Take the names of a row's values, and what makes the statement, with parameters of these names.

        `build` is given the name of a dialect.
        """
        self._names = list(names)
        self._build = build
        self._compiled: dict[str, tuple[str, Callable[[Any], Any] | None]] = {}

    def run(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> int:
        """Run it for these rows, each with a value for each name; return how many rows of a table it changed."""
        if not rows:
            return 0
        name = connection.dialect.name
        found = self._compiled.get(name)
        if found is None:
            compiled = _compile(self._build(name), connection, self._names)
            found = self._compiled[name] = compiled.text, self._arranged(compiled)
        text, arranged = found
        return driver.run_many(connection, text, rows if arranged is None else [arranged(row) for row in rows])

    def _arranged(self, compiled: _Compiled) -> Callable[[Any], Any] | None:
        """Return what makes the driver's parameters of a row, None where they are the row as it is."""
        if compiled.order == self._names:
            return None
        if compiled.order is not None and not compiled.fixed and len(compiled.order) > 1:
            return itemgetter(*map(self._names.index, compiled.order))
        return lambda row: compiled.parameters(dict(zip(self._names, row, strict=True)))


class Query:
    """A SELECT that returns few rows."""

    def __init__(self, statement: ClauseElement) -> None:
        """Take a statement of which the named parameters are what `rows` is given."""
        self._statement = statement
        self._compiled: dict[str, _Compiled] = {}

    def rows(self, connection: Connection, **values: Any) -> list[tuple[Any, ...]]:
        """Return the rows found."""
        name = connection.dialect.name
        compiled = self._compiled.get(name)
        if compiled is None:
            compiled = self._compiled[name] = _compile(self._statement, connection, [])
        return driver.fetch(connection, compiled.text, compiled.parameters(values))

    def first(self, connection: Connection, **values: Any) -> tuple[Any, ...] | None:
        """Return the first row found, None where there is none."""
        rows = self.rows(connection, **values)
        return rows[0] if rows else None


class ByKeys:
    """A SELECT of the rows that have one of many keys. The keys are one parameter, however many they are."""

    def __init__(
        self,
        source: FromClause,
        keys: Sequence[ColumnElement[Any]],
        columns: Sequence[ColumnElement[Any]],
        *,
        lock: bool = False,
    ) -> None:
        """Select `columns` of `source` (a table, or several joined) by the columns `keys`, which are text.

        `lock` keeps the rows of the keys' table as they are until the transaction ends.
        """
        self._source = source
        self._columns = columns
        self._keys = keys
        self._lock = lock
        self._texts: dict[str, str] = {}

    def rows(self, connection: Connection, keys: Sequence[Sequence[str]]) -> list[tuple[Any, ...]]:
        """Return the rows found, in no order. No keys, no statement."""
        if not keys:
            return []
        name = connection.dialect.name
        text = self._texts.get(name)
        if text is None:
            text = self._texts[name] = _compile(self._statement(name), connection, []).text
        if name == "postgresql":
            lists = [list(column) for column in zip(*keys, strict=True)]
            return driver.fetch(connection, text, {f"keys_{index}": each for index, each in enumerate(lists)})
        return driver.fetch(connection, text, (json.dumps([list(key) for key in keys]),))

    def _statement(self, dialect: str) -> ClauseElement:
        wanted, values = _key_table(dialect, len(self._keys))
        matches = and_(*(column == value for column, value in zip(self._keys, values, strict=True)))
        statement = select(*self._columns).select_from(wanted).join(self._source, matches)
        return statement.with_for_update(of=list(self._keys), key_share=True) if self._lock else statement


def insert_into(dialect: str, table: Table) -> Insert:
    """Return an INSERT that can say ON CONFLICT, which both databases know and standard SQL does not."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def upsert_into(dialect: str, table: Table) -> Insert:
    """Return an INSERT that overwrites the row that has the same primary key."""
    statement = insert_into(dialect, table)
    keys = [column.name for column in table.primary_key]
    others = {column.name: column for column in statement.excluded if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=others)


def insert_if_new(dialect: str, table: Table) -> Insert:
    """Return an INSERT that leaves the row alone that has the same primary key."""
    keys = [column.name for column in table.primary_key]
    return insert_into(dialect, table).on_conflict_do_nothing(index_elements=keys)


def _compile(statement: ClauseElement, connection: Connection, names: list[str]) -> _Compiled:
    compiled = statement.compile(dialect=connection.dialect, column_keys=names or None)
    assert isinstance(compiled, SQLCompiler)
    fixed = {name: value for name, value in compiled.params.items() if value is not None and name not in names}
    return _Compiled(str(compiled), fixed, compiled.positiontup)


def _key_table(dialect: str, size: int) -> tuple[FromClause, list[ColumnElement[Any]]]:
    """Return the keys as a table to select from, and its columns."""
    names = [f"keys_{index}" for index in range(size)]
    if dialect == "postgresql":
        arrays = [bindparam(name, type_=ARRAY(Text)) for name in names]
        table = func.unnest(*arrays).table_valued(*names, name="wanted").render_derived()
        return table, [table.c[name] for name in names]
    table = func.json_each(bindparam("keys", type_=Text)).table_valued("value", name="wanted")
    return table, [table.c.value.op("->>")(literal_column(str(index))) for index in range(size)]

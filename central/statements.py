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
    # Turns values by name into the driver's parameters; None where it takes names.
    in_order: Callable[[dict[str, Any]], tuple[Any, ...]] | None

    def parameters(self, values: dict[str, Any]) -> driver.Parameters:
        """Return the driver's parameters for these values."""
        named = {**self.fixed, **values} if self.fixed else values
        return named if self.in_order is None else self.in_order(named)


class ForRows:
    """A statement that is run once for each of many rows."""

    def __init__(self, build: Callable[[str], ClauseElement]) -> None:
        """`build` takes the name of a dialect and returns the statement. What a row gives is a named parameter."""
        self._build = build
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> int:
        """Run it, and return how many rows of a table it changed. All `rows` have the same names."""
        if not rows:
            return 0
        name = connection.dialect.name
        compiled = self._compiled.get(name)
        if compiled is None:
            compiled = self._compiled[name] = _compile(self._build(name), connection, list(rows[0]))
        return driver.run_many(connection, compiled.text, [compiled.parameters(row) for row in rows])


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
    return _Compiled(str(compiled), fixed, _in_order(compiled.positiontup))


def _in_order(names: list[str] | None) -> Callable[[dict[str, Any]], tuple[Any, ...]] | None:
    if names is None or len(names) > 1:
        return None if names is None else itemgetter(*names)
    return lambda values: tuple(values[name] for name in names)


def _key_table(dialect: str, size: int) -> tuple[FromClause, list[ColumnElement[Any]]]:
    """Return the keys as a table to select from, and its columns."""
    names = [f"keys_{index}" for index in range(size)]
    if dialect == "postgresql":
        arrays = [bindparam(name, type_=ARRAY(Text)) for name in names]
        table = func.unnest(*arrays).table_valued(*names, name="wanted").render_derived()
        return table, [table.c[name] for name in names]
    table = func.json_each(bindparam("keys", type_=Text)).table_valued("value", name="wanted")
    return table, [table.c.value.op("->>")(literal_column(str(index))) for index in range(size)]

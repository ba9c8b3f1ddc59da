"""What both databases spell differently in bulk statements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TypeVar

    from sqlalchemy import Connection, Table

    T = TypeVar("T")

# A row value in an IN list takes two or three parameters; SQLite allows 32,766 in a statement.
KEYS_MAX = 5000


def insert_into(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that can say ON CONFLICT, which both databases know and standard SQL does not."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def upsert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that overwrites the row that has the same primary key."""
    statement = insert_into(connection, table)
    keys = [column.name for column in table.primary_key]
    others = {column.name: column for column in statement.excluded if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=others)


def chunks(items: Iterable[T]) -> Iterator[Sequence[T]]:
    """Divide items into runs that fit into one statement."""
    all_items = list(items)
    for start in range(0, len(all_items), KEYS_MAX):
        yield all_items[start : start + KEYS_MAX]

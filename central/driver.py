"""Statements of which the text is ready, handed to the database's driver.

Most of what a small statement costs is what SQLAlchemy does around it: 25 microseconds against 2 for the driver's own
part, on SQLite. So what runs many times a second is compiled once (`central.statements`) and takes this path, inside a
transaction that SQLAlchemy opened and will end. Errors are told as everywhere, see `central.driver_errors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from central.driver_errors import translated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

Parameters = tuple[Any, ...] | dict[str, Any]
"""By place on SQLite, by name on PostgreSQL."""


def fetch(connection: Connection, text: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows."""
    raw = connection.connection.dbapi_connection
    assert raw is not None
    try:
        rows: list[tuple[Any, ...]] = raw.execute(text, parameters).fetchall()
    except connection.dialect.loaded_dbapi.Error as error:
        _tell(connection, error)
    return rows


def run(connection: Connection, text: str) -> None:
    """Run a statement that gives no rows."""
    raw = connection.connection.dbapi_connection
    assert raw is not None
    try:
        raw.execute(text)
    except connection.dialect.loaded_dbapi.Error as error:
        _tell(connection, error)


def run_many(connection: Connection, text: str, rows: Sequence[Any]) -> int:
    """Run a statement once for each of these rows of parameters, and return how many rows of a table it changed."""
    raw = connection.connection.dbapi_connection
    assert raw is not None
    cursor = raw.cursor()
    try:
        cursor.executemany(text, rows)
        changed: int = cursor.rowcount
    except connection.dialect.loaded_dbapi.Error as error:
        _tell(connection, error)
    finally:
        cursor.close()
    return changed


def _tell(connection: Connection, error: Any) -> NoReturn:
    """Raise our error for the driver's; the same one where it is a fault in the program."""
    is_disconnect = connection.dialect.is_disconnect(error, connection.connection.dbapi_connection, None)
    ours = translated(error, connection.dialect.loaded_dbapi, is_disconnect=is_disconnect)
    if ours is None:
        raise error
    raise ours from error

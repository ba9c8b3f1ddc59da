"""Errors of a database's driver, told as ours: what is passing, what is damage, and what is a fault in the program.

The last is left as it is: an unknown column must not look like an outage.
Sources: https://www.sqlite.org/rescode.html and https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.errors import BusyError, InventoryError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from sqlalchemy import ExceptionContext
    from sqlalchemy.engine.interfaces import DBAPIModule

# Most often it is in the settings file, and a person at the command line cannot tell which it was.
_URL = "the database's URL (database_url in config.toml, INVCENTRAL_DATABASE_URL, or --database-url)"

_SQLITE: dict[str, tuple[type[InventoryError], str]] = {
    "BUSY": (BusyError, "another process writes to it; try again"),
    "LOCKED": (BusyError, "another process writes to it; try again"),
    "CANTOPEN": (UnreachableError, f"check {_URL}; invcentral init makes a new one"),
    "FULL": (UnreachableError, "make room on its disk"),
    "IOERR": (UnreachableError, "check its disk"),
    "PERM": (UnreachableError, "check the permissions of its file and folder"),
    "READONLY": (UnreachableError, "check the permissions of its file and folder"),
    "CORRUPT": (RefusedError, "stop invcentral, keep the file, and restore a backup"),
    "NOTADB": (RefusedError, f"that file is something else: check {_URL}"),
}

_TRY_AGAIN = "try again"
_LOOK = f"check that the server runs, and {_URL}"
# By the beginning of the SQLSTATE.
_POSTGRES: dict[str, tuple[type[InventoryError], str]] = {
    "08": (UnreachableError, _LOOK),
    "25006": (UnreachableError, f"that server is a read-only standby; point {_URL} at the primary"),
    "25P03": (UnreachableError, "this process stood still inside a transaction, and was cut off"),
    "28": (UnreachableError, f"check the user and password in {_URL}"),
    "3D000": (UnreachableError, "create the database first: createdb"),
    "40": (BusyError, _TRY_AGAIN),
    "42501": (UnreachableError, "grant that user what it needs"),
    "53": (UnreachableError, "the server lacks disk, memory or connections"),
    "55P03": (BusyError, _TRY_AGAIN),
    "57014": (BusyError, _TRY_AGAIN),
    "57P": (UnreachableError, _LOOK),
    "58": (UnreachableError, "check the server's disk"),
    "XX001": (RefusedError, "stop invcentral, and restore a backup"),
    "XX002": (RefusedError, "stop invcentral, and restore a backup"),
}


def translate(context: ExceptionContext) -> BaseException | None:
    """Return our error for a driver's, None where it is a fault in the program. SQLAlchemy's `handle_error` hook."""
    error = context.original_exception
    if not isinstance(error, context.dialect.loaded_dbapi.Error):
        # An interrupt passes through here as well.
        return None
    return translated(error, context.dialect.loaded_dbapi, is_disconnect=context.is_disconnect)


def translated(error: BaseException, driver: DBAPIModule, *, is_disconnect: bool) -> InventoryError | None:
    """Return our error for an Error of a driver, None where it is a fault in the program."""
    name = getattr(error, "sqlite_errorname", None)
    if name is None:
        found = _of_postgres(error, driver, is_disconnect=is_disconnect)
    else:
        found = _SQLITE.get(name.removeprefix("SQLITE_").partition("_")[0])
    if found is None:
        return None
    kind, hint = found
    lines = str(error).splitlines() or [type(error).__name__]
    return kind(f"the database fails: {lines[0]}", hint=hint)


def _of_postgres(
    error: BaseException, driver: DBAPIModule, *, is_disconnect: bool
) -> tuple[type[InventoryError], str] | None:
    state = getattr(error, "sqlstate", None) or ""
    for length in (2, 3, 5):
        if found := _POSTGRES.get(state[:length]):
            return found
    # A connection that breaks, or never comes about, has no SQLSTATE.
    if is_disconnect or (not state and isinstance(error, driver.OperationalError)):
        return UnreachableError, _LOOK
    return None

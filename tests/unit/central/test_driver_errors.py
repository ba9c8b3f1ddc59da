"""Which failure of a database is passing, which is damage, and which is our own fault."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psycopg
import pysqlite3.dbapi2 as sqlite
import pytest

from central.driver_errors import translate
from invctl.errors import BusyError, InventoryError, RefusedError, UnreachableError


def told(error: BaseException, driver: Any, *, is_disconnect: bool = False) -> BaseException | None:
    context = SimpleNamespace(
        original_exception=error, is_disconnect=is_disconnect, dialect=SimpleNamespace(loaded_dbapi=driver)
    )
    return translate(context)  # type: ignore[arg-type] # the part of an ExceptionContext that is read


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SQLITE_BUSY", BusyError),
        ("SQLITE_BUSY_SNAPSHOT", BusyError),
        ("SQLITE_LOCKED_SHAREDCACHE", BusyError),
        ("SQLITE_FULL", UnreachableError),
        ("SQLITE_IOERR_WRITE", UnreachableError),
        ("SQLITE_CANTOPEN", UnreachableError),
        ("SQLITE_READONLY", UnreachableError),
        ("SQLITE_CORRUPT", RefusedError),
        ("SQLITE_NOTADB", RefusedError),
        ("SQLITE_ERROR", None),
        ("SQLITE_CONSTRAINT_CHECK", None),
    ],
)
def test_sqlite(name: str, kind: type[InventoryError] | None) -> None:
    error = sqlite.OperationalError("what happened\nand where")
    error.sqlite_errorname = name
    found = told(error, sqlite)
    if kind is None:
        assert found is None
    else:
        assert isinstance(found, kind)
        assert str(found) == "the database fails: what happened"
        assert found.hint


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("40001", BusyError),
        ("40P01", BusyError),
        ("55P03", BusyError),
        ("57014", BusyError),
        ("57P01", UnreachableError),
        ("08006", UnreachableError),
        ("25P03", UnreachableError),
        ("25006", UnreachableError),
        ("28P01", UnreachableError),
        ("53100", UnreachableError),
        ("53300", UnreachableError),
        ("XX001", RefusedError),
        ("42P01", None),
        ("23514", None),
        ("22021", None),
        ("25001", None),
        ("55006", None),
    ],
)
def test_postgresql(state: str, kind: type[InventoryError] | None) -> None:
    found = told(psycopg.errors.lookup(state)("what happened"), psycopg)
    assert (found is None) if kind is None else (isinstance(found, kind) and found.hint != "")


def test_a_connection_that_breaks_has_no_state() -> None:
    assert isinstance(told(psycopg.OperationalError("connection refused"), psycopg), UnreachableError)
    assert isinstance(told(psycopg.InterfaceError("it is closed"), psycopg, is_disconnect=True), UnreachableError)
    assert told(psycopg.ProgrammingError("a wrong parameter"), psycopg) is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), ValueError("ours")])
def test_what_is_not_the_drivers_passes_through(error: BaseException) -> None:
    assert told(error, psycopg, is_disconnect=True) is None
    assert told(error, sqlite, is_disconnect=True) is None

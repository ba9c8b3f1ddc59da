"""Central's SQLite: one file, in WAL mode, of which one process at a time is the writer.

SQLAlchemy takes over its transactions from the driver, which by itself opens none before a SELECT and only a deferred
one before a write: https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#enabling-non-legacy-sqlite-transactional-modes-with-the-sqlite3-or-aiosqlite-driver
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pysqlite3 import dbapi2
from sqlalchemy import create_engine, event
from sqlalchemy.exc import DisconnectionError

from central import driver
from invctl.errors import BusyError, InvalidValueError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import URL, Connection, Engine
    from sqlalchemy.pool import ConnectionPoolEntry

    from invctl.clock import Clock

BUSY_TIMEOUT_S = 5.0

# Processes that write and checkpoint one WAL file can corrupt it: https://www.sqlite.org/wal.html#walresetbug
AFFECTED_FROM = (3, 7, 0)
AFFECTED_TO = (3, 51, 2)

# Options of an execution: it is going to write; and of an engine: what ends the waits of its writers.
WRITES = "sqlite_writes"
HURRIED = "sqlite_hurried"
_FILE = "sqlite_file"
_LOOK_EVERY_S = 0.01


def check_version(version: tuple[int, int, int]) -> None:
    """Raise RefusedError where this SQLite has the bug that corrupts a WAL file of several processes."""
    if AFFECTED_FROM <= version <= AFFECTED_TO:
        raise RefusedError(
            f"SQLite {'.'.join(map(str, version))} can corrupt a database that several processes write",
            hint="install pysqlite3 0.6.1 or later, which brings a current SQLite",
        )


def open_engine(url: URL, clock: Clock, pool: Mapping[str, Any], *, create: bool) -> Engine:
    """Return an engine for the file that a URL names, with these options of its pool. See `database.open_database`."""
    check_version(dbapi2.sqlite_version_info)
    path = url.database
    if not path or path == ":memory:" or path.startswith("file:") or url.query:
        raise InvalidValueError(
            "central's SQLite has to be a file, and its URL takes no options", hint="sqlite:////path/central.db"
        )

    def connect() -> Any:
        connection = dbapi2.connect(
            f"file:{quote(path)}?mode={'rwc' if create else 'rw'}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _prepare(connection, clock)
        except BaseException:
            connection.close()
            raise
        return connection

    options = {HURRIED: threading.Event()}
    engine = create_engine(url, module=dbapi2, creator=connect, execution_options=options, **pool)
    event.listen(engine, "begin", _begin)
    _follow_file(engine, path)
    return engine


def _follow_file(engine: Engine, path: str) -> None:
    """Open the database anew where its file was put in the place of another: the old one is nobody's any more."""

    def remember(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info[_FILE] = _identity(path)

    def compare(_connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        if record.info[_FILE] != _identity(path):
            raise DisconnectionError

    event.listen(engine, "connect", remember)
    event.listen(engine, "checkout", compare)


def _identity(path: str) -> tuple[int, int] | None:
    """Return what tells a file from any other that may come to have its name, None where there is none."""
    try:
        stat = os.stat(path)  # noqa: PTH116 - asked for each connection that is taken up
    except FileNotFoundError:
        return None
    return stat.st_dev, stat.st_ino


def _prepare(connection: Any, clock: Clock) -> None:
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise RefusedError(
            f"the database cannot be in WAL mode (it is in {mode})", hint="put it on a local disk of this machine"
        )
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.create_function("now_us", 0, clock.now_us)


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get(WRITES):
        _begin_writing(connection, options[HURRIED])
    else:
        driver.run(connection, "BEGIN")


def _begin_writing(connection: Connection, hurried: threading.Event) -> None:
    """Wait for one's turn to write here: nothing can end a wait in SQLite, and it is the only one that lasts."""
    until_s = time.monotonic() + BUSY_TIMEOUT_S
    driver.run(connection, "PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                driver.run(connection, "BEGIN IMMEDIATE")
            except BusyError:
                if time.monotonic() >= until_s or hurried.wait(_LOOK_EVERY_S):
                    raise
            else:
                return
    finally:
        driver.run(connection, f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT_S * 1000)}")

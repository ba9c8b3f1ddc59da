"""Central's database, by URL: SQLite by default, PostgreSQL where there are many stores or several centrals.

An engine is synchronous: a daemon calls it from a thread of its own. Errors of a driver leave here as those of
`invctl.errors` (see `central.driver_errors`), and none shows a password.

SQLAlchemy takes over SQLite's transactions from the driver, which by itself opens none before a SELECT and only a
deferred one before a write: https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#enabling-non-legacy-sqlite-transactional-modes-with-the-sqlite3-or-aiosqlite-driver
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pysqlite3 import dbapi2
from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from central.driver_errors import translate
from invctl.errors import BusyError, InvalidValueError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine
    from sqlalchemy.pool import ConnectionPoolEntry

    from invctl.clock import Clock

CONNECT_TIMEOUT_S = 5
BUSY_TIMEOUT_S = 5.0
LOCK_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 30.0
IDLE_IN_TRANSACTION_S = 5.0
# A connection that has gone silent is given up after this long, and probed from half of it on.
SILENCE_S = 10
POOL_CONNECTIONS_MAX = 8

# Processes that write and checkpoint one WAL file can corrupt it: https://www.sqlite.org/wal.html#walresetbug
AFFECTED_FROM = (3, 7, 0)
AFFECTED_TO = (3, 51, 2)

_WRITES = "sqlite_writes"
_HURRIED = "sqlite_hurried"
_FILE = "sqlite_file"
_LOOK_EVERY_S = 0.01
# Any number will do, as long as nobody else locks it.
_SETUP_LOCK = text(f"SELECT pg_advisory_xact_lock({int.from_bytes(b'invctl', 'big')})")
_POSTGRES_NOW = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
_SQLITE_NOW = text("SELECT now_us()")


def open_database(
    url: str, *, clock: Clock, create: bool = False, idle_in_transaction_s: float = IDLE_IN_TRANSACTION_S
) -> Engine:
    """Return an engine for a database; nothing is connected yet.

    Args:
        url: `sqlite:////path/central.db` or `postgresql://user@host/name`.
        clock: the database's clock where that is SQLite, which has none of its own.
        create: make a SQLite file that is not there; otherwise that is an UnreachableError at the first connection.
        idle_in_transaction_s: after this long PostgreSQL cuts off whoever stops inside a transaction. Has to be
            below the TTL of a lease.

    Raises:
        InvalidValueError: this is no URL of a database that central can use.
        RefusedError: this SQLite could corrupt the file.

    """
    parsed = _parse(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        engine = _open_sqlite(parsed, clock, create=create)
    elif backend in {"postgresql", "postgres"}:
        engine = _open_postgres(parsed, idle_in_transaction_s)
    else:
        raise InvalidValueError(
            f"{backend} is not a database that central can use", hint="sqlite:////path/central.db, or postgresql://..."
        )
    event.listen(engine, "handle_error", translate, retval=True)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that sees one state of the database throughout. It is for reading, and never commits."""
    with _connected(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin() as transaction:
            yield connection
            transaction.rollback()


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that may write. Commit it (`connection.commit()`): leaving without that rolls it back.

    On SQLite it is the only one that writes, from its beginning on.
    """
    with _connected(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="READ COMMITTED")
        else:
            connection.execution_options(**{_WRITES: True})
        try:
            connection.begin()
            yield connection
        except BaseException:
            # A COMMIT that fails may leave the transaction open, and SQLAlchemy would hand it to the next in line.
            connection.invalidate()
            raise


def hurry(engine: Engine) -> None:
    """Let no writer wait for another process any longer, also not one that waits now: ours is about to end.

    Any thread may say so. On PostgreSQL it changes nothing: a wait there ends by the server's time-outs.
    """
    if hurried := engine.get_execution_options().get(_HURRIED):
        hurried.set()


def lock_setup(connection: Connection) -> None:
    """Keep every other process from setting this database up, until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(_SETUP_LOCK)


def now_us(connection: Connection) -> int:
    """Return the time by the database's clock, in microseconds since the epoch."""
    statement = _POSTGRES_NOW if connection.dialect.name == "postgresql" else _SQLITE_NOW
    return int(connection.execute(statement).scalar_one())


def describe(engine: Engine) -> str:
    """Return where the database is, for a message: never with a password."""
    # The query may hold one as well, and nothing masks it there.
    return engine.url.set(drivername=engine.url.get_backend_name(), query={}).render_as_string(hide_password=True)


def check_sqlite(version: tuple[int, int, int]) -> None:
    """Raise RefusedError where this SQLite has the bug that corrupts a WAL file of several processes."""
    if AFFECTED_FROM <= version <= AFFECTED_TO:
        raise RefusedError(
            f"SQLite {'.'.join(map(str, version))} can corrupt a database that several processes write",
            hint="install pysqlite3 0.6.1 or later, which brings a current SQLite",
        )


@contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    try:
        connection = engine.connect()
    except PoolTimeoutError:
        raise BusyError(
            f"all {POOL_CONNECTIONS_MAX} connections to the database are in use", hint="try again"
        ) from None
    with connection:
        yield connection


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        # Neither the text nor the parser's own message is shown: what does not parse may be half a password.
        raise InvalidValueError(
            "the database's URL cannot be read", hint="sqlite:////path/central.db, or postgresql://user@host/name"
        ) from None


def _open_sqlite(url: URL, clock: Clock, *, create: bool) -> Engine:
    check_sqlite(dbapi2.sqlite_version_info)
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
            _prepare_sqlite(connection, clock)
        except BaseException:
            connection.close()
            raise
        return connection

    options = {_HURRIED: threading.Event()}
    engine = create_engine(url, module=dbapi2, creator=connect, execution_options=options, **_common_options())
    event.listen(engine, "begin", _begin_sqlite)
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


def _prepare_sqlite(connection: Any, clock: Clock) -> None:
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise RefusedError(
            f"the database cannot be in WAL mode (it is in {mode})", hint="put it on a local disk of this machine"
        )
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.create_function("now_us", 0, clock.now_us)


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get(_WRITES):
        _begin_writing(connection, options[_HURRIED])
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_writing(connection: Connection, hurried: threading.Event) -> None:
    """Wait for one's turn to write here: nothing can end a wait in SQLite, and it is the only one that lasts."""
    until_s = time.monotonic() + BUSY_TIMEOUT_S
    connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            except BusyError:
                if time.monotonic() >= until_s or hurried.wait(_LOOK_EVERY_S):
                    raise
            else:
                return
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {_ms(BUSY_TIMEOUT_S)}")


def _open_postgres(url: URL, idle_in_transaction_s: float) -> Engine:
    given = url.query.get("options", "")
    settings = {
        "synchronous_commit": "on",
        "idle_in_transaction_session_timeout": _ms(idle_in_transaction_s),
        "lock_timeout": _ms(LOCK_TIMEOUT_S),
        "statement_timeout": _ms(STATEMENT_TIMEOUT_S),
    }
    # What comes later wins: nobody turns durability off in the URL.
    options = [given if isinstance(given, str) else " ".join(given)]
    options += [f"-c {name}={value}" for name, value in settings.items()]
    try:
        from central.postgres import connecting  # noqa: PLC0415 - the driver may not be installed

        engine = create_engine(
            url.set(drivername="postgresql+psycopg").difference_update_query(["options"]),
            connect_args={
                "application_name": "invcentral",
                "connect_timeout": CONNECT_TIMEOUT_S,
                "keepalives_idle": SILENCE_S // 2,
                "keepalives_interval": 1,
                "keepalives_count": SILENCE_S // 2,
                "tcp_user_timeout": SILENCE_S * 1000,
                "options": " ".join(options).strip(),
            },
            **_common_options(),
        )
    except ModuleNotFoundError:
        raise InvalidValueError(
            "PostgreSQL needs a driver that is not installed", hint="pip install 'invctl[postgres]'"
        ) from None
    event.listen(engine, "do_connect", connecting(engine))
    return engine


def _common_options() -> dict[str, Any]:
    return {
        # A failing statement's values belong to a store's customers, not into a log.
        "hide_parameters": True,
        "pool_size": POOL_CONNECTIONS_MAX,
        "max_overflow": 0,
        "pool_timeout": BUSY_TIMEOUT_S,
    }


def _ms(seconds: float) -> int:
    return round(seconds * 1000)

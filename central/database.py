"""Central's database, by URL: SQLite by default, PostgreSQL where there are many stores or several centrals.

An engine is synchronous: a daemon calls it from a thread of its own. Errors of a driver leave here as those of
`invctl.errors` (see `central.driver_errors`), and none shows a password.

What is particular to one of the two is in `central.sqlite` and `central.postgres`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, make_url, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from central import driver, sqlite
from central.driver_errors import translate
from invctl.errors import BusyError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine

    from invctl.clock import Clock

IDLE_IN_TRANSACTION_S = 5.0
POOL_CONNECTIONS_MAX = 8
POOL_WAIT_S = 5.0

# Any number will do, as long as nobody else locks it.
_SETUP_LOCK = text(f"SELECT pg_advisory_xact_lock({int.from_bytes(b'invctl', 'big')})")
_POSTGRES_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_SQLITE_NOW = "SELECT now_us()"


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
        engine = sqlite.open_engine(parsed, clock, _pool(), create=create)
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
            connection.execution_options(**{sqlite.WRITES: True})
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
    if hurried := engine.get_execution_options().get(sqlite.HURRIED):
        hurried.set()


def lock_setup(connection: Connection) -> None:
    """Keep every other process from setting this database up, until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(_SETUP_LOCK)


def now_us(connection: Connection) -> int:
    """Return the time by the database's clock, in microseconds since the epoch."""
    statement = _POSTGRES_NOW if connection.dialect.name == "postgresql" else _SQLITE_NOW
    ((now,),) = driver.fetch(connection, statement)
    return int(now)


def describe(engine: Engine) -> str:
    """Return where the database is, for a message: never with a password."""
    # The query may hold one as well, and nothing masks it there.
    return engine.url.set(drivername=engine.url.get_backend_name(), query={}).render_as_string(hide_password=True)


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


def _open_postgres(url: URL, idle_in_transaction_s: float) -> Engine:
    try:
        from central import postgres  # noqa: PLC0415 - the driver may not be installed
    except ModuleNotFoundError:
        raise InvalidValueError(
            "PostgreSQL needs a driver that is not installed", hint="pip install 'invctl[postgres]'"
        ) from None
    return postgres.open_engine(url, _pool(), idle_in_transaction_s=idle_in_transaction_s)


def _pool() -> dict[str, Any]:
    return {
        # A failing statement's values belong to a store's customers, not into a log.
        "hide_parameters": True,
        "pool_size": POOL_CONNECTIONS_MAX,
        "max_overflow": 0,
        "pool_timeout": POOL_WAIT_S,
    }

"""Central's database, by URL: SQLite by default, PostgreSQL where there are many stores or several centrals.

An engine is synchronous: a daemon calls it from a thread of its own. Every error of a driver leaves here as one of
`invctl.errors`: BusyError and UnreachableError are passing, RefusedError is not. None shows a password.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from invctl.clock import Clock

IDLE_IN_TRANSACTION_S = 5.0


def open_database(
    url: str, *, clock: Clock, create: bool = False, idle_in_transaction_s: float = IDLE_IN_TRANSACTION_S
) -> Engine:
    """Return an engine for a database; nothing is connected yet.

    Args:
        url: `sqlite:////path/central.db` or `postgresql://user@host/name`.
        clock: the database's clock where that is SQLite, which has none of its own.
        create: make a SQLite file that is not there; otherwise it is an error.
        idle_in_transaction_s: after this long PostgreSQL cuts off whoever stops inside a transaction. Has to be
            below the TTL of a lease.

    Raises:
        InvalidValueError: this is no URL of a database that central can use.
        RefusedError: this SQLite could corrupt the file.

    """
    raise NotImplementedError


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that sees one state of the database throughout, and writes nothing."""
    raise NotImplementedError


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that may write. Commit it (`connection.commit()`): leaving without that rolls it back."""
    raise NotImplementedError


def now_us(connection: Connection) -> int:
    """Return the time by the database's clock, in microseconds since the epoch."""
    raise NotImplementedError


def describe(engine: Engine) -> str:
    """Return where the database is, for a message: never with a password."""
    raise NotImplementedError

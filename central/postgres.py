"""Central's PostgreSQL: connections that are durable, give up by our own clock, and are made through a breaker.

What the server ends by itself is not enough. Its `statement_timeout` ends a statement only where the server is reached,
and `tcp_user_timeout` notices only bytes that nobody confirms: behind a proxy, or on a machine that stands still, they
are confirmed and no answer comes. Its `idle_in_transaction_session_timeout` does not count between the statements of a
pipeline, as `executemany` has it: there it waits for the next one for ever, with every lock held (`cut_off_stalled`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import create_engine, event, text

from invctl.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from sqlalchemy import URL, Connection, Engine

    from invctl.runtime.breaker import Breaker

PROGRAM = "invcentral"
CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 30.0
# A connection that has gone silent is given up after this long, and probed from half of it on.
SILENCE_S = 10
ANSWER_S = 35.0
"""Above `statement_timeout`, so that the server's own word comes first where it can."""

_BREAKER = "connecting_breaker"


def open_engine(url: URL, pool: Mapping[str, Any], *, idle_in_transaction_s: float) -> Engine:
    """Return an engine for a server, with these options of its pool. See `database.open_database`."""
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
    engine = create_engine(
        url.set(drivername="postgresql+psycopg").difference_update_query(["options"]),
        connect_args={
            "application_name": PROGRAM,
            "connect_timeout": CONNECT_TIMEOUT_S,
            "keepalives_idle": SILENCE_S // 2,
            "keepalives_interval": 1,
            "keepalives_count": SILENCE_S // 2,
            "tcp_user_timeout": SILENCE_S * 1000,
            "options": " ".join(options).strip(),
        },
        **pool,
    )
    event.listen(engine, "do_connect", _connecting(engine))
    return engine


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


class LimitedConnection(psycopg.Connection[Any]):
    """A connection of which each wait for the server ends within `ANSWER_S`."""

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **named: Any) -> Any:
        """Wait for an answer. Raises OperationalError, and ends the connection, where none comes in time."""
        return super().wait(self._in_time(gen), *args, **named)

    def _in_time(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Pass a conversation with the server on, step by step. psycopg takes a step ten times a second at least."""
        until_s = time.monotonic() + ANSWER_S
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() >= until_s:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer from the server within {ANSWER_S:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value


_STALLED = text(
    "SELECT pid, pg_terminate_backend(pid) AS ended FROM pg_stat_activity"
    " WHERE pid IN (SELECT pid FROM pg_locks WHERE relation = to_regclass('shards') AND granted"
    " AND mode IN ('RowShareLock', 'RowExclusiveLock'))"
    " AND application_name = :program AND usename = current_user AND wait_event_type = 'Client'"
    " AND state_change < clock_timestamp() - current_setting('idle_in_transaction_session_timeout')::interval"
)


def cut_off_stalled(connection: Connection) -> list[int]:
    """End the sessions of centrals that hold a shard's row while their process stands still, and return their pids.

    They stand still where the server has waited for them longer than `idle_in_transaction_session_timeout`. Only
    sessions of the same role are seen so.
    """
    found = connection.execute(_STALLED, {"program": PROGRAM})
    return [row.pid for row in found if row.ended]


def guard_connecting(engine: Engine, breaker: Breaker) -> None:
    """Let no new connection be attempted while a breaker is open.

    It stands where the outage is felt: one that works is used as ever.
    """
    engine.update_execution_options(**{_BREAKER: breaker})


def _connecting(engine: Engine) -> Callable[..., Any]:
    """Return what makes an engine's connections: SQLAlchemy's `do_connect` hook."""

    def connect(_dialect: Any, _record: Any, args: Any, named: Any) -> Any:
        breaker: Breaker | None = engine.get_execution_options().get(_BREAKER)
        if breaker is None:
            return LimitedConnection.connect(*args, **named)
        with breaker.attempt():
            try:
                return LimitedConnection.connect(*args, **named)
            except psycopg.OperationalError as error:
                # One line of it, as `driver_errors` has it: the rest repeats that for each address.
                why = (str(error).splitlines() or ["no answer"])[0]
                hint = "check that the server runs, and INVCENTRAL_DATABASE_URL"
                raise UnreachableError(f"the database cannot be reached: {why}", hint=hint) from None

    return connect

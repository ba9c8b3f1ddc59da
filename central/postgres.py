"""Connections to PostgreSQL that give up by our own clock, and a circuit breaker around making them.

The server's `statement_timeout` ends a statement only where the server is reached, and `tcp_user_timeout` notices only
bytes that nobody confirms. Behind a proxy, or a machine that stands still, bytes are confirmed and no answer comes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg

from invctl.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from sqlalchemy import Engine

    from invctl.runtime.breaker import Breaker

ANSWER_S = 35.0
"""Above `statement_timeout`, so that the server's own word comes first where it can."""

_BREAKER = "connecting_breaker"


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


def guard_connecting(engine: Engine, breaker: Breaker) -> None:
    """Let no new connection be attempted while a breaker is open.

    It stands where the outage is felt: one that works is used as ever.
    """
    engine.update_execution_options(**{_BREAKER: breaker})


def connecting(engine: Engine) -> Callable[..., Any]:
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

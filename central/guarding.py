"""A circuit breaker around connecting to PostgreSQL: an outage there costs seconds at each attempt.

It stands where the outage is felt: a connection that works is used as ever. SQLite is a file, and answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from invctl.errors import UnreachableError
from invctl.runtime.breaker import Breaker

if TYPE_CHECKING:
    from sqlalchemy import Dialect, Engine
    from structlog.typing import FilteringBoundLogger

    from invctl.backoff import Random
    from invctl.clock import Clock


def guard_connecting(engine: Engine, *, clock: Clock, chance: Random, log: FilteringBoundLogger) -> Breaker | None:
    """Put a breaker around connecting, and return it; None where the database is SQLite."""
    if engine.dialect.name != "postgresql":
        return None
    breaker = Breaker("database", clock=clock, chance=chance, log=log)

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Dialect, _record: Any, args: Any, named: Any) -> Any:
        with breaker.attempt():
            try:
                return dialect.connect(*args, **named)
            except dialect.loaded_dbapi.OperationalError as error:
                # One line of it, as `driver_errors` has it: the rest repeats that for each address.
                raise UnreachableError(
                    f"the database cannot be reached: {(str(error).splitlines() or ['no answer'])[0]}",
                    hint="check that the server runs, and INVCENTRAL_DATABASE_URL",
                ) from None

    return breaker

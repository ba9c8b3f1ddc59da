"""Presence: this central is seen by the others, sees them, and knows its share of the shards by that.

Presence lasts no longer than a lease: who cannot reach the database has no share, gives its leases back, and is not
counted by the others. Who cannot reach the locks must not be seen either, so call `tick` only when they just answered.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from central import centrals
from central.database import reading, writing
from central.migrations import refuse_newer

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Engine
    from structlog.typing import FilteringBoundLogger

    from invctl.clock import Clock


class Presence:
    """One central among the others. Not safe for several tasks at once: one job ticks."""

    def __init__(
        self,
        engine: Engine,
        *,
        shards: int,
        holder: str,
        host: str,
        pid: int,
        version: str,
        ttl_s: float,
        clock: Clock,
        log: FilteringBoundLogger,
        predecessor: str = "",
    ) -> None:
        """Begin unseen, with no share.

        Args:
            engine: central's database.
            shards: how many shards there are to share.
            holder: our name among the holders of leases.
            host: the machine, for people.
            pid: the process, for people.
            version: the program's, for people.
            ttl_s: for how long we are counted as living after we were last seen; we are seen at a third of that.
            clock: its monotonic time ends our own presence.
            log: told when our share changes.
            predecessor: the holder that is known to be dead: it is taken off the list.

        """
        self._engine = engine
        self._shards = shards
        self._holder = holder
        self._host = host
        self._pid = pid
        self._version = version
        self._ttl_s = ttl_s
        self._clock = clock
        self._log = log
        self._predecessor = predecessor
        self._due_s = self._ends_s = clock.monotonic_s()
        self._told: tuple[int, ...] | None = None
        self._living: list[str] = []
        self._share: int | None = None
        self.metrics: str | None = None
        """Where this process can be asked about itself; whoever serves that sets it."""

    @property
    def living(self) -> int:
        """How many centrals were living when that was last looked at, ourselves included. Any thread may ask.

        0 while we are not known to be living: then nothing is known of the others, either.
        """
        return len(self._living) if self._clock.monotonic_s() < self._ends_s else 0

    def share(self) -> int | None:
        """Return how many shards we may hold, None while we are not known to be living.

        The shares of all centrals add up to the shards. Where these cannot be divided evenly, those that have been at
        work longest hold one more: so a newcomer moves as few shards as it can.
        """
        if self._clock.monotonic_s() >= self._ends_s:
            return None
        each, left = divmod(self._shards, len(self._living))
        return each + (self._living.index(self._holder) < left)

    async def tick(self, serving: Collection[int]) -> bool:
        """Be seen where that is due, or what we serve changed, and see who else lives. True where our share changed.

        Raises RefusedError where the database was upgraded for a newer program, and as the database does.
        """
        now_s = self._clock.monotonic_s()
        told = tuple(sorted(serving))
        if now_s >= self._due_s or told != self._told:
            living = await asyncio.to_thread(self._be_seen, told)
            self._told = told
            self._due_s, self._ends_s = now_s + self._ttl_s / 3, now_s + self._ttl_s
        else:
            living = await asyncio.to_thread(self._look)
        # After the clock was set back our own row is not a living one either, until we are seen again.
        self._living = living if self._holder in living else [*living, self._holder]
        return self._tell()

    def end(self) -> None:
        """Be gone: the others share what was ours. Called when nothing else ticks."""
        with writing(self._engine) as connection:
            centrals.leave(connection, self._holder)
            connection.commit()

    def _be_seen(self, serving: tuple[int, ...]) -> list[str]:
        with writing(self._engine) as connection:
            refuse_newer(connection)
            if self._predecessor:
                centrals.leave(connection, self._predecessor)
            centrals.be_seen(
                connection,
                holder=self._holder,
                host=self._host,
                pid=self._pid,
                version=self._version,
                ttl_s=self._ttl_s,
                shards=serving,
                metrics=self.metrics,
            )
            living = centrals.living(connection)
            connection.commit()
        self._predecessor = ""
        return [each.holder for each in living]

    def _look(self) -> list[str]:
        with reading(self._engine) as connection:
            return [each.holder for each in centrals.living(connection)]

    def _tell(self) -> bool:
        before, self._share = self._share, self.share()
        if self._share == before:
            return False
        others = [holder for holder in self._living if holder != self._holder]
        self._log.info("share.changed", share=self._share, shards=self._shards, centrals=len(self._living))
        if self._share == 0:
            self._log.info("central.standby", behind=others, reason="there are no more shards than other centrals")
        return True

"""Leases on shards: who ought to serve them. A holder mints a fence, which is what the database goes by.

A lease is trusted until the end that our own monotonic clock gives it, counted from before it was asked for: it ends
here no later than there. Whatever is committed after that is stopped by the next holder's fence.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from invctl.errors import InventoryError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from structlog.typing import FilteringBoundLogger

    from invctl.clock import Clock
    from invctl.locks.contract import LockManager

LEASE_TTL_S = 10.0
"""Above the time after which PostgreSQL cuts off a holder that stands still inside a transaction."""


class Lease(NamedTuple):
    """A shard that is ours, under a fence, until `ends_s` of the monotonic clock; to be renewed from `renew_s` on."""

    fence: str
    renew_s: float
    ends_s: float


class Leases:
    """The shards that this process serves. Not safe for several tasks at once: one job ticks."""

    def __init__(
        self,
        locks: LockManager,
        mint: Callable[[int], Awaitable[str]],
        *,
        shards: Iterable[int],
        namespace: str,
        owner: str,
        clock: Clock,
        log: FilteringBoundLogger,
        predecessor: str = "",
        ttl_s: float = LEASE_TTL_S,
    ) -> None:
        """Begin with no lease.

        Args:
            locks: where the leases are.
            mint: puts a new fence into a shard's row, durably, and returns it.
            shards: the shards to strive for.
            namespace: what the leases' names begin with.
            owner: a token that no other process has.
            clock: its monotonic time ends a lease.
            log: told of leases that come and go.
            predecessor: the owner of a process that is known to be dead: its leases are ended.
            ttl_s: for how long a lease is asked; it is renewed at a third of that.

        """
        self._locks = locks
        self._mint = mint
        self._shards = tuple(shards)
        self._namespace = namespace
        self._owner = owner
        self._clock = clock
        self._log = log
        self._orphans = set(self._shards) if predecessor else set()
        self._predecessor = predecessor
        self._ttl_s = ttl_s
        self._held: dict[int, Lease] = {}
        self._to_release: set[int] = set()
        self._waiting: dict[int, str | None] = {}

    def fences(self) -> dict[int, str]:
        """Return the shards that are ours now, each with its fence."""
        now_s = self._clock.monotonic_s()
        return {shard: lease.fence for shard, lease in self._held.items() if now_s < lease.ends_s}

    def holds(self, shard: int, fence: str) -> bool:
        """Tell whether a shard is ours now, still under this fence."""
        lease = self._held.get(shard)
        return lease is not None and lease.fence == fence and self._clock.monotonic_s() < lease.ends_s

    async def tick(self) -> int:
        """Renew what is due, and ask for what is not ours. Returns how many shards came or went.

        What was given back is not asked for again in the same tick: another has the fence, and may want the lease.
        Raises UnreachableError where the leases cannot be asked, and what `mint` raises. A lease that could not be
        renewed for that reason is still ours until its end.
        """
        changes = self._drop_ended()
        given_back = await self._release()
        for shard in self._shards:
            if shard in self._held:
                changes += await self._renew(shard)
            if shard not in self._held and shard not in self._to_release | given_back:
                changes += await self._acquire(shard)
        return changes

    def fence_lost(self, shard: int, fence: str) -> None:
        """Note that another holder has replaced this fence. The shard is not ours any more; a tick ends the lease.

        An older fence of our own changes nothing.
        """
        lease = self._held.get(shard)
        if lease is not None and lease.fence == fence:
            del self._held[shard]
            self._to_release.add(shard)
            self._log.warning("lease.lost", shard=shard, reason="another central has minted a fence")

    async def release_all(self) -> None:
        """End all our leases: the process stops. Raises UnreachableError; then they end by their time."""
        self._to_release |= set(self._held)
        self._held.clear()
        await self._release()

    async def _release(self) -> set[int]:
        given_back = set(self._to_release)
        for shard in sorted(given_back):
            if await self._locks.release(self._name(shard), self._owner):
                self._log.info("lease.released", shard=shard)
            self._to_release.discard(shard)
        return given_back

    def _drop_ended(self) -> int:
        now_s = self._clock.monotonic_s()
        ended = [shard for shard, lease in self._held.items() if now_s >= lease.ends_s]
        for shard in ended:
            del self._held[shard]
            self._log.warning("lease.ended", shard=shard, reason="it was not renewed in time")
        return len(ended)

    async def _renew(self, shard: int) -> int:
        lease, sent_s = self._held[shard], self._clock.monotonic_s()
        if sent_s < lease.renew_s:
            return 0
        renewed = await self._locks.renew(self._name(shard), self._owner, self._ttl_s)
        if self._held.get(shard) != lease:
            # Its fence was lost meanwhile.
            return 1
        if renewed:
            self._held[shard] = self._lease(lease.fence, sent_s)
            return 0
        del self._held[shard]
        self._log.warning("lease.lost", shard=shard, reason="it is no longer ours")
        return 1

    async def _acquire(self, shard: int) -> int:
        name = self._name(shard)
        if shard in self._orphans:
            if await self._locks.release(name, self._predecessor):
                self._log.info("lease.inherited", shard=shard)
            self._orphans.discard(shard)
        if not await self._locks.acquire(name, self._owner, self._ttl_s):
            await self._note_waiting(shard)
            return 0
        try:
            fence = await self._mint(shard)
        except InventoryError:
            # Whoever can reach the database may have it.
            with contextlib.suppress(UnreachableError):
                await self._locks.release(name, self._owner)
            raise
        # Minting may have taken longer than the lease: with the fence in place, see that it is still ours.
        sent_s = self._clock.monotonic_s()
        if not await self._locks.renew(name, self._owner, self._ttl_s):
            self._log.warning("lease.lost", shard=shard, reason="it ended while the fence was minted")
            return 0
        self._held[shard] = self._lease(fence, sent_s)
        self._waiting.pop(shard, None)
        self._log.info("lease.acquired", shard=shard, ttl_s=self._ttl_s)
        return 1

    async def _note_waiting(self, shard: int) -> None:
        name = self._name(shard)
        holder = (await self._locks.holders([name]))[name]
        if shard not in self._waiting or self._waiting[shard] != holder:
            self._waiting[shard] = holder
            self._log.info("lease.waiting", shard=shard, holder=holder)

    def _lease(self, fence: str, sent_s: float) -> Lease:
        return Lease(fence, sent_s + self._ttl_s / 3, sent_s + self._ttl_s)

    def _name(self, shard: int) -> str:
        return f"{self._namespace}:lease:shard:{shard}"

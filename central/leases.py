"""Leases on shards: who ought to serve them. A holder mints a fence, which is what the database goes by.

A lease is trusted until the end that our own monotonic clock gives it, counted from before it was asked for: it ends
here no later than there. Whatever is committed after that is stopped by the next holder's fence.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from invctl.errors import BusyError, InventoryError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from structlog.typing import FilteringBoundLogger

    from invctl.clock import Clock
    from invctl.locks.contract import LockManager

LEASE_TTL_S = 10.0
"""Unless the settings say otherwise. Above the time after which PostgreSQL cuts off a holder that stands still inside
a transaction."""

LEFT_AFTER_TTLS = 2
"""A shard that is free for so many leases' time is left: whoever it is for does not take it."""


class Lease(NamedTuple):
    """A shard that is ours, under a fence, until `ends_s` of the monotonic clock."""

    fence: str
    ends_s: float


class Leases:
    """The shards that this process serves. Not safe for several tasks at once: one job ticks.

    A lease is held, or being handed over (its last round is still under way), or to be released.
    """

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
        on_lost: Callable[[str], None] = lambda _: None,
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
            on_lost: told why each time a lease ends while it is held: `ended`, `denied`, `fence` or `minting`.

        """
        self._locks = locks
        self._mint = mint
        self._names = {shard: f"{namespace}:lease:shard:{shard}" for shard in shards}
        self._owner = owner
        self._clock = clock
        self._log = log
        self._predecessor = predecessor
        self._ttl_s = ttl_s
        self._on_lost = on_lost
        self._renew_due_s = clock.monotonic_s()
        self._held: dict[int, Lease] = {}
        self._leaving: dict[int, Lease] = {}
        self._to_release: set[int] = set()
        self._free_since_s: dict[int, float] = {}
        self._above_share: set[int] = set()
        self._share: int | None = None
        self._waiting_for: set[str] = set()
        self._busy: set[int] = set()

    def fences(self) -> dict[int, str]:
        """Return the shards that are ours to serve now, each with its fence. Any thread may ask."""
        now_s = self._clock.monotonic_s()
        # A copy cannot change while it is walked through.
        return {shard: lease.fence for shard, lease in self._held.copy().items() if now_s < lease.ends_s}

    def holds(self, shard: int, fence: str) -> bool:
        """Tell whether a shard is ours to serve now, still under this fence."""
        lease = self._held.get(shard)
        return lease is not None and lease.fence == fence and self._clock.monotonic_s() < lease.ends_s

    async def tick(self, share: int | None) -> int:
        """Renew what is due, hand over what is above our share, and ask for what is below it.

        `share` is how many shards we may hold; None: we are not known to be living, so all are handed over. A shard
        that nobody has taken for two leases' time is anyone's, also above the share. Returns how many shards came or
        went.

        What was given back is not asked for again in the same tick: another has the fence, and may want the lease.
        Raises UnreachableError where the leases cannot be asked, and what `mint` raises; but where one shard is busy,
        the others do not wait for it. A lease that could not be renewed is still ours until its end.
        """
        changes = self._drop_ended()
        given_back = await self._release()
        holders = await self._look()
        changes += await self._renew(holders)
        changes += self._hand_over(share)
        free = self._free(holders, given_back)
        if share is None:
            self._free_since_s.clear()
            return changes
        for shard in free:
            is_left = self._clock.monotonic_s() >= self._free_since_s[shard] + LEFT_AFTER_TTLS * self._ttl_s
            if is_left or len(self._held) + len(self._leaving) < share:
                changes += await self._acquire(shard, above_share=is_left and len(self._held) >= share)
        self._note_waiting(holders, share)
        return changes

    async def ended(self, shard: int, fence: str) -> None:
        """Note that a shard which was being handed over is not served any more; its lease ends, for whoever is next.

        Where the locks cannot be asked, a tick does it, or the lease's time.
        """
        lease = self._leaving.get(shard)
        if lease is None or lease.fence != fence:
            return
        del self._leaving[shard]
        self._to_release.add(shard)
        with contextlib.suppress(UnreachableError):
            await self._release()

    def fence_lost(self, shard: int, fence: str) -> None:
        """Note that another holder has replaced this fence. The shard is not ours any more; a tick ends the lease.

        An older fence of our own changes nothing.
        """
        lease = self._held.get(shard)
        if lease is not None and lease.fence == fence:
            del self._held[shard]
            self._to_release.add(shard)
            self._log.warning("lease.lost", shard=shard, reason="another central has minted a fence")
            self._on_lost("fence")

    async def release_all(self) -> None:
        """End all our leases: the process stops. Raises UnreachableError; then they end by their time."""
        self._to_release |= self._held.keys() | self._leaving.keys()
        self._held.clear()
        self._leaving.clear()
        await self._release()

    async def _look(self) -> dict[int, str | None]:
        """Ask who holds each shard. What is not looked at is not known to be free."""
        try:
            owners = await self._locks.holders(list(self._names.values()))
        except UnreachableError:
            self._free_since_s.clear()
            raise
        holders = {shard: owners[name] for shard, name in self._names.items()}
        if self._predecessor:
            for shard, holder in holders.items():
                if holder == self._predecessor:
                    if await self._locks.release(self._names[shard], self._predecessor):
                        self._log.info("lease.inherited", shard=shard)
                    holders[shard] = None
            self._predecessor = ""
        return holders

    async def _release(self) -> set[int]:
        given_back = set(self._to_release)
        for shard in sorted(given_back):
            if await self._locks.release(self._names[shard], self._owner):
                self._log.info("lease.released", shard=shard)
            self._to_release.discard(shard)
        return given_back

    def _drop_ended(self) -> int:
        now_s = self._clock.monotonic_s()
        ended = [shard for shard, lease in self._held.items() if now_s >= lease.ends_s]
        for shard in ended:
            self._drop(shard, "lease.ended", "it was not renewed in time")
            self._on_lost("ended")
        return len(ended)

    async def _renew(self, holders: dict[int, str | None]) -> int:
        """Renew all leases together, so that they end with our presence, if they end. Returns how many are lost.

        One that the locks forgot, as when they were restarted empty, is taken back at once where nobody was quicker:
        the fence tells whether somebody was meanwhile.
        """
        due_s = self._clock.monotonic_s()
        is_due = due_s >= self._renew_due_s
        lost = 0
        for shard, lease in list(self._held.items()):
            if not is_due and holders[shard] == self._owner:
                continue
            sent_s = self._clock.monotonic_s()
            renewed = await self._locks.acquire(self._names[shard], self._owner, self._ttl_s)
            if self._held.get(shard) != lease:
                # Its fence was lost meanwhile.
                lost += 1
            elif renewed:
                self._held[shard] = Lease(lease.fence, sent_s + self._ttl_s)
            else:
                self._drop(shard, "lease.lost", "it is no longer ours")
                self._on_lost("denied")
                lost += 1
        if is_due:
            self._renew_due_s = due_s + self._ttl_s / 3
        return lost

    def _drop(self, shard: int, event: str, reason: str) -> None:
        del self._held[shard]
        self._above_share.discard(shard)
        self._log.warning(event, shard=shard, reason=reason)

    def _hand_over(self, share: int | None) -> int:
        """Let go of what is above our share, but not of what nobody else would take, until the shares change."""
        if share != self._share:
            self._share = share
            self._above_share.clear()
        ours = sorted(self._held.keys() - self._above_share)
        excess = ours[share or 0 :]
        for shard in excess:
            self._leaving[shard] = self._held.pop(shard)
            self._log.info("lease.handed_over", shard=shard, share=share)
        return len(excess)

    def _free(self, holders: dict[int, str | None], given_back: set[int]) -> list[int]:
        """Return the shards that may be asked for, and keep since when each is free."""
        now_s = self._clock.monotonic_s()
        # A lease of our own that we do not know of was asked for, and the answer was lost.
        free = [shard for shard, holder in holders.items() if holder in {None, self._owner}]
        taken = self._held.keys() | self._leaving.keys() | self._to_release | given_back
        free = [shard for shard in free if shard not in taken]
        self._free_since_s = {shard: self._free_since_s.get(shard, now_s) for shard in free}
        return free

    async def _acquire(self, shard: int, *, above_share: bool) -> int:
        name = self._names[shard]
        if not await self._locks.acquire(name, self._owner, self._ttl_s):
            return 0
        try:
            fence = await self._mint(shard)
        except InventoryError as error:
            # Whoever can reach the database may have it.
            with contextlib.suppress(UnreachableError):
                await self._locks.release(name, self._owner)
            if not isinstance(error, BusyError):
                raise
            # Its row is locked, maybe by a holder that stands still: the others must not wait for that.
            if shard not in self._busy:
                self._busy.add(shard)
                self._log.warning("lease.busy", shard=shard, error=error)
            return 0
        # Minting may have taken longer than the lease: with the fence in place, see that it is still ours.
        sent_s = self._clock.monotonic_s()
        if not await self._locks.renew(name, self._owner, self._ttl_s):
            self._log.warning("lease.lost", shard=shard, reason="it ended while the fence was minted")
            self._on_lost("minting")
            return 0
        self._held[shard] = Lease(fence, sent_s + self._ttl_s)
        if above_share:
            self._above_share.add(shard)
        self._busy.discard(shard)
        self._log.info("lease.acquired", shard=shard, ttl_s=self._ttl_s)
        return 1

    def _note_waiting(self, holders: dict[int, str | None], share: int) -> None:
        """Say for whom we wait, once."""
        others = {holder for holder in holders.values() if holder and holder != self._owner}
        if len(self._held) < share and others - self._waiting_for:
            self._log.info("lease.waiting", share=share, has=len(self._held), holders=sorted(others))
            self._waiting_for = others

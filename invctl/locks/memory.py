"""Locks in memory: the twin for tests and simulations. Time moves only by the clock that is handed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.clock import SystemClock
from invctl.errors import UnreachableError
from invctl.locks.contract import whole_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invctl.clock import Clock


class MemoryLeases:
    """The leases themselves, which several MemoryLocks share as several processes share a Redis."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Run by `clock`, by default the machine's."""
        self._clock = clock or SystemClock()
        self._held: dict[str, tuple[str, float]] = {}
        self.up = True

    def owner(self, name: str) -> str | None:
        """Give who has the lease now, or None."""
        owner, ends_s = self._held.get(name, (None, 0.0))
        return owner if self._clock.monotonic_s() < ends_s else None

    def hold(self, name: str, owner: str, ttl_ms: int) -> None:
        """Give the lease to `owner` until `ttl_ms` from now."""
        self._held[name] = (owner, self._clock.monotonic_s() + ttl_ms / 1000)

    def free(self, name: str) -> None:
        """End the lease."""
        del self._held[name]

    def stop(self) -> None:
        """Be killed: nobody reaches it, and every lease is forgotten."""
        self.up = False
        self._held.clear()

    def start(self) -> None:
        """Come back, empty."""
        self.up = True


class MemoryLocks:
    """One process's access to MemoryLeases, which can be cut off."""

    def __init__(self, leases: MemoryLeases) -> None:
        """Work on these leases."""
        self._leases = leases
        self._reached = True
        self._closed = False

    def cut_off(self) -> None:
        """Partition this process from the leases."""
        self._reached = False

    def heal(self) -> None:
        """End the partition."""
        self._reached = True

    async def acquire(self, name: str, owner: str, ttl_s: float) -> bool:
        """See LockManager."""
        ttl_ms = whole_ms(ttl_s)
        if self._ask().owner(name) not in (None, owner):
            return False
        self._leases.hold(name, owner, ttl_ms)
        return True

    async def renew(self, name: str, owner: str, ttl_s: float) -> bool:
        """See LockManager."""
        ttl_ms = whole_ms(ttl_s)
        if self._ask().owner(name) != owner:
            return False
        self._leases.hold(name, owner, ttl_ms)
        return True

    async def release(self, name: str, owner: str) -> bool:
        """See LockManager."""
        if self._ask().owner(name) != owner:
            return False
        self._leases.free(name)
        return True

    async def holders(self, names: Sequence[str]) -> dict[str, str | None]:
        """See LockManager."""
        return {name: self._ask().owner(name) for name in names}

    async def close(self) -> None:
        """See LockManager."""
        self._closed = True

    def _ask(self) -> MemoryLeases:
        if self._closed or not self._reached or not self._leases.up:
            raise UnreachableError("the leases in memory cannot be reached", hint="heal the partition, or open anew")
        return self._leases

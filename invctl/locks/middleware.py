"""What stands around the calls for leases: a deadline, a circuit breaker, and a count of how they ended."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol, TypeVar

from invctl.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractContextManager

    from invctl.locks.contract import LockManager

T = TypeVar("T")

LIMIT_S = 2.0
"""Above what a manager allows a call by itself, and well below a lease's time."""


class Breaker(Protocol):
    """What decides whether a call is worth an attempt."""

    def attempt(self) -> AbstractContextManager[None]:
        """Enter around a call. Raises UnreachableError where it is not to be attempted."""
        ...


class Meter(Protocol):
    """What keeps the counts."""

    def asked(self, call: str, outcome: str, seconds: float) -> None:
        """Count a call, by how it ended and how long that took.

        It is `acquire`, `renew`, `release` or `holders`, and was `granted`, `denied` or has `failed`.
        """
        ...


class GuardedLocks:
    """Leases of another manager. See LockManager."""

    def __init__(self, inner: LockManager, *, breaker: Breaker, meter: Meter, limit_s: float = LIMIT_S) -> None:
        """Stand around `inner`, which is closed with this, and allow each call `limit_s` seconds."""
        self._inner = inner
        self._breaker = breaker
        self._meter = meter
        self._limit_s = limit_s

    async def acquire(self, name: str, owner: str, ttl_s: float) -> bool:
        """See LockManager."""
        return await self._ask("acquire", lambda: self._inner.acquire(name, owner, ttl_s))

    async def renew(self, name: str, owner: str, ttl_s: float) -> bool:
        """See LockManager."""
        return await self._ask("renew", lambda: self._inner.renew(name, owner, ttl_s))

    async def release(self, name: str, owner: str) -> bool:
        """See LockManager."""
        return await self._ask("release", lambda: self._inner.release(name, owner))

    async def holders(self, names: Sequence[str]) -> dict[str, str | None]:
        """See LockManager."""
        return await self._ask("holders", lambda: self._inner.holders(names))

    async def close(self) -> None:
        """See LockManager. What cannot be closed in time ends with the process."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limit_s):
                await self._inner.close()

    async def _ask(self, call: str, ask: Callable[[], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            with self._breaker.attempt():
                answer = await self._in_time(call, ask)
        except UnreachableError:
            self._meter.asked(call, "failed", loop.time() - began_s)
            raise
        self._meter.asked(call, "denied" if answer is False else "granted", loop.time() - began_s)
        return answer

    async def _in_time(self, call: str, ask: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._limit_s):
                return await ask()
        except TimeoutError:
            raise UnreachableError(
                f"the leases gave no answer to {call} within {self._limit_s:g} s",
                hint="see whether the broker is paused, overloaded or cut off",
                cause="deadline",
            ) from None

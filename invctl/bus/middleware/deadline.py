"""Time limits: a call ends by our clock, whatever the bus inside has forgotten."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from invctl.bus.middleware.layer import Layer
from invctl.errors import UnreachableError

if TYPE_CHECKING:
    from invctl.bus.contract import EventBus

OVERDUE = "deadline"
"""The `cause` of a call that took too long."""


class Deadline(Layer):
    """Ends each call after a while. A subscription waits for as long as nothing comes, so it has none."""

    def __init__(self, inner: EventBus, limit_s: float) -> None:
        """Allow `limit_s` seconds: more than the limits of the bus inside, which knows better what went wrong."""
        super().__init__(inner)
        self._limit_s = limit_s

    async def publish(self, channel: str, payload: bytes) -> None:
        """See EventBus."""
        try:
            async with asyncio.timeout(self._limit_s):
                await self._inner.publish(channel, payload)
        except TimeoutError:
            raise UnreachableError(
                f"{self.name} did not take a message within {self._limit_s:g} s",
                hint="see whether it is paused, overloaded or cut off",
                cause=OVERDUE,
            ) from None

    async def close(self) -> None:
        """See EventBus. What cannot be closed in time ends with the process."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limit_s):
                await self._inner.close()

"""Time limits: a call ends by our clock, whatever the bus inside has forgotten."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

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
        self._until_s: dict[asyncio.Task[Any], float] = {}
        self._overdue: set[asyncio.Task[Any]] = set()
        self._look: asyncio.TimerHandle | None = None

    async def publish(self, channel: str, payload: bytes) -> None:
        """See EventBus. It may take a quarter of the limit longer.

        As `asyncio.timeout` does it, but with one timer for all calls: a timer each costs more than the rest of this.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        self._until_s[task] = loop.time() + self._limit_s
        if self._look is None:
            self._look = loop.call_later(self._limit_s / 4, self._end_overdue)
        try:
            await self._inner.publish(channel, payload)
        except asyncio.CancelledError:
            # Cancelled by somebody else as well, it is theirs.
            if task in self._overdue and task.uncancel() <= cancelling:
                raise self._error() from None
            raise
        finally:
            del self._until_s[task]
            self._overdue.discard(task)

    def _error(self) -> UnreachableError:
        return UnreachableError(
            f"{self.name} did not take a message within {self._limit_s:g} s",
            hint="see whether it is paused, overloaded or cut off",
            cause=OVERDUE,
        )

    def _end_overdue(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for task, until_s in self._until_s.items():
            if until_s <= now_s and task not in self._overdue:
                self._overdue.add(task)
                task.cancel()
        self._look = loop.call_later(self._limit_s / 4, self._end_overdue) if self._until_s else None

    async def close(self) -> None:
        """See EventBus. What cannot be closed in time ends with the process."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limit_s):
                await self._inner.close()

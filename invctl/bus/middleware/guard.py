"""A circuit breaker around a bus: while it is open, a publish fails at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from invctl.bus.contract import Subscribed
from invctl.bus.middleware.layer import Layer, Watched

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from invctl.bus.contract import EventBus, Message, Subscription


class Breaker(Protocol):
    """What decides whether a call is worth an attempt."""

    def attempt(self) -> AbstractContextManager[None]:
        """Enter around a call. Raises UnreachableError where it is not to be attempted."""
        ...

    def heard(self) -> None:
        """Note that the broker was heard from by another way."""
        ...


class Guard(Layer):
    """Publishes through a breaker. Subscriptions have a back-off of their own, and tell the breaker when they stand."""

    def __init__(self, inner: EventBus, breaker: Breaker) -> None:
        """Ask `breaker` before each publish."""
        super().__init__(inner)
        self._breaker = breaker

    async def publish(self, channel: str, payload: bytes) -> None:
        """See EventBus."""
        with self._breaker.attempt():
            await self._inner.publish(channel, payload)

    def subscribe(self, channels: Sequence[str]) -> Subscription:
        """See EventBus."""
        return Watched(self._inner.subscribe(channels), self._arrived)

    def _arrived(self, arrival: Message | Subscribed) -> None:
        # Before the reader has it: what it then says at once is to go through.
        if isinstance(arrival, Subscribed):
            self._breaker.heard()

"""Counts and times what a bus carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from invctl.bus.contract import Message
from invctl.bus.middleware.layer import Layer, Watched
from invctl.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invctl.bus.contract import EventBus, Subscribed, Subscription
    from invctl.clock import Clock


class Meter(Protocol):
    """What keeps the counts. Sizes are in bytes."""

    def published(self, size: int, seconds: float) -> None:
        """Count a publish that the broker took."""
        ...

    def publish_failed(self, cause: str) -> None:
        """Count a publish that failed. `cause` is the error's, one of a few words, empty where it names none."""
        ...

    def received(self, size: int) -> None:
        """Count a message that arrived."""
        ...

    def subscribed(self) -> None:
        """Count a confirmed subscription."""
        ...


class Measure(Layer):
    """Tells a meter of each call and each arrival."""

    def __init__(self, inner: EventBus, meter: Meter, clock: Clock) -> None:
        """Tell `meter`, by the clock's monotonic time."""
        super().__init__(inner)
        self._meter = meter
        self._clock = clock

    async def publish(self, channel: str, payload: bytes) -> None:
        """See EventBus."""
        began_s = self._clock.monotonic_s()
        try:
            await self._inner.publish(channel, payload)
        except UnreachableError as error:
            self._meter.publish_failed(str(error.details.get("cause", "")))
            raise
        self._meter.published(len(payload), self._clock.monotonic_s() - began_s)

    def subscribe(self, channels: Sequence[str]) -> Subscription:
        """See EventBus."""
        return Watched(self._inner.subscribe(channels), self._arrived)

    def _arrived(self, arrival: Message | Subscribed) -> None:
        if isinstance(arrival, Message):
            self._meter.received(len(arrival.payload))
        else:
            self._meter.subscribed()

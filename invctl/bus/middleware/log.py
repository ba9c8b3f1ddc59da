"""Logs what a bus carries: each call at debug, and of an outage its beginning and its end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from invctl.bus.contract import Message
from invctl.bus.middleware.layer import Layer, Watched
from invctl.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from structlog.typing import FilteringBoundLogger

    from invctl.bus.contract import EventBus, Subscribed, Subscription
    from invctl.clock import Clock

    Describe = Callable[[bytes], Mapping[str, Any]]


class Log(Layer):
    """Writes a line for each message at debug. Of failures in a row the first is a warning; their end is told, too."""

    def __init__(self, inner: EventBus, log: FilteringBoundLogger, describe: Describe, clock: Clock) -> None:
        """Write to `log`. `describe` gives what to say of a message; it is asked only for a line that is written."""
        super().__init__(inner)
        self._log = log
        self._describe = describe
        self._clock = clock
        self._failures = 0

    async def publish(self, channel: str, payload: bytes) -> None:
        """See EventBus."""
        began_s = self._clock.monotonic_s()
        try:
            await self._inner.publish(channel, payload)
        except UnreachableError as error:
            self._failed(channel, payload, error)
            raise
        if self._failures:
            self._log.info("bus.publishes_again", failures=self._failures)
            self._failures = 0
        if self._log.is_enabled_for(logging.DEBUG):
            ms = round((self._clock.monotonic_s() - began_s) * 1000, 3)
            self._log.debug("bus.published", channel=channel, bytes=len(payload), ms=ms, **self._describe(payload))

    def subscribe(self, channels: Sequence[str]) -> Subscription:
        """See EventBus."""
        return Watched(self._inner.subscribe(channels), self._arrived)

    def _failed(self, channel: str, payload: bytes, error: UnreachableError) -> None:
        # Each store says its hello every two seconds, however long the outage lasts.
        self._failures += 1
        level = logging.WARNING if self._failures == 1 else logging.DEBUG
        if self._log.is_enabled_for(level):
            facts = dict(self._describe(payload))
            self._log.log(level, "bus.publish_failed", channel=channel, error=error, failures=self._failures, **facts)

    def _arrived(self, arrival: Message | Subscribed) -> None:
        if not self._log.is_enabled_for(logging.DEBUG):
            return
        if isinstance(arrival, Message):
            size = len(arrival.payload)
            self._log.debug("bus.received", channel=arrival.channel, bytes=size, **self._describe(arrival.payload))
        else:
            self._log.debug("bus.confirmed", channels=len(arrival.channels))

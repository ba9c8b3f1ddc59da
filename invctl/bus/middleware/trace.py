"""Carries a message's trace along: every line that is logged while it is published, or read, names it.

Over the wire it travels inside the events, each of which carries its W3C traceparent. So a bus adds nothing to bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from structlog.contextvars import bind_contextvars, reset_contextvars, unbind_contextvars

from invctl.bus.contract import Message
from invctl.bus.middleware.layer import Layer, Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from invctl.bus.contract import EventBus, Subscribed, Subscription


class Trace(Layer):
    """Binds `trace` in the context of structlog: for the time of a publish, and for a reader until its next read."""

    def __init__(self, inner: EventBus, trace_of: Callable[[bytes], str | None]) -> None:
        """Let `trace_of` read the trace id out of a message; None where it has none. It has to be cheap."""
        super().__init__(inner)
        self._trace_of = trace_of

    async def publish(self, channel: str, payload: bytes) -> None:
        """See EventBus."""
        trace = self._trace_of(payload)
        if trace is None:
            await self._inner.publish(channel, payload)
            return
        before = bind_contextvars(trace=trace)
        try:
            await self._inner.publish(channel, payload)
        finally:
            reset_contextvars(**before)

    def subscribe(self, channels: Sequence[str]) -> Subscription:
        """See EventBus."""
        return Watched(self._inner.subscribe(channels), self._arrived)

    def _arrived(self, arrival: Message | Subscribed) -> None:
        trace = self._trace_of(arrival.payload) if isinstance(arrival, Message) else None
        if trace is None:
            unbind_contextvars("trace")
        else:
            bind_contextvars(trace=trace)

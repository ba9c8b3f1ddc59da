"""Carries a message's trace along: every line that is logged while it is published, or read, names it.

Over the wire it travels inside the events, each of which carries its W3C traceparent. So a bus adds nothing to bytes.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from invctl.bus.contract import Message
from invctl.bus.middleware.layer import Layer, Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from invctl.bus.contract import Subscribed, Subscription

# The message itself, not its trace: that is looked for when a line is written, which is seldom.
_message: ContextVar[bytes | None] = ContextVar("message", default=None)


class Trace(Layer):
    """Remembers the message for the time of its publish, and for a reader until its next read."""

    async def publish(self, channel: str, payload: bytes) -> None:
        """See EventBus."""
        before = _message.set(payload)
        try:
            await self._inner.publish(channel, payload)
        finally:
            _message.reset(before)

    def subscribe(self, channels: Sequence[str]) -> Subscription:
        """See EventBus."""
        return Watched(self._inner.subscribe(channels), self._arrived)

    def _arrived(self, arrival: Message | Subscribed) -> None:
        _message.set(arrival.payload if isinstance(arrival, Message) else None)


def current_trace(trace_of: Callable[[bytes], str | None]) -> Callable[[], dict[str, str]]:
    """Return what gives `trace` of the message that is being published or read here; nothing where it has none.

    It is for `invctl.runtime.logs`. `trace_of` reads the trace id out of a message.
    """

    def current() -> dict[str, str]:
        message = _message.get()
        trace = trace_of(message) if message else None
        return {"trace": trace} if trace else {}

    return current

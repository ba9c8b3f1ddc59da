"""What every layer is: a bus that passes everything on to the one inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from invctl.bus.contract import EventBus, Features, Message, Subscribed, Subscription


class Layer:
    """A bus around a bus. What a layer is for, it does before or after passing a call on. See EventBus."""

    def __init__(self, inner: EventBus) -> None:
        """Stand around `inner`, which is closed with this."""
        self._inner = inner

    @property
    def name(self) -> str:
        """Which broker this is."""
        return self._inner.name

    @property
    def features(self) -> Features:
        """What the bus inside does beyond the bare contract."""
        return self._inner.features

    async def publish(self, channel: str, payload: bytes) -> None:
        """See EventBus."""
        await self._inner.publish(channel, payload)

    def subscribe(self, channels: Sequence[str]) -> Subscription:
        """See EventBus."""
        return self._inner.subscribe(channels)

    async def close(self) -> None:
        """See EventBus."""
        await self._inner.close()


class Watched:
    """A subscription of which each arrival is shown to a layer before its reader has it. See Subscription."""

    def __init__(self, inner: Subscription, show: Callable[[Message | Subscribed], None]) -> None:
        """Stand around `inner`. `show` must not raise: the arrival would be lost."""
        self._inner = inner
        self._show = show

    def __aiter__(self) -> Watched:
        """Return itself."""
        return self

    async def __anext__(self) -> Message | Subscribed:
        """See Subscription."""
        # Nothing is awaited after this: a read that is cancelled loses nothing.
        arrival = await self._inner.__anext__()
        self._show(arrival)
        return arrival

    async def aclose(self) -> None:
        """See Subscription."""
        await self._inner.aclose()

"""The bus in memory: the twin for tests, demonstrations of faults, and simulations.

A `MemoryBroker` is what a Redis is; a `MemoryBus` is one process's connection to it. So a partition can
cut off one process and leave the others. Time moves only by the clock that is handed in: what the wire
delays lies in the broker until `deliver_due` finds that it is due.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from typing import TYPE_CHECKING

from invctl.bus.contract import Features, Message, Subscribed
from invctl.bus.names import checked, hears
from invctl.clock import SystemClock
from invctl.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invctl.bus.faults import Delivery, FaultyWire
    from invctl.clock import Clock

_QUEUE_MAX = 10_000
"""Messages that may wait for one reader. Redis cuts a slow subscriber off likewise, at 32 MB or at 8 MB for 60 s
(`client-output-buffer-limit pubsub`, https://redis.io/docs/latest/develop/reference/clients/)."""


class MemoryBroker:
    """Takes messages, lets the wire do its worst with them, and hands out what is due."""

    def __init__(self, clock: Clock | None = None, wire: FaultyWire | None = None) -> None:
        """Run by `clock` (by default the machine's) over `wire` (by default a perfect one)."""
        self._clock = clock or SystemClock()
        self._wire = wire
        self._under_way: list[tuple[float, int, Delivery]] = []
        self._sent = 0
        self._subscriptions: list[MemorySubscription] = []
        self.up = True

    @property
    def features(self) -> Features:
        """Ordered, unless the wire reorders; never durable."""
        return Features(durable=False, ordered=self._wire is None or self._wire.faults.ordered)

    def accept(self, channel: str, payload: bytes) -> None:
        """Take a message from a publisher, and deliver everything that is due."""
        if self._wire is None:
            self._hand_out(channel, payload)
            return
        for delivery in self._wire.send(self._clock.monotonic_s(), channel, payload):
            self._sent += 1
            heapq.heappush(self._under_way, (delivery.due_s, self._sent, delivery))
        self.deliver_due()

    def deliver_due(self) -> int:
        """Deliver what is due by the clock; give how many messages that were."""
        delivered = 0
        while self._under_way and self._under_way[0][0] <= self._clock.monotonic_s():
            _, _, delivery = heapq.heappop(self._under_way)
            self._hand_out(delivery.channel, delivery.payload)
            delivered += 1
        return delivered

    def next_due_s(self) -> float | None:
        """Give when the next message is due, on the clock's monotonic scale; None when none is under way."""
        return self._under_way[0][0] if self._under_way else None

    def stop(self) -> None:
        """Be killed: nobody reaches it, and what was under way is gone."""
        self.up = False
        self._under_way.clear()

    def start(self) -> None:
        """Come back, empty; whoever was subscribed connects again."""
        self.up = True
        for subscription in self._subscriptions:
            subscription.confirm()

    def attach(self, subscription: MemorySubscription) -> None:
        """Let a subscription hear from now on."""
        self._subscriptions.append(subscription)
        subscription.confirm()

    def detach(self, subscription: MemorySubscription) -> None:
        """Forget a subscription."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def _hand_out(self, channel: str, payload: bytes) -> None:
        message = Message(channel, payload)
        for subscription in self._subscriptions:
            subscription.offer(message)


class MemoryBus:
    """One process's client of a MemoryBroker, which can be cut off from it in either direction."""

    def __init__(self, broker: MemoryBroker, name: str = "memory") -> None:
        """Connect to a broker."""
        self.name = name
        self.features = broker.features
        self._broker = broker
        self._subscriptions: list[MemorySubscription] = []
        self._hears = True
        self._is_heard = True
        self._closed = False

    @property
    def receives(self) -> bool:
        """Whether messages reach this client."""
        return self._hears and self._broker.up

    def cut_off(self, *, inbound: bool = True, outbound: bool = True) -> None:
        """Partition this client. With `inbound` alone a publish arrives, but raises, as its answer is lost."""
        self._hears = self._hears and not inbound
        self._is_heard = self._is_heard and not outbound

    def heal(self) -> None:
        """End the partition; every subscription is confirmed anew, as it may have missed something."""
        self._hears = self._is_heard = True
        for subscription in self._subscriptions:
            subscription.confirm()

    async def publish(self, channel: str, payload: bytes) -> None:
        """See EventBus."""
        # A real publish waits for the network; without this a loop of publishes would starve its readers.
        await asyncio.sleep(0)
        self._check_open()
        if self._is_heard and self._broker.up:
            self._broker.accept(channel, bytes(payload))
        if not (self._hears and self._is_heard and self._broker.up):
            raise UnreachableError(f"the broker of {self.name} cannot be reached", hint="heal the partition")

    def subscribe(self, channels: Sequence[str]) -> MemorySubscription:
        """See EventBus."""
        self._check_open()
        subscription = MemorySubscription(self, self._broker, checked(channels))
        self._subscriptions.append(subscription)
        return subscription

    def forget(self, subscription: MemorySubscription) -> None:
        """Drop a subscription that was closed."""
        self._broker.detach(subscription)
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    async def close(self) -> None:
        """See EventBus."""
        self._closed = True
        for subscription in list(self._subscriptions):
            await subscription.aclose()

    def _check_open(self) -> None:
        if self._closed:
            raise UnreachableError(f"the bus {self.name} was closed", hint="open a new one")


class MemorySubscription:
    """What waits for one reader. See Subscription."""

    def __init__(self, bus: MemoryBus, broker: MemoryBroker, channels: tuple[str, ...]) -> None:
        """Prepare to listen; it begins with the first read."""
        self._bus = bus
        self._broker = broker
        self._channels = channels
        self._waiting: deque[Message | Subscribed] = deque()
        self._changed = asyncio.Event()
        self._started = False
        self._closed = False

    def confirm(self) -> None:
        """Be told by the broker that the subscription stands, if it can be told."""
        if self._started and self._bus.receives:
            self._put(Subscribed(self._channels))

    def offer(self, message: Message) -> None:
        """Take a message that may or may not be for this subscription."""
        if not self._bus.receives or not any(hears(name, message.channel) for name in self._channels):
            return
        if len(self._waiting) < _QUEUE_MAX:
            self._put(message)
        else:
            # The reader is too slow: its connection is cut, what waits is lost, and it connects again.
            self._waiting.clear()
            self.confirm()

    def __aiter__(self) -> MemorySubscription:
        """Return itself."""
        return self

    async def __anext__(self) -> Message | Subscribed:
        """See Subscription."""
        if not self._started and not self._closed:
            self._started = True
            self._broker.attach(self)
        while not self._closed:
            if self._waiting:
                return self._waiting.popleft()
            self._changed.clear()
            await self._changed.wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """See Subscription."""
        self._closed = True
        self._changed.set()
        self._bus.forget(self)

    def _put(self, arrival: Message | Subscribed) -> None:
        self._waiting.append(arrival)
        self._changed.set()

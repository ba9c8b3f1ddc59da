"""The bus over Redis Pub/Sub (https://redis.io/docs/latest/develop/pubsub/).

Pub/Sub keeps nothing: what is published while nobody listens is gone, and a count of receivers is no
receipt. It crosses database numbers, so channels carry a namespace. A subscriber reads its socket
itself, with nothing between: one that is too slow fills the broker's buffer and is cut off by it, and
that shows as a new `Subscribed`, where a queue of our own would grow or drop in silence.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from invctl.backoff import Backoff
from invctl.bus.contract import Features, Message, Subscribed
from invctl.bus.names import checked, prefix_of
from invctl.errors import UnreachableError
from invctl.redis_connection import RedisAddress, RedisCaller, RedisLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from redis.asyncio.connection import AbstractConnection


class RedisBus:
    """A client of one Redis. Connects when it is first used."""

    features = Features(durable=False, ordered=True)

    def __init__(
        self,
        url: str,
        *,
        rng: Random,
        limits: RedisLimits | None = None,
        on_lost: Callable[[UnreachableError], None] | None = None,
    ) -> None:
        """Take the broker's URL and the generator for the jitter. Raises InvalidValueError for the URL.

        A subscription survives an outage by itself, so nobody sees its errors: `on_lost` is told each of
        them, to log and count it.
        """
        self._address = RedisAddress.parse(url)
        self._limits = limits or RedisLimits()
        self._rng = rng
        self._on_lost = on_lost
        self._caller = RedisCaller(self._address, self._limits)
        self._subscriptions: set[RedisSubscription] = set()
        self._closed = False
        self.name = f"redis {self._address.where}"

    async def publish(self, channel: str, payload: bytes) -> None:
        """See EventBus."""
        await self._caller.call(b"PUBLISH", channel.encode(), payload)

    def subscribe(self, channels: Sequence[str]) -> RedisSubscription:
        """See EventBus."""
        if self._closed:
            raise UnreachableError(f"the bus {self.name} was closed", hint="open a new one")
        backoff = Backoff(self._rng, self._limits.backoff_first_s, self._limits.backoff_max_s)
        subscription = RedisSubscription(
            self._address,
            self._limits,
            checked(channels),
            backoff,
            on_lost=self._on_lost,
            on_close=self._subscriptions.discard,
        )
        self._subscriptions.add(subscription)
        return subscription

    async def close(self) -> None:
        """See EventBus."""
        self._closed = True
        for subscription in list(self._subscriptions):
            await subscription.aclose()
        await self._caller.aclose()


class RedisSubscription:
    """One connection that listens, and is replaced when it is lost. See Subscription."""

    def __init__(
        self,
        address: RedisAddress,
        limits: RedisLimits,
        channels: tuple[str, ...],
        backoff: Backoff,
        *,
        on_lost: Callable[[UnreachableError], None] | None,
        on_close: Callable[[RedisSubscription], None],
    ) -> None:
        """Prepare to listen; the first read connects."""
        self._address = address
        self._limits = limits
        self._channels = channels
        self._backoff = backoff
        self._on_lost = on_lost
        self._on_close = on_close
        self._connection: AbstractConnection | None = None
        self._stands = False
        self._attempt: asyncio.Timeout | None = None
        self._connect_at_s = 0.0
        self._closed = False
        self._pinged = False
        self._patience_s = 0.0

    def __aiter__(self) -> RedisSubscription:
        """Return itself."""
        return self

    async def __anext__(self) -> Message | Subscribed:
        """See Subscription."""
        while not self._closed:
            try:
                with self._address.translating():
                    if self._connection is None or not self._stands:
                        arrival: Message | Subscribed | None = await self._open()
                    else:
                        arrival = await self._receive(self._connection)
                if arrival is not None:
                    return arrival
            except UnreachableError as lost:
                await self._give_up(lost)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """See Subscription."""
        self._closed = True
        self._on_close(self)
        if self._attempt is not None and not self._attempt.expired():
            self._attempt.reschedule(_now_s())
        await self._disconnect()

    async def _open(self) -> Subscribed:
        """Wait until it is time to connect, then do it within the limit. A close ends the attempt at any point."""
        self._attempt = attempt = asyncio.timeout(None)
        try:
            async with attempt:
                await asyncio.sleep(self._connect_at_s - _now_s())
                if not self._closed:
                    attempt.reschedule(_now_s() + self._limits.connect_s)
                await self._connect()
        finally:
            self._attempt = None
        self._stands = True
        self._backoff.reset()
        self._heard()
        return Subscribed(self._channels)

    async def _connect(self) -> None:
        # Cut short by whatever means, each of these steps ends the connection itself.
        self._connection = connection = self._address.connection(self._limits)
        await connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it bare
        await self._subscribe(connection)

    async def _subscribe(self, connection: AbstractConnection) -> None:
        """Ask for every channel, and wait until every one is confirmed.

        What arrives in between is dropped: `Subscribed` comes first, and what came before it counts as missed.
        """
        names = [name.encode() for name in self._channels if prefix_of(name) is None]
        patterns = [_glob(prefix) for name in self._channels if (prefix := prefix_of(name)) is not None]
        for command, wanted in ((b"SUBSCRIBE", names), (b"PSUBSCRIBE", patterns)):
            if wanted:
                await connection.send_command(command, *wanted)
        unconfirmed = {(b"subscribe", name) for name in names} | {(b"psubscribe", pattern) for pattern in patterns}
        while unconfirmed:
            match await connection.read_response():
                case [kind, name, _]:
                    unconfirmed.discard((kind, name))

    async def _receive(self, connection: AbstractConnection) -> Message | None:
        """Wait for what the broker sends; None when it was no message.

        Patience is spent by waiting, over as many reads as it takes. A reader that cancels and reads again, often,
        still finds out that the connection is half open; one that was busy elsewhere does not give up a good one.
        """
        if self._patience_s <= 0:
            if self._pinged:
                raise TimeoutError
            async with asyncio.timeout(self._limits.pong_s):
                await connection.send_command(b"PING")
            self._pinged = True
            self._patience_s = self._limits.pong_s
        began_s = _now_s()
        try:
            answer = await connection.read_response(timeout=self._patience_s, disconnect_on_error=False)
        finally:
            self._patience_s -= _now_s() - began_s
        if answer is None:
            return None
        self._heard()
        match answer:
            case [b"message", channel, payload] | [b"pmessage", _, channel, payload]:
                # A name that is not UTF-8 is none of ours, but must not end the subscription.
                return Message(channel.decode(errors="replace"), payload)
            case _:
                return None

    def _heard(self) -> None:
        self._pinged = False
        self._patience_s = self._limits.silence_s

    async def _give_up(self, lost: UnreachableError) -> None:
        await self._disconnect()
        if self._closed:
            return
        self._connect_at_s = _now_s() + self._backoff.next_s()
        if self._on_lost is not None:
            self._on_lost(lost)

    async def _disconnect(self) -> None:
        connection, self._connection, self._stands = self._connection, None, False
        if connection is not None:
            await connection.disconnect(nowait=True)


def _glob(prefix: str) -> bytes:
    """Write a prefix as a glob pattern of Redis, in which only the last character is special."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", prefix).encode() + b"*"


def _now_s() -> float:
    return asyncio.get_running_loop().time()

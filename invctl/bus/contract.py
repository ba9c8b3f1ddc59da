"""What every bus promises, and what none does.

A bus is a doorbell, not a store of truth. It may drop, double, delay, reorder, damage and cut off;
the two sides compare what they durably have, and send again. So whoever uses a bus may rely on
this alone:

- Bytes that arrive were published on that channel, unless the line damaged them. A checksum in the
  frame tells; the bus does not.
- `publish` that returns proves nothing: not that anybody listened, not that anybody will hear it.
- `publish` that raises proves nothing either: the bytes may have gone out before the answer was lost.
- `Subscribed` marks every point where something may have been missed. It is the first thing that an
  iterator gives, and the first after each reconnection. What was published earlier counts as missed.

`Features` says where an implementation does better. The same contract test runs over all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Message:
    """Bytes that arrived on a channel. `channel` is the name that they were published on, also under a pattern."""

    channel: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The broker confirmed the whole subscription; whatever was published before may have been missed.

    `channels` is what was asked for, each once, in the order asked.
    """

    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Features:
    """What an implementation does beyond the bare contract.

    `durable`: what is published while nobody listens is delivered later.
    `ordered`: between two `Subscribed`, what one publisher sent on one channel arrives in the order sent;
    a publish that raised may arrive anywhere.
    """

    durable: bool
    ordered: bool


class Subscription(Protocol):
    """An endless iterator over what arrives, for one reader at a time.

    It subscribes when it is first read. A lost connection does not end it: it connects again, waiting a
    little longer after each failure, with jitter, and gives a new `Subscribed`. Only `aclose`, or the
    close of its bus, ends it. Cancelling a read loses nothing; the next read goes on where it stopped.

        async with contextlib.aclosing(bus.subscribe(["inv:down:downtown"])) as arrivals:
            async for arrival in arrivals:
                ...
    """

    def __aiter__(self) -> Subscription:
        """Return itself."""
        ...

    async def __anext__(self) -> Message | Subscribed:
        """Wait for what comes next. Raises StopAsyncIteration once it is closed."""
        ...

    async def aclose(self) -> None:
        """Unsubscribe, and end a read that waits. May be called again."""
        ...


class EventBus(Protocol):
    """A client of a broker.

    `name` says which broker, for logs and screens; it holds no password.
    """

    @property
    def name(self) -> str:
        """Which broker this is."""
        ...

    @property
    def features(self) -> Features:
        """What it does beyond the bare contract."""
        ...

    async def publish(self, channel: str, payload: bytes) -> None:
        """Hand the bytes to the broker, once: it is never tried again here, as that could double them.

        Ends within a time limit. Raises UnreachableError when the broker did not take them, or did not say
        that it took them; also after `close`.
        """
        ...

    def subscribe(self, channels: Sequence[str]) -> Subscription:
        r"""Listen on these channels.

        A name that ends in `*` is a prefix: `inv:up:07:*` hears every channel that begins with `inv:up:07:`.
        Anywhere else `*` is an ordinary character, as are `?`, `[`, `]` and `\`. End prefixes with a
        separator: `inv:up:s1*` also hears `inv:up:s10`. Raises InvalidValueError when no channel is named,
        UnreachableError after `close`; an outage only makes the first `Subscribed` wait.
        """
        ...

    async def close(self) -> None:
        """Close every connection and end every subscription. May be called again."""
        ...

"""What every bus promises, in memory and on Redis. What one lacks it declares, and that is tested too."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from invctl.bus.contract import Message, Subscribed
from invctl.errors import InvalidValueError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from invctl.bus.contract import EventBus, Subscription
    from tests.contract.conftest import BusUnderTest


@pytest.fixture
def ns(bus_under_test: BusUnderTest) -> str:
    return bus_under_test.namespace


@pytest.fixture
def bus(bus_under_test: BusUnderTest) -> EventBus:
    return bus_under_test.connect()


@contextlib.asynccontextmanager
async def listening(bus: EventBus, *channels: str) -> AsyncIterator[Subscription]:
    """A subscription that stands."""
    async with contextlib.aclosing(bus.subscribe(channels)) as arrivals:
        assert await anext(arrivals) == Subscribed(channels)
        yield arrivals


async def payloads(arrivals: Subscription, count: int) -> list[bytes]:
    """The next messages, which no new `Subscribed` may interrupt."""
    received = []
    for _ in range(count):
        arrival = await anext(arrivals)
        assert isinstance(arrival, Message)
        received.append(arrival.payload)
    return received


async def until_subscribed(arrivals: Subscription) -> Subscribed:
    """Skip what still arrives, up to the next confirmation."""
    while not isinstance(arrival := await anext(arrivals), Subscribed):
        pass
    return arrival


@pytest.mark.parametrize("size", [0, 1, 256, 300_000])
async def test_the_same_bytes_arrive_on_the_same_channel(
    bus_under_test: BusUnderTest, bus: EventBus, ns: str, size: int
) -> None:
    payload = (bytes(range(256)) * (size // 256 + 1))[:size]
    async with listening(bus, f"{ns}:up") as arrivals:
        await bus.publish(f"{ns}:up", payload)
        bus_under_test.deliver()
        assert await anext(arrivals) == Message(f"{ns}:up", payload)


async def test_the_first_arrival_says_that_the_whole_subscription_stands(bus: EventBus, ns: str) -> None:
    channels = (f"{ns}:b:*", f"{ns}:a", f"{ns}:c", f"{ns}:d:*")
    async with contextlib.aclosing(bus.subscribe([*channels, f"{ns}:a"])) as arrivals:
        assert await anext(arrivals) == Subscribed(channels)


async def test_each_channel_of_a_subscription_is_heard_and_no_other(
    bus_under_test: BusUnderTest, bus: EventBus, ns: str
) -> None:
    heard = [f"{ns}:a", f"{ns}:b", f"{ns}:p:", f"{ns}:p:1:x"]
    async with listening(bus, f"{ns}:a", f"{ns}:b", f"{ns}:p:*") as arrivals:
        for channel in [f"{ns}:c", f"{ns}:a:1", f"{ns}:p", f"{ns.upper()}:a", *heard]:
            await bus.publish(channel, channel.encode())
            bus_under_test.deliver()
        assert await payloads(arrivals, len(heard)) == [channel.encode() for channel in heard]


@pytest.mark.parametrize("special", ["?", "[ab]", "[", "\\", "*", "^", "ä"])
async def test_only_a_star_at_the_end_is_special(
    bus_under_test: BusUnderTest, bus: EventBus, ns: str, special: str
) -> None:
    literal, prefix = f"{ns}:{special}:x", f"{ns}:{special}:p:"
    async with listening(bus, literal, f"{prefix}*") as arrivals:
        for channel in [f"{ns}:a:x", f"{ns}:a:p:1", f"{ns}::x", f"{ns}::p:1", literal, f"{prefix}1"]:
            await bus.publish(channel, channel.encode())
            bus_under_test.deliver()
        assert await payloads(arrivals, 2) == [literal.encode(), f"{prefix}1".encode()]


async def test_a_prefix_without_a_separator_also_hears_longer_names(
    bus_under_test: BusUnderTest, bus: EventBus, ns: str
) -> None:
    async with listening(bus, f"{ns}:up:s1*") as loose, listening(bus, f"{ns}:up:s1:*") as strict:
        for channel in [f"{ns}:up:s10:x", f"{ns}:up:s1:x"]:
            await bus.publish(channel, channel.encode())
            bus_under_test.deliver()
        assert await payloads(loose, 2) == [f"{ns}:up:s10:x".encode(), f"{ns}:up:s1:x".encode()]
        assert await payloads(strict, 1) == [f"{ns}:up:s1:x".encode()]


async def test_everybody_who_listens_hears_it(bus_under_test: BusUnderTest, bus: EventBus, ns: str) -> None:
    other = bus_under_test.connect()
    async with (
        listening(bus, f"{ns}:up") as own,
        listening(bus, f"{ns}:*") as own_too,
        listening(other, f"{ns}:up") as others,
    ):
        await bus.publish(f"{ns}:up", b"x")
        bus_under_test.deliver()
        for arrivals in (own, own_too, others):
            assert await payloads(arrivals, 1) == [b"x"]


async def test_what_nobody_heard_is_kept_only_by_a_durable_bus(
    bus_under_test: BusUnderTest, bus: EventBus, ns: str
) -> None:
    await bus.publish(f"{ns}:up", b"early")
    bus_under_test.deliver()
    async with listening(bus, f"{ns}:up") as arrivals:
        await bus.publish(f"{ns}:up", b"late")
        bus_under_test.deliver()
        first = await payloads(arrivals, 1)
    assert first == ([b"early"] if bus.features.durable else [b"late"])


async def test_an_ordered_bus_keeps_the_order_of_a_channel_and_another_does_not(
    bus_under_test: BusUnderTest, bus: EventBus, ns: str
) -> None:
    sent = [b"%04d" % number for number in range(300)]
    async with listening(bus, f"{ns}:up") as arrivals:
        for payload in sent:
            await bus.publish(f"{ns}:up", payload)
        bus_under_test.deliver()
        received = await payloads(arrivals, len(sent))
    assert sorted(received) == sent
    assert (received == sent) == bus.features.ordered


@pytest.mark.concurrency
async def test_publishers_at_once_lose_nothing_and_mix_nothing_up(
    bus_under_test: BusUnderTest, bus: EventBus, ns: str
) -> None:
    sent = {b"%04d" % number: f"{ns}:{number % 7}" for number in range(200)}
    async with listening(bus, f"{ns}:*") as arrivals:
        await asyncio.gather(*(bus.publish(channel, payload) for payload, channel in sent.items()))
        bus_under_test.deliver()
        received = [await anext(arrivals) for _ in sent]
    assert {arrival.payload: arrival.channel for arrival in received if isinstance(arrival, Message)} == sent


async def test_a_cancelled_read_loses_nothing(bus_under_test: BusUnderTest, bus: EventBus, ns: str) -> None:
    async with listening(bus, f"{ns}:up") as arrivals:
        reading = asyncio.create_task(payloads(arrivals, 1))
        await bus.publish(f"{ns}:down", b"lets the read begin")
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await bus.publish(f"{ns}:up", b"x")
        bus_under_test.deliver()
        assert await payloads(arrivals, 1) == [b"x"]


async def test_closing_a_subscription_ends_its_reads_and_no_others(
    bus_under_test: BusUnderTest, bus: EventBus, ns: str
) -> None:
    async with listening(bus, f"{ns}:up") as closed, listening(bus, f"{ns}:up") as other:
        reading = asyncio.create_task(anext(closed, None))
        await bus.publish(f"{ns}:down", b"lets the read begin")
        await closed.aclose()
        await closed.aclose()
        assert await reading is None
        await bus.publish(f"{ns}:up", b"x")
        bus_under_test.deliver()
        assert await payloads(other, 1) == [b"x"]
        assert await anext(closed, None) is None


async def test_a_closed_bus_ends_everything(bus: EventBus, ns: str) -> None:
    async with listening(bus, f"{ns}:up") as arrivals:
        await bus.publish(f"{ns}:down", b"x")
        reading = asyncio.create_task(anext(arrivals, None))
        await bus.close()
        await bus.close()
        assert await reading is None
    with pytest.raises(UnreachableError):
        await bus.publish(f"{ns}:up", b"x")
    with pytest.raises(UnreachableError):
        bus.subscribe([f"{ns}:up"])


async def test_a_subscription_that_was_never_read_can_be_closed(bus: EventBus, ns: str) -> None:
    arrivals = bus.subscribe([f"{ns}:up"])
    await arrivals.aclose()
    assert await anext(arrivals, None) is None


@pytest.mark.parametrize("channels", [[], (), "inv:up"])
async def test_channels_are_named_in_a_list(bus: EventBus, channels: list[str]) -> None:
    with pytest.raises(InvalidValueError) as raised:
        bus.subscribe(channels)
    assert raised.value.hint


@pytest.mark.fault_tolerance
async def test_after_an_interruption_the_subscription_says_so_and_goes_on(
    bus_under_test: BusUnderTest, bus: EventBus, ns: str
) -> None:
    channels = (f"{ns}:up", f"{ns}:p:*")
    async with listening(bus, *channels) as arrivals:
        for channel in (f"{ns}:up", f"{ns}:p:1"):
            await bus_under_test.interrupt()
            assert await until_subscribed(arrivals) == Subscribed(channels)
            await bus.publish(channel, b"x")
            bus_under_test.deliver()
            assert await anext(arrivals) == Message(channel, b"x")


@pytest.mark.fault_tolerance
async def test_while_the_broker_is_away_a_publish_raises_and_afterwards_all_goes_on(
    bus_under_test: BusUnderTest, bus: EventBus, ns: str
) -> None:
    async with listening(bus, f"{ns}:up") as arrivals:
        await bus.publish(f"{ns}:down", b"connected")
        await bus_under_test.cut_off()
        for _ in range(3):
            with pytest.raises(UnreachableError) as raised:
                await bus.publish(f"{ns}:up", b"x")
            assert raised.value.hint
        reading = asyncio.create_task(until_subscribed(arrivals))
        late = bus_under_test.connect().subscribe([f"{ns}:up"])
        reading_late = asyncio.create_task(anext(late))
        await bus_under_test.heal()
        assert await reading == await reading_late == Subscribed((f"{ns}:up",))
        await bus.publish(f"{ns}:up", b"y")
        bus_under_test.deliver()
        assert await payloads(arrivals, 1) == await payloads(late, 1) == [b"y"]

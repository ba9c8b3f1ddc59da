"""The twin's own levers: partitions of one process, time, the wire, a killed broker, a slow reader."""

from __future__ import annotations

import random

import pytest

from invctl.bus.contract import Message, Subscribed
from invctl.bus.faults import Faults, FaultyWire
from invctl.bus.memory import MemoryBroker, MemoryBus, MemorySubscription
from invctl.clock import ManualClock
from invctl.errors import UnreachableError

pytestmark = pytest.mark.fault_tolerance


async def listening(bus: MemoryBus, *channels: str) -> MemorySubscription:
    arrivals = bus.subscribe(channels)
    assert await anext(arrivals) == Subscribed(channels)
    return arrivals


async def until_subscribed(arrivals: MemorySubscription) -> list[bytes]:
    """What arrived before the next confirmation."""
    payloads = []
    while isinstance(arrival := await anext(arrivals), Message):
        payloads.append(arrival.payload)
    return payloads


async def test_a_partition_cuts_off_one_process_and_no_other() -> None:
    broker = MemoryBroker()
    cut, other = MemoryBus(broker), MemoryBus(broker)
    hears, others = await listening(cut, "c"), await listening(other, "c")
    cut.cut_off()
    with pytest.raises(UnreachableError):
        await cut.publish("c", b"from inside")
    await other.publish("c", b"from outside")
    cut.heal()
    await cut.publish("c", b"healed")
    assert await until_subscribed(hears) == []
    assert await anext(hears) == Message("c", b"healed")
    assert [await anext(others) for _ in range(2)] == [Message("c", b"from outside"), Message("c", b"healed")]


async def test_an_inbound_partition_loses_the_answer_and_not_the_message() -> None:
    broker = MemoryBroker()
    cut, other = MemoryBus(broker), MemoryBus(broker)
    hears, others = await listening(cut, "c"), await listening(other, "c")
    cut.cut_off(outbound=False)
    with pytest.raises(UnreachableError):
        await cut.publish("c", b"arrives all the same")
    assert await anext(others) == Message("c", b"arrives all the same")
    cut.heal()
    assert await until_subscribed(hears) == []


async def test_an_outbound_partition_still_hears() -> None:
    broker = MemoryBroker()
    cut, other = MemoryBus(broker), MemoryBus(broker)
    hears, others = await listening(cut, "c"), await listening(other, "c")
    cut.cut_off(inbound=False)
    with pytest.raises(UnreachableError):
        await cut.publish("c", b"never arrives")
    await other.publish("c", b"heard")
    assert await anext(hears) == await anext(others) == Message("c", b"heard")


async def test_partitions_add_up_until_they_heal() -> None:
    bus = MemoryBus(MemoryBroker())
    bus.cut_off(inbound=False)
    bus.cut_off(outbound=False)
    arrivals = bus.subscribe(["c"])
    with pytest.raises(UnreachableError):
        await bus.publish("c", b"lost")
    bus.heal()
    assert await anext(arrivals) == Subscribed(("c",))
    await bus.publish("c", b"x")
    assert await anext(arrivals) == Message("c", b"x")


async def test_what_the_wire_holds_up_arrives_by_the_clock_alone() -> None:
    clock = ManualClock()
    broker = MemoryBroker(clock, FaultyWire(Faults(latency_s=2.0), random.Random(1)))
    bus = MemoryBus(broker)
    arrivals = await listening(bus, "c")
    assert broker.next_due_s() is None
    await bus.publish("c", b"1")
    clock.advance(1.5)
    await bus.publish("c", b"2")
    assert broker.next_due_s() == 2.0
    assert broker.deliver_due() == 0
    clock.advance(0.5)
    assert broker.deliver_due() == 1
    assert broker.next_due_s() == 3.5
    clock.advance(1.5)
    assert broker.deliver_due() == 1
    assert [await anext(arrivals) for _ in range(2)] == [Message("c", b"1"), Message("c", b"2")]


async def test_publishing_delivers_what_is_due_too() -> None:
    clock = ManualClock()
    bus = MemoryBus(MemoryBroker(clock, FaultyWire(Faults(latency_s=2.0), random.Random(1))))
    arrivals = await listening(bus, "c")
    await bus.publish("c", b"1")
    clock.advance(2.0)
    await bus.publish("c", b"2")
    assert await anext(arrivals) == Message("c", b"1")


async def test_a_killed_broker_loses_what_was_under_way() -> None:
    clock = ManualClock()
    broker = MemoryBroker(clock, FaultyWire(Faults(latency_s=2.0), random.Random(1)))
    bus = MemoryBus(broker)
    arrivals = await listening(bus, "c")
    await bus.publish("c", b"lost")
    broker.stop()
    with pytest.raises(UnreachableError):
        await bus.publish("c", b"lost too")
    broker.start()
    clock.advance(2.0)
    assert broker.deliver_due() == 0
    assert await until_subscribed(arrivals) == []


async def test_a_reader_that_is_too_slow_loses_what_waits_and_is_told() -> None:
    bus = MemoryBus(MemoryBroker())
    arrivals = await listening(bus, "c")
    for number in range(10_001):
        await bus.publish("c", b"%d" % number)
    await bus.publish("c", b"afterwards")
    assert await until_subscribed(arrivals) == []
    assert await anext(arrivals) == Message("c", b"afterwards")


async def test_what_the_wire_does_is_what_the_reader_gets() -> None:
    faults = Faults(drop=0.5, double=0.5, flip=0.5, reorder_max_s=0.0)
    wire = FaultyWire(faults, random.Random(3))
    expected = [delivery.payload for _ in range(50) for delivery in wire.send(0.0, "c", b"\0")]
    bus = MemoryBus(MemoryBroker(ManualClock(), FaultyWire(faults, random.Random(3))))
    arrivals = await listening(bus, "c")
    for _ in range(50):
        await bus.publish("c", b"\0")
    assert [await anext(arrivals) for _ in expected] == [Message("c", payload) for payload in expected]
    assert bus.features.ordered is False

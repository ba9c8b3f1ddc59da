"""One shard at work: bus, thread and server joined."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

import pytest
import structlog
from structlog.testing import capture_logs

from central import subscriber as subscriber_module
from central.fence import FenceLostError
from central.subscriber import Subscriber
from invctl.bus.contract import Message
from invctl.bus.memory import MemoryBroker, MemoryBus
from invctl.errors import BusyError
from invctl.sync import channels, frames
from tests.integration.central_service.office import (
    NAMESPACE,
    Store,
    admitted,
    archived,
    minted,
    serving,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import Engine

    from central.shard_server import Frame, Reply, ShardServer
    from invctl.clock import ManualClock


class Gate:
    """Stands before a server's rounds: a test sees each begin, and lets it go on."""

    def __init__(self, server: ShardServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rounds: list[int] = []
        self.closed = threading.Event()
        self.closed.set()
        self.waiting = threading.Event()
        self._round = server.round
        monkeypatch.setattr(server, "round", self._pass)

    def shut(self) -> None:
        self.closed.clear()

    def open(self) -> None:
        self.closed.set()

    def _pass(self, arrived: Sequence[Frame]) -> list[Reply]:
        self.rounds.append(len(arrived))
        self.waiting.set()
        assert self.closed.wait(60)
        return self._round(arrived)


class Shard:
    """A subscriber at work over a broker in memory, and a listener on what it sends."""

    def __init__(self, engine: Engine, clock: ManualClock) -> None:
        self.engine = engine
        self.broker = MemoryBroker(clock)
        self.bus = MemoryBus(self.broker, "central")
        self.outside = MemoryBus(self.broker, "outside")
        self.fence = minted(engine)
        self.server = serving(engine, self.fence, clock=clock)
        self.ours = True
        self.subscribed = 0
        self.heard: list[tuple[str, frames.DownFrame]] = []
        self.subscriber = Subscriber(
            self.server,
            bus=self.bus,
            namespace=NAMESPACE,
            slots=range(64),
            is_ours=lambda: self.ours,
            on_subscribed=self._note_subscribed,
            chance=Random(1),
            log=structlog.get_logger(),
        )

    def _note_subscribed(self) -> None:
        self.subscribed += 1

    def acks(self, store: str) -> list[frames.Ack]:
        return [frame for to, frame in self.heard if to == store and isinstance(frame, frames.Ack)]

    def greetings(self) -> int:
        return sum(isinstance(frame, frames.CentralHello) for _, frame in self.heard)

    async def say(self, store: Store) -> None:
        for frame in store.says():
            await self.outside.publish(channels.up(NAMESPACE, store.name), frame.payload)

    async def link(self, store: Store) -> None:
        """Let a store say hello, and hear the answer."""
        await self.say(store)
        await until(lambda: bool(self.acks(store.name)))
        store.hear([(to, frames.encode(frame)) for to, frame in self.heard])

    async def listen(self) -> None:
        async for arrival in self.outside.subscribe([f"{NAMESPACE}:down:*"]):
            if isinstance(arrival, Message):
                self.heard.append((channels.store_of(arrival.channel), frames.decode_down(arrival.payload)))

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[asyncio.Task[None]]:
        listener = asyncio.create_task(self.listen())
        work = asyncio.create_task(self.subscriber.run())
        try:
            # What is said before that, nobody hears.
            await until(lambda: self.subscribed > 0)
            yield work
        finally:
            self.subscriber.stop()
            await asyncio.gather(work, return_exceptions=True)
            listener.cancel()


@pytest.fixture
def shard(engine: Engine, clock: ManualClock) -> Shard:
    admitted(engine, "downtown", "midtown")
    return Shard(engine, clock)


@pytest.fixture
def downtown(clock: ManualClock) -> Store:
    return Store("downtown", clock=clock)


async def test_a_single_event_is_committed_as_it_comes_and_then_acknowledged(shard: Shard, downtown: Store) -> None:
    # The clock stands still: nothing waits for a timer.
    async with shard.at_work():
        await shard.link(downtown)
        downtown.trade(1)
        await shard.say(downtown)
        await until(lambda: shard.acks("downtown")[-1].applied_seq == 3)
        assert archived(shard.engine, "downtown") == downtown.bodies


@pytest.mark.concurrency
async def test_what_arrives_during_a_transaction_is_the_next_one(
    shard: Shard, downtown: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(shard.server, monkeypatch)
    async with shard.at_work():
        await shard.link(downtown)
        gate.rounds.clear()
        gate.shut()
        gate.waiting.clear()
        await shard.say(downtown)
        await until(gate.waiting.is_set)
        for _ in range(7):
            downtown.trade(1)
            await shard.say(downtown)
        gate.open()
        await until(lambda: shard.acks("downtown")[-1].applied_seq == 9)
        assert gate.rounds == [1, 7]
        assert shard.server.counts["transactions"] == 2


@pytest.mark.fault_tolerance
async def test_where_there_is_no_room_the_newest_frames_are_dropped_and_counted_and_come_again(
    shard: Shard, downtown: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber_module, "ARRIVED_FRAMES_MAX", 2)
    gate = Gate(shard.server, monkeypatch)
    async with shard.at_work():
        await shard.link(downtown)
        gate.shut()
        gate.waiting.clear()
        await shard.say(downtown)
        await until(gate.waiting.is_set)
        for _ in range(5):
            downtown.trade(1)
            await shard.say(downtown)
        await until(lambda: shard.subscriber.counts["frames_dropped"] == 3)
        gate.open()
        await until(lambda: shard.acks("downtown")[-1].applied_seq == 4)
        downtown.hear([(to, frames.encode(frame)) for to, frame in shard.heard])
        clock.advance(1.0)
        await shard.say(downtown)
        await until(lambda: shard.acks("downtown")[-1].applied_seq == 7)
    assert archived(shard.engine, "downtown") == downtown.bodies


@pytest.mark.parametrize(("limit", "expected"), [("ROUND_FRAMES_MAX", 3), ("ROUND_BYTES_MAX", 1)])
async def test_a_round_is_bounded(
    shard: Shard, downtown: Store, monkeypatch: pytest.MonkeyPatch, limit: str, expected: int
) -> None:
    monkeypatch.setattr(subscriber_module, limit, expected)
    gate = Gate(shard.server, monkeypatch)
    async with shard.at_work():
        await shard.link(downtown)
        gate.rounds.clear()
        gate.shut()
        gate.waiting.clear()
        await shard.say(downtown)
        await until(gate.waiting.is_set)
        for _ in range(6):
            downtown.trade(1)
            await shard.say(downtown)
        gate.open()
        await until(lambda: shard.acks("downtown")[-1].applied_seq == 8)
    assert gate.rounds == ([1, 3, 3] if expected == 3 else [1] * 7)


@pytest.mark.fault_tolerance
async def test_every_confirmed_subscription_loads_the_cursors_and_greets_every_store(shard: Shard) -> None:
    async with shard.at_work():
        await until(lambda: shard.greetings() == 2)
        admitted(shard.engine, "brooklyn")
        shard.broker.stop()
        shard.broker.start()
        await until(lambda: shard.greetings() == 2 + 3)
    assert shard.subscribed == 2


@pytest.mark.fault_tolerance
async def test_nothing_is_taken_in_before_the_cursors_are_loaded_and_that_is_tried_again(
    shard: Shard, downtown: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_open, arrived = shard.server.open, []

    def failing_open() -> list[Reply]:
        arrived.append(bool(shard.subscriber._arrived))
        if len(arrived) < 3 or not arrived[-1]:
            raise BusyError("locked")
        return server_open()

    monkeypatch.setattr(shard.server, "open", failing_open)
    with capture_logs() as lines:
        async with shard.at_work():
            await shard.link(downtown)
    assert len(arrived) >= 3
    assert shard.acks("downtown")[0].applied_seq == 0
    assert [line["event"] for line in lines].count("cursors.not_loaded") == len(arrived) - 1


@pytest.mark.fault_tolerance
async def test_a_broker_that_takes_no_answers_costs_only_those(
    shard: Shard, downtown: Store, clock: ManualClock
) -> None:
    async with shard.at_work():
        await shard.link(downtown)
        shard.bus.cut_off(inbound=False, outbound=True)
        await shard.say(downtown)
        await until(lambda: shard.subscriber.counts["replies_dropped"] == 1)
        assert archived(shard.engine, "downtown") == downtown.bodies
        shard.bus.heal()
        clock.advance(1.0)
        await shard.say(downtown)
        await until(lambda: shard.acks("downtown")[-1].applied_seq == 2)


async def test_a_stop_lets_the_round_end_and_its_answers_go_out(
    shard: Shard, downtown: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(shard.server, monkeypatch)
    async with shard.at_work() as work:
        await shard.link(downtown)
        gate.shut()
        gate.waiting.clear()
        await shard.say(downtown)
        await until(gate.waiting.is_set)
        shard.subscriber.stop()
        gate.open()
        await work
        await until(lambda: shard.acks("downtown")[-1].applied_seq == 2)
    assert archived(shard.engine, "downtown") == downtown.bodies


@pytest.mark.concurrency
async def test_nothing_is_begun_once_the_lease_is_over(shard: Shard, downtown: Store) -> None:
    async with shard.at_work():
        await shard.link(downtown)
        shard.ours = False
        assert await shard.subscriber.upkeep() == 0
        await shard.say(downtown)
        await until(lambda: bool(shard.subscriber._arrived))
        assert await shard.subscriber.tick() == 0
        assert archived(shard.engine, "downtown") == []


@pytest.mark.concurrency
async def test_a_lost_fence_ends_the_work(shard: Shard, downtown: Store) -> None:
    async with shard.at_work() as work:
        await shard.link(downtown)
        minted(shard.engine, "another", Random(9))
        await shard.say(downtown)
        with pytest.raises(ExceptionGroup) as caught:
            await work
        assert caught.group_contains(FenceLostError)
    assert archived(shard.engine, "downtown") == []

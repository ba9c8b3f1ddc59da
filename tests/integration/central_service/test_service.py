"""The whole service over bus, leases and ledgers in memory: bad lines, rival centrals, and a clean end."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random
from typing import TYPE_CHECKING

import pytest
import structlog
from structlog.testing import capture_logs

from central.bus_watch import BusWatch
from central.database import reading
from central.fence import FenceLostError
from central.leases import LEASE_TTL_S, Leases
from central.reads import list_stores
from central.service import Service
from central.shards import list_shards
from central.verify import verify_store
from central.watching import Watching
from invctl.bus.faults import Faults, FaultyWire
from invctl.bus.memory import MemoryBroker, MemoryBus
from invctl.errors import BusyError, UnreachableError
from invctl.locks.memory import MemoryLeases, MemoryLocks
from tests.integration.central_service.office import (
    NAMESPACE,
    Pace,
    Store,
    admitted,
    archived,
    archived_events,
    minted,
    serving,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from sqlalchemy import Engine

    from invctl.clock import Clock, ManualClock

BAD = Faults(drop=0.15, double=0.15, reorder=0.2, delay=0.1, truncate=0.03, flip=0.03, delay_max_s=0.5)
PACE = 4.0
"""A lease, which is looked at by the machine's time, must not end between two looks."""
LEASE = f"{NAMESPACE}:lease:shard:0"


class World:
    """A broker, leases and a database, and the centrals and stores that meet there."""

    def __init__(self, engine: Engine, clock: Clock, folder: Path, wire: FaultyWire | None = None) -> None:
        self.engine = engine
        self.clock = clock
        self.folder = folder
        self.broker = MemoryBroker(clock, wire)
        self.leases = MemoryLeases(clock)
        self.buses: dict[str, MemoryBus] = {}

    def status(self, owner: str) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.folder / f"{owner}.json").read_text())
        return found

    @asynccontextmanager
    async def central(self, owner: str, *, admit_any: bool = True) -> AsyncIterator[Callable[[], None]]:
        """Run a central. What it gives lets it end."""
        log = structlog.get_logger()
        watch = BusWatch(log)
        bus = self.buses[owner] = MemoryBus(self.broker, owner)
        stop = asyncio.Event()
        service = Service(
            self.engine,
            bus,
            MemoryLocks(self.leases),
            shards=1,
            namespace=NAMESPACE,
            owner=owner,
            predecessor="",
            admit_any=admit_any,
            status_path=self.folder / f"{owner}.json",
            watch=watch,
            clock=self.clock,
            chance=Random(owner),
            log=log,
            watching=Watching(self.clock, []),
        )
        work = asyncio.create_task(service.run(stop))
        try:
            yield stop.set
        finally:
            stop.set()
            await work

    @asynccontextmanager
    async def at_work(self, *stores: Store, pace: float = 1.0) -> AsyncIterator[None]:
        """Run the stores' daemons, and deliver what the line delays."""
        loop = asyncio.get_running_loop()
        handle = loop.call_soon(lambda: None)

        def deliver() -> None:
            nonlocal handle
            self.broker.deliver_due()
            handle = loop.call_later(0.001, deliver)

        deliver()
        running = [asyncio.create_task(store.run(MemoryBus(self.broker, store.name), pace)) for store in stores]
        try:
            yield
        finally:
            handle.cancel()
            for task in running:
                task.cancel()
            ends = await asyncio.gather(*running, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


def half_way(*stores: Store) -> bool:
    return all(2 * store.acked_seq >= len(store.bodies) for store in stores)


def drained(*stores: Store) -> bool:
    return all(store.acked_seq == len(store.bodies) for store in stores)


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("seed", range(3))
async def test_over_a_line_that_drops_doubles_reorders_and_damages_everything_arrives_once(
    opened: Callable[[Clock], Engine], tmp_path: Path, seed: int
) -> None:
    clock = Pace(PACE)
    world = World(opened(clock), clock, tmp_path, FaultyWire(BAD, Random(seed)))
    stores = [Store(name, clock=clock, seed=seed) for name in ("downtown", "midtown", "brooklyn")]
    async with world.central("a"), world.at_work(*stores, pace=PACE):
        for _ in range(10):
            for store in stores:
                store.trade(5)
            await until(lambda: half_way(*stores))
        await until(lambda: drained(*stores))
    for store in stores:
        assert archived(world.engine, store.name) == store.bodies
        with reading(world.engine) as connection:
            verdict = verify_store(connection, store.name)
        assert (verdict.ok, verdict.findings, verdict.seq) == (True, [], len(store.bodies))
    with reading(world.engine) as connection:
        assert list_shards(connection)[0].position == archived_events(world.engine)


@pytest.mark.fault_tolerance
async def test_a_broker_that_goes_and_comes_back_is_said_once_each_and_loses_nothing(
    opened: Callable[[Clock], Engine], tmp_path: Path
) -> None:
    clock = Pace(PACE)
    world = World(opened(clock), clock, tmp_path)
    store = Store("downtown", clock=clock)
    with capture_logs() as lines:
        async with world.central("a"), world.at_work(store, pace=PACE):
            await until(lambda: drained(store))
            world.broker.stop()
            store.trade(20)
            world.broker.start()
            await until(lambda: drained(store))
    assert archived(world.engine, "downtown") == store.bodies
    assert [line["event"] for line in lines].count("bus.subscribed") == 2


def test_an_outage_of_the_bus_is_said_once_for_each_cause_however_often_it_is_tried() -> None:
    watch = BusWatch(structlog.get_logger())
    connected = [watch.connected]
    with capture_logs() as lines:
        for cause in ("tls", "login") * 3:
            watch.lost(UnreachableError("gone", cause=cause))
        watch.subscribed("memory")
        connected.append(watch.connected)
        for _ in range(5):
            watch.lost(UnreachableError("gone"))
        connected.append(watch.connected)
    assert connected == [False, True, False]
    assert [line["event"] for line in lines] == ["bus.lost", "bus.lost", "bus.subscribed", "bus.lost"]


@pytest.mark.concurrency
async def test_a_second_central_stands_by_and_takes_over_when_the_first_ends(
    opened: Callable[[Clock], Engine], tmp_path: Path
) -> None:
    clock = Pace(PACE)
    world = World(opened(clock), clock, tmp_path)
    store = Store("downtown", clock=clock)
    async with AsyncExitStack() as running:
        end_first = await running.enter_async_context(world.central("a"))
        await until(lambda: world.leases.owner(LEASE) == "a")
        await running.enter_async_context(world.central("b"))
        await running.enter_async_context(world.at_work(store, pace=PACE))
        await until(lambda: drained(store))
        end_first()
        await until(lambda: world.leases.owner(LEASE) == "b")
        store.trade(10)
        await until(lambda: drained(store))
        await until(lambda: world.status("b")["shards"] == [0])
    assert archived(world.engine, "downtown") == store.bodies
    assert world.leases.owner(LEASE) is None
    with reading(world.engine) as connection:
        assert list_shards(connection)[0].holder == "b"


@pytest.mark.concurrency
@pytest.mark.fault_tolerance
async def test_leases_that_a_broker_forgot_go_to_one_central_and_the_other_gives_way(
    opened: Callable[[Clock], Engine], tmp_path: Path
) -> None:
    clock = Pace(PACE)
    world = World(opened(clock), clock, tmp_path)
    store = Store("downtown", clock=clock)
    async with world.central("a"), world.at_work(store, pace=PACE):
        await until(lambda: drained(store))
        world.leases.free(LEASE)
        world.leases.hold(LEASE, "b", 3_600_000)
        minted(world.engine, "b", Random(3))
        with capture_logs() as lines:
            store.trade(1)
            await until(lambda: "lease.lost" in [line["event"] for line in lines])
            await until(lambda: world.status("a")["shards"] == [])
        assert archived(world.engine, "downtown") == store.bodies[:-1]
        world.leases.free(LEASE)
        await until(lambda: drained(store))
    assert archived(world.engine, "downtown") == store.bodies


@pytest.mark.concurrency
async def test_a_central_that_was_paused_past_its_lease_commits_nothing_more(
    engine: Engine, clock: ManualClock
) -> None:
    """The paused one is not asked to look at its clock: it had looked just before it stood still."""
    admitted(engine, "downtown")
    leases = MemoryLeases(clock)
    centrals = {}
    for name in ("paused", "other"):

        async def mint(_shard: int, name: str = name) -> str:
            return minted(engine, name, Random(name))

        centrals[name] = Leases(
            MemoryLocks(leases),
            mint,
            shards=[0],
            namespace=NAMESPACE,
            owner=name,
            clock=clock,
            log=structlog.get_logger(),
        )
    store = Store("downtown", clock=clock)
    assert await centrals["paused"].tick(1) == 1
    paused = serving(engine, centrals["paused"].fences()[0], clock=clock)
    paused.open()
    store.hear(paused.round(store.says()))
    in_its_hands = store.says()
    clock.advance(LEASE_TTL_S)
    assert await centrals["other"].tick(1) == 1
    with pytest.raises(FenceLostError):
        paused.round(in_its_hands)
    assert archived(engine, "downtown") == []
    assert centrals["paused"].fences() == {}
    other = serving(engine, centrals["other"].fences()[0], clock=clock)
    other.open()
    clock.advance(3.0)
    store.talk(other)
    assert archived(engine, "downtown") == store.bodies
    assert await centrals["paused"].tick(1) == 1
    assert centrals["paused"].fences() == {}


@pytest.mark.business
async def test_a_store_that_waits_is_served_once_another_process_admits_it(
    opened: Callable[[Clock], Engine], tmp_path: Path
) -> None:
    clock = Pace(PACE)
    world = World(opened(clock), clock, tmp_path)
    store = Store("downtown", clock=clock)

    def waits() -> bool:
        with reading(world.engine) as connection:
            return [(row.store, row.status) for row in list_stores(connection)] == [("downtown", "pending")]

    async with world.central("a", admit_any=False), world.at_work(store, pace=PACE):
        await until(waits)
        assert archived_events(world.engine) == 0

        def admits() -> bool:
            # Here whoever finds the database locked is told so at once, and central writes, too.
            with suppress(BusyError):
                admitted(world.engine, "downtown")
                return True
            return False

        await until(admits)
        await until(lambda: drained(store))
    assert archived(world.engine, "downtown") == store.bodies


@pytest.mark.metrics
async def test_what_a_central_says_of_itself(opened: Callable[[Clock], Engine], tmp_path: Path) -> None:
    clock = Pace(PACE)
    world = World(opened(clock), clock, tmp_path)
    store = Store("downtown", clock=clock)
    async with world.central("a"), world.at_work(store, pace=PACE):
        await until(lambda: (tmp_path / "a.json").exists() and world.status("a")["latency_ms"] is not None)
        status = world.status("a")
    assert {name: status[name] for name in ("holder", "broker", "connected", "namespace", "shards")} == {
        "holder": "a",
        "broker": "a",
        "connected": True,
        "namespace": NAMESPACE,
        "shards": [0],
    }
    counts = status["counts"]
    assert isinstance(counts, dict)
    assert counts["events"] == 2

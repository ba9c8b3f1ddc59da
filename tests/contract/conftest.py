"""Every implementation under one contract, each with the same handles for its outages."""

from __future__ import annotations

import contextlib
import random
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from invctl.bus.faults import Faults, FaultyWire
from invctl.bus.memory import MemoryBroker, MemoryBus
from invctl.bus.redis import RedisBus
from invctl.clock import ManualClock
from invctl.locks.memory import MemoryLeases, MemoryLocks
from invctl.locks.redis import RedisLocks
from invctl.redis_connection import RedisLimits
from tests.contract.leases import holder
from tests.layers import guarded, layered
from tests.proxy import Proxy
from tests.servers import Broker, fake_broker, real_broker, shared_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from invctl.bus.contract import EventBus
    from invctl.locks.contract import LockManager

PATIENT = RedisLimits(connect_s=30, call_s=30, silence_s=30, pong_s=30, backoff_first_s=0.01, backoff_max_s=0.05)
"""Nothing ends for being slow, on however busy a machine."""


@dataclass(frozen=True)
class BusUnderTest:
    """`connect` opens one more client, which is closed in the end. `deliver` lets everything under way arrive.

    `interrupt` ends every connection; `cut_off` also refuses new ones, until `heal`.
    """

    connect: Callable[[], EventBus]
    deliver: Callable[[], None]
    interrupt: Callable[[], Awaitable[None]]
    cut_off: Callable[[], Awaitable[None]]
    heal: Callable[[], Awaitable[None]]
    namespace: str


@dataclass(frozen=True)
class LocksUnderTest:
    """`connect` opens one more client, which is closed in the end. `run_out` lets a lease of that many seconds end.

    `cut_off` ends every connection and refuses new ones, until `heal`.
    """

    connect: Callable[[], LockManager]
    run_out: Callable[[str, float], Awaitable[None]]
    cut_off: Callable[[], Awaitable[None]]
    heal: Callable[[], Awaitable[None]]
    namespace: str


@pytest.fixture(scope="session")
def fake_url() -> Iterator[str]:
    with fake_broker() as url:
        yield url


@pytest.fixture(scope="session")
def real_url() -> Iterator[str]:
    with shared_broker() as url:
        yield url


@pytest.fixture
def broker() -> Iterator[Broker]:
    with real_broker() as running:
        yield running


@pytest.fixture
def namespace() -> str:
    return f"test-{secrets.token_hex(8)}"


@pytest.fixture(params=["memory", "memory_reordering", "memory_layered", "fakeredis", "redis", "redis_layered"])
async def bus_under_test(request: pytest.FixtureRequest, namespace: str) -> AsyncIterator[BusUnderTest]:
    async with contextlib.AsyncExitStack() as opened:
        if request.param.startswith("memory"):
            under_test = memory_bus(opened, namespace, reordering=request.param == "memory_reordering")
        else:
            url = request.getfixturevalue("fake_url" if request.param == "fakeredis" else "real_url")
            under_test = redis_bus(opened, namespace, await opened.enter_async_context(Proxy(url)))
        if request.param.endswith("_layered"):
            connect = under_test.connect
            under_test = replace(under_test, connect=lambda: layered(connect()))
        yield under_test


def memory_bus(opened: contextlib.AsyncExitStack, namespace: str, *, reordering: bool) -> BusUnderTest:
    clock = ManualClock()
    faults = Faults(reorder=0.5, delay=0.5)
    broker = MemoryBroker(clock, FaultyWire(faults, random.Random(1)) if reordering else None)

    def connect() -> EventBus:
        bus = MemoryBus(broker)
        opened.push_async_callback(bus.close)
        return bus

    def deliver() -> None:
        clock.advance(faults.delay_max_s + faults.reorder_max_s)
        broker.deliver_due()

    async def stop() -> None:
        broker.stop()

    async def start() -> None:
        broker.start()

    async def interrupt() -> None:
        broker.stop()
        broker.start()

    return BusUnderTest(connect, deliver, interrupt, stop, start, namespace)


def redis_bus(opened: contextlib.AsyncExitStack, namespace: str, line: Proxy) -> BusUnderTest:
    def connect() -> EventBus:
        bus = RedisBus(line.url, rng=random.Random(1), limits=PATIENT)
        opened.push_async_callback(bus.close)
        return bus

    return BusUnderTest(connect, lambda: None, line.cut, line.refuse, line.heal, namespace)


@pytest.fixture(params=["memory", "memory_layered", "fakeredis", "redis", "redis_layered"])
async def locks_under_test(request: pytest.FixtureRequest, namespace: str) -> AsyncIterator[LocksUnderTest]:
    async with contextlib.AsyncExitStack() as opened:
        if request.param.startswith("memory"):
            under_test = memory_locks(opened, namespace)
        else:
            url = request.getfixturevalue("fake_url" if request.param == "fakeredis" else "real_url")
            under_test = redis_locks(opened, namespace, await opened.enter_async_context(Proxy(url)))
        if request.param.endswith("_layered"):
            connect = under_test.connect
            under_test = replace(under_test, connect=lambda: guarded(connect()))
        yield under_test


def memory_locks(opened: contextlib.AsyncExitStack, namespace: str) -> LocksUnderTest:
    clock = ManualClock()
    leases = MemoryLeases(clock)
    clients: list[MemoryLocks] = []

    def connect() -> LockManager:
        clients.append(MemoryLocks(leases))
        opened.push_async_callback(clients[-1].close)
        return clients[-1]

    async def run_out(_name: str, ttl_s: float) -> None:
        clock.advance(ttl_s)

    async def cut_off() -> None:
        for client in clients:
            client.cut_off()

    async def heal() -> None:
        for client in clients:
            client.heal()

    return LocksUnderTest(connect, run_out, cut_off, heal, namespace)


def redis_locks(opened: contextlib.AsyncExitStack, namespace: str, line: Proxy) -> LocksUnderTest:
    def connect() -> LockManager:
        locks = RedisLocks(line.url, limits=PATIENT)
        opened.push_async_callback(locks.close)
        return locks

    watcher = connect()

    async def run_out(name: str, _ttl_s: float) -> None:
        while await holder(watcher, name) is not None:
            pass

    return LocksUnderTest(connect, run_out, line.refuse, line.heal, namespace)

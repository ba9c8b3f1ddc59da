"""Head office and its stores for these tests: the real database, server and Shipper; ledgers and bus in memory."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from random import Random
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import func, select

from central import tables
from central.database import open_database, reading, writing
from central.fence import mint
from central.latency import Latencies
from central.migrations import migrate
from central.shard_server import Frame, ShardServer
from central.shards import found
from central.stores import admit
from invctl.bus.contract import Subscribed
from invctl.clock import SystemClock
from invctl.errors import UnreachableError
from invctl.sync import channels, frames
from invctl.sync.shipper import Link, Shipper
from tests.integration.central.histories import History
from tests.simulation.outbox import MemoryOutbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy import Engine
    from structlog.typing import FilteringBoundLogger

    from central.shard_server import Reply
    from invctl.bus.contract import EventBus
    from invctl.clock import Clock
    from invctl.model.stock import StockLevel

NAMESPACE = "test"
SKUS = ["MOUSE-001", "LAPTOP-001", "KEYBOARD-001"]


def found_database(folder: Path, clock: Clock | None = None) -> Engine:
    engine = open_database(f"sqlite:///{folder / 'central.db'}", clock=clock or SystemClock(), create=True)
    migrate(engine)
    with writing(engine) as connection:
        found(connection)
        connection.commit()
    return engine


def minted(engine: Engine, holder: str = "test", chance: Random | None = None) -> str:
    with writing(engine) as connection:
        fence = mint(connection, 0, holder, chance or Random(1))
        connection.commit()
    return fence


def admitted(engine: Engine, *stores: str) -> None:
    with writing(engine) as connection:
        for store in stores:
            admit(connection, store)
        connection.commit()


def archived(engine: Engine, store: str) -> list[bytes]:
    table = tables.archive.c
    with reading(engine) as connection:
        return list(connection.execute(select(table.body).where(table.store == store).order_by(table.seq)).scalars())


def archived_events(engine: Engine) -> int:
    with reading(engine) as connection:
        return int(connection.execute(select(func.count()).select_from(tables.archive)).scalar_one())


def serving(
    engine: Engine,
    fence: str,
    *,
    clock: Clock,
    admit_any: bool = False,
    latencies: Latencies | None = None,
    log: FilteringBoundLogger | None = None,
) -> ShardServer:
    return ShardServer(
        engine,
        0,
        fence,
        admit_any=admit_any,
        latencies=latencies or Latencies(),
        clock=clock,
        chance=Random(2),
        log=log or structlog.get_logger(),
    )


class Store:
    """A store whose ledger is in memory, with the real sending side."""

    def __init__(self, name: str, *, clock: Clock, seed: int = 1) -> None:
        self.name = name
        self.clock = clock
        self.history = History(Random(seed), name)
        self.outbox = MemoryOutbox(name)
        self.shipper = Shipper(self.outbox, acked_seq=0, chance=Random(seed), now_s=clock.monotonic_s())
        self.changed = asyncio.Event()
        self.history.created()
        self.history.adjust(dict.fromkeys(SKUS, 50))
        self._ship()

    @property
    def bodies(self) -> list[bytes]:
        return self.outbox.bodies

    @property
    def acked_seq(self) -> int:
        return self.shipper.state.acked_seq

    @property
    def link(self) -> Link:
        return self.shipper.state.link

    def trade(self, events: int) -> None:
        for _ in range(events):
            self.history.random_step(SKUS)
        self._ship()

    def adjust(self, sku: str, change: int) -> None:
        self.history.adjust({sku: change})
        self._ship()

    def states(self, **other: StockLevel) -> None:
        """State all levels, some of which are said to be others."""
        self.history.state(**other)
        self._ship()

    def write(self, body: bytes) -> None:
        self.history.raw(body)
        self._ship()

    def _ship(self) -> None:
        self.outbox.append(*self.history.bodies[len(self.outbox.bodies) :])
        self.changed.set()

    # Hand to hand, in step with a manual clock.

    def says(self) -> list[Frame]:
        """What the store has to say now."""
        return [Frame(self.name, payload) for payload in self.shipper.poll(self.clock.monotonic_s())]

    def hear(self, replies: Sequence[Reply]) -> list[frames.DownFrame]:
        """Take in the frames that are for this store, and return them."""
        mine = [payload for store, payload in replies if store == self.name]
        for payload in mine:
            self.shipper.receive(payload, self.clock.monotonic_s())
        return [frames.decode_down(payload) for payload in mine]

    def talk(self, server: ShardServer) -> None:
        """Let this store and the server talk until neither has anything new to say."""
        while said := self.says():
            self.hear(server.round(said))

    # Over a bus, as the daemon does it.

    async def run(self, bus: EventBus, pace: float = 1.0) -> None:
        """Say what is due when it is due. `pace`: seconds of the clock that go by in one of the loop's."""
        wake = self.changed

        async def listen() -> None:
            async with aclosing(bus.subscribe([channels.down(NAMESPACE, self.name)])) as arrivals:
                async for arrival in arrivals:
                    now_s = self.clock.monotonic_s()
                    if isinstance(arrival, Subscribed):
                        self.shipper.subscribed(now_s)
                    else:
                        self.shipper.receive(arrival.payload, now_s)
                    wake.set()

        async def speak() -> None:
            while True:
                wake.clear()
                for frame in self.says():
                    try:
                        await bus.publish(channels.up(NAMESPACE, self.name), frame.payload)
                    except UnreachableError:
                        self.shipper.publish_failed()
                        break
                due_s = max(self.shipper.due_s() - self.clock.monotonic_s(), 0.0) / pace
                # Not wait_for, which may swallow a cancellation: https://github.com/python/cpython/issues/86296
                with suppress(TimeoutError):
                    async with asyncio.timeout(due_s):
                        await wake.wait()

        async with asyncio.TaskGroup() as both:
            both.create_task(listen())
            both.create_task(speak())


class Pace:
    """A clock on which time flies: `pace` seconds in one of the machine's."""

    def __init__(self, pace: float) -> None:
        self.pace = pace
        self._machine = SystemClock()
        self._start_s = self._machine.monotonic_s()
        self._start_us = self._machine.now_us()

    def monotonic_s(self) -> float:
        return (self._machine.monotonic_s() - self._start_s) * self.pace

    def now_us(self) -> int:
        return self._start_us + round(self.monotonic_s() * 1_000_000)


async def until(condition: Callable[[], bool], every_s: float = 0.002) -> None:
    """Wait for a condition that nobody announces. The test's own time limit ends what never comes."""
    loop = asyncio.get_running_loop()
    while not condition():
        looked = asyncio.Event()
        loop.call_later(every_s, looked.set)
        await looked.wait()

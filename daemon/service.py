"""All couriers of one process: one connection to the bus, one set of jobs."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from daemon.courier import Courier
from daemon.home import Home
from daemon.metrics import StoreCollector
from invctl.bus.contract import Subscribed
from invctl.clock import format_time
from invctl.errors import RefusedError
from invctl.runtime.health import Health
from invctl.runtime.jobs import Jobs
from invctl.runtime.status import write_status
from invctl.sync import channels

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path
    from random import Random

    from structlog.typing import FilteringBoundLogger

    from invctl.bus.contract import EventBus
    from invctl.clock import Clock
    from invctl.errors import UnreachableError
    from invctl.runtime.breaker import Breaker

LOOK_EVERY_S = 1.0
EXPIRE_EVERY_S = 1.0
MEASURE_EVERY_S = 1.0
EXAMINE_EVERY_S = 60.0


class Service:
    """The daemon of one or many stores."""

    def __init__(
        self, *, namespace: str, clock: Clock, chance: Random, log: FilteringBoundLogger, breaker: Breaker
    ) -> None:
        """Begin with no store; `hold` takes hold of their folders.

        `breaker` is the one that the bus publishes through: it is shown in `status`, and asked for readiness.
        """
        self._namespace = namespace
        self._clock = clock
        self._chance = chance
        self._log = log
        self._homes: list[Home] = []
        self._couriers: dict[str, Courier] = {}
        self._connection = "connecting"
        self._why = self._hint = ""
        self._bus_name = ""
        self._breaker = breaker
        breaker.on_change(self._write_status)
        self._said: dict[str, Any] = {}
        self._watched_at: Callable[[], str | None] = lambda: None
        self.meter = StoreCollector(clock)
        self.health = Health(clock)
        self.health.add_check("bus", self._why_no_bus)
        self.health.add_check("breaker", breaker.why_not)
        self.health.add_fact("stores", self._links)
        self._since = format_time(clock.now_us())

    def hold(self, paths: Sequence[Path]) -> None:
        """Take hold of the stores' folders. Raises as `Home` does, and then holds none."""
        try:
            for path in paths:
                self._homes.append(Home(path))
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go of the folders."""
        for home in self._homes:
            home.close()
        self._homes.clear()

    def hurry(self) -> None:
        """Wait no longer for a ledger that another process holds: the daemon is about to end."""
        for courier in self._couriers.values():
            courier.hurry()

    def watched_at(self, url: Callable[[], str | None]) -> None:
        """Let `url` say where this process can be watched, for `status`; None while it cannot."""
        self._watched_at = url

    def bus_lost(self, error: UnreachableError) -> None:
        """Note that the bus cannot be reached, and why: logged once, until it is back."""
        if self._connection != "lost":
            self._log.warning("bus.lost", error=error)
        if (self._connection, self._why) != ("lost", error.message):
            self._connection, self._why, self._hint = "lost", error.message, error.hint
            self._write_status()

    async def run(self, stop: asyncio.Event, bus: EventBus) -> None:
        """Serve the stores until `stop` is set. Raises RefusedError where two folders hold the same store."""
        self._bus_name = bus.name
        jobs = Jobs(self._log, clock=self._clock)
        try:
            for home in self._homes:
                self._join(Courier(home, bus, self._namespace, clock=self._clock, chance=self._chance, log=self._log))
            self._write_status()
            self._log.info("daemon.started", stores=len(self._couriers), broker=bus.name, pid=os.getpid())
            self._schedule(jobs)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._listen(bus)), group.create_task(self.health.beats())]
                tasks += [group.create_task(courier.run()) for courier in self._couriers.values()]
                await jobs.run(stop)
                for task in tasks:
                    task.cancel()
            for courier in self._couriers.values():
                await courier.remember()
        finally:
            for courier in self._couriers.values():
                courier.close()
            self._log.info("daemon.stopped")

    def _join(self, courier: Courier) -> None:
        if courier.store in self._couriers:
            courier.close()
            raise RefusedError(f"two folders hold store {courier.store}", hint="one of them is a copy: serve only one")
        self._couriers[courier.store] = courier

    def _schedule(self, jobs: Jobs) -> None:
        jobs.add("look", LOOK_EVERY_S, lambda: self._each(Courier.look))
        jobs.add("expire", EXPIRE_EVERY_S, lambda: self._each(Courier.expire))
        jobs.add("measure", MEASURE_EVERY_S, self._measure)
        jobs.add("examine", EXAMINE_EVERY_S, lambda: self._each(Courier.examine))

    async def _each(self, tick: Callable[[Courier], Coroutine[Any, Any, int]]) -> int:
        return sum(await asyncio.gather(*(tick(courier) for courier in self._couriers.values())))

    async def _measure(self) -> int:
        """Look how far each store is, for those who watch, and say how it stands where that has changed."""
        self.meter.note([courier.measure() for courier in self._couriers.values()])
        self._write_status()
        return len(self._couriers)

    def _why_no_bus(self) -> str | None:
        if self._connection == "connected":
            return None
        return self._why or f"not connected to {self._bus_name or 'the broker'} yet"

    def _links(self) -> dict[str, str]:
        # Asked on another thread: a copy cannot change while it is walked through.
        return {store: courier.state.link.value for store, courier in self._couriers.copy().items()}

    async def _listen(self, bus: EventBus) -> None:
        stores = {channels.down(self._namespace, store): courier for store, courier in self._couriers.items()}
        async with aclosing(bus.subscribe(list(stores))) as arrivals:
            async for arrival in arrivals:
                if isinstance(arrival, Subscribed):
                    self._on_subscribed()
                elif courier := stores.get(arrival.channel):
                    courier.receive(arrival.payload)

    def _on_subscribed(self) -> None:
        self._connection, self._why, self._hint = "connected", "", ""
        self._log.info("bus.subscribed", broker=self._bus_name)
        self._write_status()
        for courier in self._couriers.values():
            courier.subscribed()

    def _write_status(self) -> None:
        status = {
            "pid": os.getpid(),
            "since": self._since,
            "broker": self._bus_name,
            "connection": self._connection,
            "why": self._why,
            "hint": self._hint,
            "breaker": self._breaker.status().as_dict(),
            "metrics": self._watched_at(),
            "stores": sorted(self._couriers),
        }
        if status == self._said:
            return
        self._said = status
        for home in self._homes:
            write_status(home.status_path, status)

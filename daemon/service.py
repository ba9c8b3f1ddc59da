"""All couriers of one process: one connection to the bus, one set of jobs."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from daemon.courier import Courier
from daemon.home import Home
from daemon.metrics import StoreCollector
from invctl.bus.contract import Subscribed
from invctl.clock import format_time
from invctl.errors import InventoryError, RefusedError, UnreachableError
from invctl.runtime.health import Health
from invctl.runtime.jobs import Jobs
from invctl.runtime.status import touch_status, write_status
from invctl.runtime.watch import Where
from invctl.sync import channels

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path
    from random import Random

    from structlog.typing import FilteringBoundLogger

    from invctl.bus.contract import EventBus
    from invctl.clock import Clock
    from invctl.runtime.breaker import Breaker
    from invctl.runtime.spans import Spans

LOOK_EVERY_S = 1.0
EXPIRE_EVERY_S = 1.0
MEASURE_EVERY_S = 1.0
EXAMINE_EVERY_S = 60.0
LEFT_OUT_EVERY_S = 10.0
CHECKPOINT_EVERY_S = 60.0
"""Looked at so often; how often there is one, `invctl.ledger.checkpoints` says."""


class Service:
    """The daemon of one or many stores."""

    def __init__(
        self,
        *,
        namespace: str,
        clock: Clock,
        chance: Random,
        log: FilteringBoundLogger,
        breaker: Breaker,
        spans: Spans | None = None,
    ) -> None:
        """Begin with no store; `hold` takes hold of their folders.

        `breaker` is the one that the bus publishes through: it is shown in `status`, and asked for readiness.
        `spans` is where the spans of events go.
        """
        self._namespace = namespace
        self._clock = clock
        self._chance = chance
        self._log = log
        self._homes: list[Home] = []
        self._left_out: dict[Path, InventoryError] = {}
        self._couriers: dict[str, Courier] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._listening: asyncio.Task[None]
        self._connection = "connecting"
        self._why = self._hint = ""
        self._lost_by = set[str]()
        self._bus_name = ""
        self._breaker = breaker
        self._spans = spans
        breaker.on_change(self._write_status)
        self._said: dict[str, Any] | None = {}
        self._watched_at: Callable[[], Where] = Where
        self.meter = StoreCollector(clock)
        self.health = Health(clock)
        self.health.add_check("bus", self._why_no_bus)
        self.health.add_check(f"{breaker.name}_breaker", breaker.why_not)
        self.health.add_check("stores", self._why_not_all)
        self.health.add_fact("stores", self._links)
        self._since = format_time(clock.now_us())

    def hold(self, paths: Sequence[Path]) -> None:
        """Take hold of the stores' folders.

        One that cannot be held, or not be opened later, is left out and tried again: it must not stop the others.
        Raises as `Home` does where none can be held.
        """
        for path in paths:
            try:
                self._homes.append(Home(path))
            except InventoryError as error:
                self._leave_out(path, error)
        if not self._homes:
            raise next(iter(self._left_out.values()))

    def release(self) -> None:
        """Let go of the folders."""
        for home in self._homes:
            home.close()
        self._homes.clear()

    def hurry(self) -> None:
        """Wait no longer for a ledger that another process holds: the daemon is about to end."""
        for courier in self._couriers.values():
            courier.hurry()

    def watched_at(self, where: Callable[[], Where]) -> None:
        """Let `where` say where this process can be watched, or why it cannot, for `status`."""
        self._watched_at = where

    def bus_lost(self, error: UnreachableError) -> None:
        """Note that the bus cannot be reached, and why: logged once for each cause, until it is back."""
        cause = str(error.details.get("cause"))
        # Whoever has mended a certificate is told of the password that is wrong besides.
        if cause not in self._lost_by:
            self._log.warning("bus.lost", error=error)
            self._lost_by.add(cause)
        if (self._connection, self._why) != ("lost", error.message):
            self._connection, self._why, self._hint = "lost", error.message, error.hint
            self._write_status()

    async def run(self, stop: asyncio.Event, bus: EventBus) -> None:
        """Serve the stores until `stop` is set.

        Raises RefusedError where two folders hold the same store, and what the ledger raises where none can be opened.
        """
        self._bus_name = bus.name
        jobs = Jobs(self._log, clock=self._clock)
        try:
            for home in list(self._homes):
                if courier := self._opened(home, bus):
                    self._join(courier)
            if not self._couriers:
                raise next(iter(self._left_out.values()))
            self._write_status()
            self._log.info(
                "daemon.started",
                stores=len(self._couriers),
                broker=bus.name,
                namespace=self._namespace,
                pid=os.getpid(),
            )
            self._schedule(jobs)
            async with asyncio.TaskGroup() as group:
                self._tasks = [group.create_task(courier.run()) for courier in self._couriers.values()]
                self._tasks.append(group.create_task(self.health.beats()))
                self._listening = group.create_task(self._listen(bus))
                jobs.add("left_out", LEFT_OUT_EVERY_S, partial(self._take_in, group, bus))
                await jobs.run(stop)
                for task in [*self._tasks, self._listening]:
                    task.cancel()
            for courier in self._couriers.values():
                await courier.remember()
        finally:
            for courier in self._couriers.values():
                courier.close()
            self._log.info("daemon.stopped")

    def _opened(self, home: Home, bus: EventBus) -> Courier | None:
        """Open a store's ledger; let go of the folder of one that cannot be opened: it may be mended meanwhile."""
        try:
            return Courier(
                home,
                bus,
                self._namespace,
                clock=self._clock,
                chance=self._chance,
                log=self._log,
                waited=self.meter.waited,
                spans=self._spans,
            )
        except InventoryError as error:
            self._let_go(home, error)
            return None

    def _let_go(self, home: Home, error: InventoryError) -> None:
        self._homes.remove(home)
        home.close()
        self._leave_out(home.path, error)

    def _leave_out(self, path: Path, error: InventoryError) -> None:
        known = self._left_out.get(path)
        if known is None or known.message != error.message:
            self._log.error("store.left_out", home=str(path), error=error)
        self._left_out[path] = error

    async def _take_in(self, group: asyncio.TaskGroup, bus: EventBus) -> int:
        """Try the folders that were left out again. Returns how many stores came."""
        come = []
        for path in list(self._left_out):
            try:
                self._homes.append(home := Home(path))
            except InventoryError as error:
                self._leave_out(path, error)
                continue
            courier = self._opened(home, bus)
            if courier is None:
                continue
            try:
                self._join(courier)
            except RefusedError as error:
                self._let_go(home, error)
                continue
            del self._left_out[path]
            come.append(courier)
        if come:
            self._log.info("stores.joined", stores=[courier.store for courier in come])
            self._tasks += [group.create_task(courier.run()) for courier in come]
            # A subscription has the channels that it began with.
            self._listening.cancel()
            self._listening = group.create_task(self._listen(bus))
        return len(come)

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
        jobs.add("checkpoint", CHECKPOINT_EVERY_S, self._checkpoint)

    async def _each(self, tick: Callable[[Courier], Coroutine[Any, Any, int]]) -> int:
        # All of them, before one that failed is told.
        ticks = [tick(courier) for courier in self._couriers.values()]
        done = await asyncio.gather(*ticks, return_exceptions=True)
        for each in done:
            if isinstance(each, BaseException):
                raise each
        return sum(each for each in done if isinstance(each, int))

    async def _checkpoint(self) -> int:
        """Let the stores state their levels, one after the other: to sum up many takes the processor's time."""
        done, failed = 0, None
        for courier in list(self._couriers.values()):
            try:
                done += await courier.checkpoint()
            except (InventoryError, OSError) as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return done

    async def _measure(self) -> int:
        """Look how far each store is, for those who watch, and say how it stands where that has changed."""
        measures = []
        for courier in self._couriers.values():
            # What it is, is told as the store's trouble.
            with suppress(InventoryError):
                measures.append(courier.measure())
        self.meter.note(measures)
        self._write_status()
        return len(measures)

    def _troubles(self) -> dict[str, str]:
        """Return which stores are not served, by id or folder, and why."""
        troubles = {str(path): error.message for path, error in self._left_out.copy().items()}
        for store, courier in self._couriers.copy().items():
            if courier.trouble is not None:
                troubles[store] = courier.trouble.message
        return troubles

    def _why_not_all(self) -> str | None:
        told = "; ".join(f"{name}: {why}" for name, why in self._troubles().items())
        return f"not served: {told}" if told else None

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
        self._lost_by.clear()
        self._log.info("bus.subscribed", broker=self._bus_name)
        self._write_status()
        for courier in self._couriers.values():
            courier.subscribed()

    def _write_status(self) -> None:
        where = self._watched_at()
        status = {
            "pid": os.getpid(),
            "since": self._since,
            "broker": self._bus_name,
            "namespace": self._namespace,
            "connection": self._connection,
            "why": self._why,
            "hint": self._hint,
            "breaker": self._breaker.status().as_dict(),
            "metrics": where.url,
            "metrics_trouble": where.why_not,
            "stores": sorted(self._couriers),
            "not_served": self._troubles(),
        }
        if status == self._said:
            for home in self._homes.copy():
                touch_status(home.status_path)
            return
        try:
            for home in self._homes:
                write_status(home.status_path, status)
        except UnreachableError as error:
            if self._said is not None:
                self._log.warning("status.not_written", error=error)
            self._said = None
        else:
            self._said = status

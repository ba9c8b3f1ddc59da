"""Head office's service: strives for the leases of its shards, and serves those that it holds."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from central.database import describe, reading
from central.disk import free_bytes
from central.fence import FenceLostError, take_over
from central.latency import Latencies
from central.leases import LEASE_TTL_S, Leases
from central.metrics import Sight
from central.presence import Presence
from central.reads import list_stores
from central.shard_server import ShardServer
from central.shards import list_shards, slots_of
from central.spans import OfficeSpans
from central.subscriber import Subscriber
from invctl import __version__
from invctl.clock import format_time
from invctl.errors import InventoryError, RefusedError, UnreachableError
from invctl.runtime.jobs import Jobs
from invctl.runtime.status import write_status

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from sqlalchemy import Engine
    from structlog.typing import FilteringBoundLogger

    from central.bus_watch import BusWatch
    from central.views import StoreRow
    from central.watching import Watching
    from invctl.bus.contract import EventBus
    from invctl.clock import Clock
    from invctl.locks.contract import LockManager
    from invctl.runtime.spans import Spans

LEASES_EVERY_S = 0.5
UPKEEP_EVERY_S = 1.0
STATUS_EVERY_S = 1.0
MEASURE_EVERY_S = 2.0
RELEASE_S = 0.5
MINT_WAIT_S = 0.5
"""For the row of one shard: meanwhile no other lease is renewed."""


class Service:
    """One central: its database, bus and locks, and a subscriber for each shard that it holds."""

    def __init__(
        self,
        engine: Engine,
        bus: EventBus,
        locks: LockManager,
        *,
        shards: int,
        namespace: str,
        owner: str,
        predecessor: str,
        admit_any: bool,
        status_path: Path,
        watch: BusWatch,
        clock: Clock,
        chance: Random,
        log: FilteringBoundLogger,
        watching: Watching,
        spans: Spans | None = None,
        lease_ttl_s: float = LEASE_TTL_S,
    ) -> None:
        """Prepare; `run` begins.

        Args:
            engine: central's database, of which the schema is current.
            bus: carries frames.
            locks: hold the leases.
            shards: how many the database was founded with.
            namespace: what the names of channels and leases begin with.
            owner: a name that no other process has, shown to people.
            predecessor: the owner that is known to be dead, or nothing.
            admit_any: admit whoever speaks: for a demo.
            status_path: where to write what `status` shows.
            watch: is told by `bus` when it is lost.
            clock: the machine's.
            chance: draws fences and tokens, and spreads attempts.
            log: told of everything.
            watching: told how it stands, for those who watch it.
            spans: where the spans of events go.
            lease_ttl_s: for how long a lease lasts, and this central is counted as living, unless it is renewed.

        """
        self._engine = engine
        self._bus = bus
        self._shards = shards
        self._namespace = namespace
        self._owner = owner
        self._admit_any = admit_any
        self._status_path = status_path
        self._watch = watch
        self._clock = clock
        self._chance = chance
        self._log = log
        self._subscribers: dict[int, tuple[str, Subscriber]] = {}
        self._ended_counts: Counter[str] = Counter()
        self._watching = watching
        watching.hears_by(watch.why_not)
        self._latencies = Latencies(watching.meter)
        self._spans = OfficeSpans(spans, namespace) if spans else None
        self._since = format_time(clock.now_us())
        self._leases = Leases(
            locks,
            self._mint,
            shards=range(shards),
            namespace=namespace,
            owner=owner,
            clock=clock,
            log=log,
            predecessor=predecessor,
            ttl_s=lease_ttl_s,
            on_lost=watching.meter.lost,
        )
        self._presence = Presence(
            engine,
            shards=shards,
            holder=owner,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            ttl_s=lease_ttl_s,
            clock=clock,
            log=log,
            predecessor=predecessor,
        )
        watching.sees(
            Sight(self._leases.fences, lambda: self._presence.living, shards, partial(free_bytes, status_path.parent))
        )
        self._refusal: RefusedError | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set.

        Raises RefusedError, maybe in a group, where the database is damaged, or was upgraded for a newer program.
        """
        self._log.info(
            "central.started",
            pid=os.getpid(),
            holder=self._owner,
            broker=self._bus.name,
            namespace=self._namespace,
            database=describe(self._engine),
            shards=self._shards,
        )
        try:
            async with asyncio.TaskGroup() as group:
                jobs = Jobs(self._log, clock=self._clock)
                jobs.add("leases", LEASES_EVERY_S, partial(self._follow_leases, group, stop))
                jobs.add("upkeep", UPKEEP_EVERY_S, self._upkeep)
                jobs.add("status", STATUS_EVERY_S, self._write_status)
                jobs.add("measure", MEASURE_EVERY_S, self._measure)
                beats = group.create_task(self._watching.health.beats())
                await jobs.run(stop)
                beats.cancel()
                for _, subscriber in self._subscribers.values():
                    subscriber.stop()
        finally:
            await self._leave()
            self._log.info("central.stopped")
        if self._refusal:
            raise self._refusal

    async def _mint(self, shard: int) -> str:
        return await asyncio.to_thread(self._mint_now, shard)

    def _mint_now(self, shard: int) -> str:
        fence, ended = take_over(self._engine, shard, self._owner, self._chance, wait_s=MINT_WAIT_S)
        if ended:
            self._log.warning("lease.cut_off", shard=shard, sessions=ended)
        return fence

    async def _follow_leases(self, group: asyncio.TaskGroup, stop: asyncio.Event) -> int:
        """Hold our share of the shards, and let exactly those be served that are ours.

        The locks are asked before we are seen: so nobody counts on a central that cannot hold a lease.
        """
        try:
            changes = await self._tick_leases(group)
            self._presence.metrics = self._watching.url
            if await self._presence.tick(self._leases.fences()):
                changes += await self._tick_leases(group)
        except RefusedError as error:
            self._refusal = error
            stop.set()
            return 0
        except InventoryError as error:
            self._watching.answered("leases", error)
            raise
        self._watching.answered("leases")
        return changes

    async def _tick_leases(self, group: asyncio.TaskGroup) -> int:
        try:
            return await self._leases.tick(self._presence.share())
        finally:
            fences = self._leases.fences()
            for shard, (fence, subscriber) in list(self._subscribers.items()):
                if fences.get(shard) != fence:
                    subscriber.stop()
                    del self._subscribers[shard]
            for shard in fences.keys() - self._subscribers.keys():
                subscriber = self._subscriber(shard, fences[shard])
                self._subscribers[shard] = fences[shard], subscriber
                group.create_task(self._serve(shard, fences[shard], subscriber))

    def _subscriber(self, shard: int, fence: str) -> Subscriber:
        log = self._log.bind(shard=shard)
        server = ShardServer(
            self._engine,
            shard,
            fence,
            admit_any=self._admit_any,
            latencies=self._latencies,
            clock=self._clock,
            chance=self._chance,
            log=log,
            spans=self._spans,
        )
        return Subscriber(
            server,
            bus=self._bus,
            namespace=self._namespace,
            slots=slots_of(shard, self._shards),
            is_ours=partial(self._leases.holds, shard, fence),
            on_subscribed=partial(self._watch.subscribed, self._bus.name),
            chance=self._chance,
            log=log,
        )

    async def _serve(self, shard: int, fence: str, subscriber: Subscriber) -> None:
        try:
            await subscriber.run()
        except* FenceLostError:
            self._leases.fence_lost(shard, fence)
        finally:
            self._ended_counts += subscriber.all_counts
        # Whoever the shard is handed over to takes it now: the last round is committed, and answered.
        await self._leases.ended(shard, fence)

    async def _upkeep(self) -> int:
        done = 0
        for shard, (fence, subscriber) in list(self._subscribers.items()):
            try:
                done += await subscriber.upkeep()
            except FenceLostError:
                self._leases.fence_lost(shard, fence)
        return done

    async def _measure(self) -> int:
        """Look how far it is with the stores of its shards, for those who watch; it shows whether the database answers.

        Each central shows its own stores, so that no store is shown twice.
        """
        self._watching.meter.note_work(self._counts())
        try:
            stores, positions = await asyncio.to_thread(self._read_stores)
        except InventoryError as error:
            self._watching.answered("database", error)
            raise
        self._watching.answered("database")
        self._watching.meter.note_stores(stores, positions)
        return len(stores)

    def _read_stores(self) -> tuple[list[StoreRow], dict[int, int]]:
        with reading(self._engine) as connection:
            positions = {each.shard: each.position for each in list_shards(connection)}
            return list_stores(connection), positions

    def _counts(self) -> Counter[str]:
        counts = self._ended_counts.copy()
        for _, subscriber in self._subscribers.values():
            counts += subscriber.all_counts
        return counts

    async def _write_status(self) -> int:
        """Say how it stands, for the command that asks."""
        status: dict[str, Any] = {
            "pid": os.getpid(),
            "holder": self._owner,
            "since": self._since,
            "broker": self._bus.name,
            "connected": self._watch.connected,
            "namespace": self._namespace,
            "shards": sorted(self._subscribers),
            "share": self._presence.share(),
            "centrals": self._presence.living,
            "latency_ms": self._latencies.quantiles(),
            "counts": dict(sorted(self._counts().items())),
            **self._watching.told(),
        }
        write_status(self._status_path, status)
        return 1

    async def _leave(self) -> None:
        """Be gone for the others, who then share what was ours, and end our leases, so that they can."""
        # Where database or broker are gone, both end by their time.
        with suppress(TimeoutError, InventoryError):
            async with asyncio.timeout(RELEASE_S):
                await asyncio.to_thread(self._presence.end)
        with suppress(TimeoutError, UnreachableError):
            async with asyncio.timeout(RELEASE_S):
                await self._leases.release_all()

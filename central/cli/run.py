"""`invcentral run`: put head office's service together, and run it until a signal."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

from typer import Context, Exit, Option

from central.bus_watch import BusWatch
from central.cli.command import opened, settings
from central.database import hurry, reading
from central.home import Home
from central.migrations import require_current
from central.service import Service
from central.shards import shard_count
from central.watching import Watching
from invctl import __version__
from invctl.bus.middleware.stack import wrapped
from invctl.bus.middleware.trace import current_trace
from invctl.bus.redis import RedisBus
from invctl.clock import SystemClock
from invctl.console.exits import exit_code
from invctl.console.options import shared
from invctl.errors import InventoryError
from invctl.locks.middleware import GuardedLocks
from invctl.locks.redis import RedisLocks
from invctl.redis_connection import RedisLimits
from invctl.runtime.breaker import Breaker, Patience
from invctl.runtime.logs import LogFormat, LogLevel, configure, format_for
from invctl.runtime.manager import ServiceManager
from invctl.runtime.process import run_until_signal
from invctl.runtime.spans import spans_of
from invctl.runtime.watch import BusMeter, new_registry, watched
from invctl.sync.telling import describe, trace_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from invctl.errors import UnreachableError

LOCK_LIMITS = RedisLimits(connect_s=1.0, call_s=1.0)
"""Short beside a lease's time, so that a renewal without an answer is tried again, several times, before its end."""


def run(
    ctx: Context,
    admit_any: Annotated[bool, Option("--admit-any", help="Admit every store that speaks. For demos.")] = False,
    redis_url: Annotated[str | None, Option("--redis-url", metavar="URL", help="The broker.")] = None,
    namespace: Annotated[str | None, Option("--namespace", help="What every channel's name begins with.")] = None,
    metrics_port: Annotated[
        str | None, Option("--metrics-port", metavar="PORT", help="To be watched on: 0 is any free one, or off.")
    ] = None,
    metrics_host: Annotated[
        str | None, Option("--metrics-host", metavar="ADDRESS", help="By default this machine alone can watch.")
    ] = None,
    log_format: Annotated[LogFormat | None, Option("--log-format", help="By default console on a terminal.")] = None,
    log_level: Annotated[LogLevel, Option("--log-level", help="The least that is logged.")] = "info",
) -> None:
    """Serve the stores, in the foreground, until SIGTERM or Ctrl-C. One central a home.

    For example:

        invcentral run
        invcentral run --redis-url redis://office:6379/0 --log-format json
    """
    chosen = settings(
        ctx, redis_url=redis_url, namespace=namespace, metrics_port=metrics_port, metrics_host=metrics_host
    )
    chance, clock = random.SystemRandom(), SystemClock()
    owner = f"{socket.gethostname()}:{os.getpid()}:{chance.getrandbits(32):08x}"
    # A holder that stands still inside a transaction is cut off well before its lease ends.
    idle_s = chosen.lease_ttl_s / 2
    with Home(chosen.home, owner) as held, opened(chosen.database_url, idle_in_transaction_s=idle_s) as engine:
        require_current(engine)
        with reading(engine) as connection:
            shards = shard_count(connection)
        log = configure("invcentral", fmt=log_format, level=log_level, context=current_trace(trace_of))
        watch = BusWatch(log)
        bus_breaker = Breaker("bus", clock=clock, chance=chance, log=log)
        # Its longest wait is well below a lease's time: what was away for a moment costs no lease.
        haste = Patience(first_s=chosen.lease_ttl_s / 40, max_s=chosen.lease_ttl_s / 10)
        locks_breaker = Breaker("leases", clock=clock, chance=chance, log=log, patience=haste)
        breakers = [
            bus_breaker,
            locks_breaker,
            *_guarded(engine, Breaker("database", clock=clock, chance=chance, log=log)),
        ]
        watching = Watching(clock, breakers)
        registry = new_registry("invcentral", __version__, watching.health, breakers)
        watching.meter.register(registry)
        meter = BusMeter()
        registry.register(meter)

        manager = ServiceManager.following(watching.health, os.environ, clock)

        def lost(error: UnreachableError) -> None:
            meter.lost()
            watch.lost(error)

        bus = wrapped(
            RedisBus(chosen.redis_url, rng=chance, on_lost=lost),
            breaker=bus_breaker,
            meter=meter,
            log=log,
            describe=describe,
            clock=clock,
        )
        locks = GuardedLocks(
            RedisLocks(chosen.redis_url, limits=LOCK_LIMITS), breaker=locks_breaker, meter=watching.meter
        )
        spans = spans_of("invcentral", __version__, os.environ, log)
        service = Service(
            engine,
            bus,
            locks,
            shards=shards,
            namespace=chosen.namespace,
            owner=owner,
            predecessor=held.predecessor,
            admit_any=admit_any,
            status_path=held.status_path,
            watch=watch,
            clock=clock,
            chance=chance,
            log=log,
            watching=watching,
            spans=spans,
            lease_ttl_s=chosen.lease_ttl_s,
        )

        async def serve(stop: asyncio.Event) -> None:
            try:
                await service.run(stop)
            finally:
                await bus.close()
                await locks.close()
                if spans:
                    await asyncio.to_thread(spans.close)

        with watched(chosen.metrics, registry, watching.health, log=log) as where:
            watching.serves_at(where)
            failed: InventoryError | None = None
            try:
                code = run_until_signal(serve, log=log, on_stop=partial(manager.stopping, partial(hurry, engine)))
            except InventoryError as error:
                if (log_format or format_for(sys.stderr)) != "json" or shared(ctx, "output"):
                    raise
                failed, code = error, exit_code(error)
        if failed is not None:
            # Whoever reads the log reads JSON up to the last line.
            log.error("central.failed", error=failed)
    raise Exit(code)


def _guarded(engine: Engine, breaker: Breaker) -> list[Breaker]:
    """Put a breaker before the database where that is a server. Returns those that are in use."""
    if engine.dialect.name != "postgresql":
        return []
    from central.postgres import guard_connecting  # noqa: PLC0415 - the driver may not be installed

    guard_connecting(engine, breaker)
    return [breaker]

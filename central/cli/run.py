"""`invcentral run`: put head office's service together, and run it until a signal."""

from __future__ import annotations

import os
import random
import socket
from functools import partial
from typing import TYPE_CHECKING, Annotated

from typer import Context, Exit, Option

from central.cli.command import opened, settings
from central.database import hurry, reading
from central.home import Home
from central.migrations import require_current
from central.service import BusWatch, Service
from central.shards import shard_count
from invctl.bus.redis import RedisBus
from invctl.clock import SystemClock
from invctl.locks.redis import RedisLocks
from invctl.redis_connection import RedisLimits
from invctl.runtime.logs import LogFormat, LogLevel, configure
from invctl.runtime.process import run_until_signal

if TYPE_CHECKING:
    import asyncio

LOCK_LIMITS = RedisLimits(connect_s=1.0, call_s=1.0)
"""Short beside a lease's time, so that a renewal without an answer is tried again, several times, before its end."""


def run(
    ctx: Context,
    admit_any: Annotated[bool, Option("--admit-any", help="Admit every store that speaks. For demos.")] = False,
    redis_url: Annotated[str | None, Option("--redis-url", metavar="URL", help="The broker.")] = None,
    namespace: Annotated[str | None, Option("--namespace", help="What every channel's name begins with.")] = None,
    log_format: Annotated[LogFormat | None, Option("--log-format", help="By default console on a terminal.")] = None,
    log_level: Annotated[LogLevel, Option("--log-level", help="The least that is logged.")] = "info",
) -> None:
    """Serve the stores, in the foreground, until SIGTERM or Ctrl-C. One central a home.

    For example:

        invcentral run
        invcentral run --redis-url redis://office:6379/0 --log-format json
    """
    chosen = settings(ctx, redis_url=redis_url, namespace=namespace)
    chance, clock = random.SystemRandom(), SystemClock()
    owner = f"{socket.gethostname()}:{os.getpid()}:{chance.getrandbits(32):08x}"
    # A holder that stands still inside a transaction is cut off well before its lease ends.
    idle_s = chosen.lease_ttl_s / 2
    with Home(chosen.home, owner) as held, opened(chosen.database_url, idle_in_transaction_s=idle_s) as engine:
        require_current(engine)
        with reading(engine) as connection:
            shards = shard_count(connection)
        log = configure("invcentral", fmt=log_format, level=log_level)
        watch = BusWatch(log)
        bus = RedisBus(chosen.redis_url, rng=chance, on_lost=watch.lost)
        locks = RedisLocks(chosen.redis_url, limits=LOCK_LIMITS)
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
            lease_ttl_s=chosen.lease_ttl_s,
        )

        async def serve(stop: asyncio.Event) -> None:
            try:
                await service.run(stop)
            finally:
                await bus.close()
                await locks.close()

        code = run_until_signal(serve, log=log, on_stop=partial(hurry, engine))
    raise Exit(code)

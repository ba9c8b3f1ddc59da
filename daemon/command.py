"""`invd run`: put the daemon together, and run it until a signal."""

from __future__ import annotations

import asyncio
import os
import random
from functools import partial
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Context, Exit, Option

from daemon.service import Service
from invctl import __version__
from invctl.bus.middleware.stack import wrapped
from invctl.bus.middleware.trace import current_trace
from invctl.bus.redis import RedisBus
from invctl.clock import SystemClock
from invctl.errors import InvalidValueError, NotFoundError
from invctl.ledger.ledger import FILE
from invctl.runtime.breaker import Breaker
from invctl.runtime.logs import LogFormat, LogLevel, configure
from invctl.runtime.manager import ServiceManager
from invctl.runtime.process import run_until_signal
from invctl.runtime.spans import spans_of
from invctl.runtime.watch import BusMeter, new_registry, watched
from invctl.settings import folder, home_of, load, oddities
from invctl.sync.telling import describe, trace_of

if TYPE_CHECKING:
    from pathlib import Path

    from invctl.errors import UnreachableError
    from invctl.settings import StoreSettings


def run_stores(
    ctx: Context,  # noqa: ARG001 - the command class reads it
    homes: Annotated[
        list[str] | None, Argument(metavar="HOME", help="A store's folder; by default INVCTL_HOME or ~/.invctl.")
    ] = None,
    stores: Annotated[str | None, Option("--stores", metavar="DIR", help="Serve every store's folder in DIR.")] = None,
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
    """Serve one or many stores, in the foreground, until SIGTERM or Ctrl-C.

    Example: invd run --stores /srv/stores --redis-url redis://office:6379/0
    """
    given = {
        "redis_url": redis_url,
        "namespace": namespace,
        "metrics_port": metrics_port,
        "metrics_host": metrics_host,
    }
    settings = [load(home, os.environ, **given) for home in _homes(homes or [], stores)]
    shared = _shared(settings)
    log = configure("invd", fmt=log_format, level=log_level, context=current_trace(trace_of))
    for each in settings:
        for warning in oddities(each.home):
            log.warning("settings.ignored", warning=warning)
    chance, clock = random.SystemRandom(), SystemClock()
    breaker = Breaker("bus", clock=clock, chance=chance, log=log)
    spans = spans_of("invd", __version__, os.environ, log)
    service = Service(namespace=shared.namespace, clock=clock, chance=chance, log=log, breaker=breaker, spans=spans)
    registry = new_registry("invd", __version__, service.health, [breaker])
    service.meter.register(registry)
    meter = BusMeter()
    registry.register(meter)

    manager = ServiceManager.following(service.health, os.environ, clock)

    def lost(error: UnreachableError) -> None:
        meter.lost()
        service.bus_lost(error)

    service.hold([each.home for each in settings])
    try:

        async def serve(stop: asyncio.Event) -> None:
            bus = wrapped(
                RedisBus(shared.redis_url, rng=chance, on_lost=lost),
                breaker=breaker,
                meter=meter,
                log=log,
                describe=describe,
                clock=clock,
            )
            try:
                await service.run(stop, bus)
            finally:
                await bus.close()
                if spans:
                    await asyncio.to_thread(spans.close)

        with watched(shared.metrics, registry, service.health, log=log) as where:
            service.watched_at(where)
            code = run_until_signal(serve, log=log, on_stop=partial(manager.stopping, service.hurry))
    finally:
        service.release()
    raise Exit(code)


def _homes(named: list[str], stores: str | None) -> list[Path]:
    """Return the folders to serve. Raises NotFoundError where `stores` holds none."""
    homes = [folder(name) for name in named]
    if stores:
        found = sorted(path.parent for path in folder(stores).glob(f"*/{FILE}"))
        if not found:
            raise NotFoundError(
                f"there is no store's folder in {stores}", hint="`invctl init STORE --home DIR` makes one"
            )
        homes += found
    return list(dict.fromkeys(homes)) or [home_of(None, os.environ)]


def _shared(settings: list[StoreSettings]) -> StoreSettings:
    """Return the settings that all share. Raises InvalidValueError where they differ in what one daemon has once."""
    if len({(each.redis_url, each.namespace) for each in settings}) > 1:
        raise InvalidValueError(
            "these stores name different brokers or namespaces",
            hint="run one invd for each broker, or say which with --redis-url and --namespace",
        )
    if len({each.metrics for each in settings}) > 1:
        raise InvalidValueError(
            "these stores name different ports for metrics", hint="say which with --metrics-port and --metrics-host"
        )
    return settings[0]

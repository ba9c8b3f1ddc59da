"""What a daemon shows to those who watch it: `/metrics` for Prometheus, `/livez` and `/readyz`.

The names of the metrics that both daemons have begin with `invctl_`; `docs/operations.md` lists all of them.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from invctl.runtime.breaker import State
from invctl.runtime.http import Answer, HttpServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from structlog.typing import FilteringBoundLogger

    from invctl.runtime.breaker import Breaker
    from invctl.runtime.health import Health
    from invctl.settings import Listen

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Buckets of what usually takes less than a millisecond, and at most as long as its time limit."""


def new_registry(process: str, version: str, health: Health, breakers: Sequence[Breaker]) -> CollectorRegistry:
    """Return a registry with what every daemon shows: build, process, event loop, and breakers."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    build = Gauge("invctl_build_info", "Always 1; the labels say what runs.", ["process", "version"], registry=registry)
    build.labels(process, version).set(1)
    still = Gauge("invctl_loop_stands_still_seconds", "Since the event loop last turned.", registry=registry)
    still.set_function(health.stands_still_s)
    ready = Gauge("invctl_ready", "1 where /readyz says so, else 0.", registry=registry)
    ready.set_function(lambda: float(health.readiness()[0]))
    registry.register(BreakerCollector(breakers))
    return registry


class BreakerCollector(Collector):
    """How the circuit breakers of a process stand."""

    def __init__(self, breakers: Sequence[Breaker]) -> None:
        """Ask these breakers at each scrape."""
        self._breakers = breakers

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        state = GaugeMetricFamily(
            "invctl_breaker_state", "1 for the state that the breaker is in, else 0.", labels=["breaker", "state"]
        )
        failures = GaugeMetricFamily("invctl_breaker_failures", "Failures in a row.", labels=["breaker"])
        opened = CounterMetricFamily("invctl_breaker_opened", "How often it opened.", labels=["breaker"])
        refused = CounterMetricFamily("invctl_breaker_refused_calls", "Calls not attempted.", labels=["breaker"])
        for breaker in self._breakers:
            now = breaker.status()
            for each in State:
                state.add_metric([now.name, each.value], float(now.state is each))
            failures.add_metric([now.name], now.failures)
            opened.add_metric([now.name], now.opened)
            refused.add_metric([now.name], now.refused)
        yield from (state, failures, opened, refused)


class BusMeter:
    """Counts what a bus carries. It is a `Meter` of `invctl.bus.middleware.measure`."""

    CAUSES = ("breaker_open", "deadline", "timeout", "connection", "login", "permission", "refused", "closed")

    def __init__(self, registry: CollectorRegistry) -> None:
        """Show the counts in `registry`."""
        self._published = Counter("invctl_bus_published_messages", "Messages that the broker took.", registry=registry)
        self._published_bytes = Counter("invctl_bus_published_bytes", "Their bytes.", registry=registry)
        self._failures = Counter(
            "invctl_bus_publish_failures", "Publishes that failed, by cause.", ["cause"], registry=registry
        )
        for cause in (*self.CAUSES, "other"):
            self._failures.labels(cause)
        self._seconds = Histogram(
            "invctl_bus_publish_seconds",
            "How long the broker took to take a message.",
            buckets=SECONDS,
            registry=registry,
        )
        self._received = Counter("invctl_bus_received_messages", "Messages that arrived.", registry=registry)
        self._received_bytes = Counter("invctl_bus_received_bytes", "Their bytes.", registry=registry)
        self._subscribed = Counter("invctl_bus_subscriptions", "Subscriptions confirmed.", registry=registry)
        self._lost = Counter(
            "invctl_bus_losses", "Subscriptions lost, and attempts that failed to get one back.", registry=registry
        )

    def published(self, size: int, seconds: float) -> None:
        """Count a publish that the broker took."""
        self._published.inc()
        self._published_bytes.inc(size)
        self._seconds.observe(seconds)

    def publish_failed(self, cause: str) -> None:
        """Count a publish that failed. A cause that is not among the known ones is `other`."""
        self._failures.labels(cause if cause in self.CAUSES else "other").inc()

    def received(self, size: int) -> None:
        """Count a message that arrived."""
        self._received.inc()
        self._received_bytes.inc(size)

    def subscribed(self) -> None:
        """Count a confirmed subscription."""
        self._subscribed.inc()

    def lost(self) -> None:
        """Count a subscription that was lost, or an attempt to get it back that failed."""
        self._lost.inc()


def watch_server(
    listen: Listen, registry: CollectorRegistry, health: Health, *, log: FilteringBoundLogger
) -> HttpServer:
    """Return a server of the three paths, not started."""

    def metrics() -> Answer:
        return Answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry))

    routes: dict[str, Callable[[], Answer]] = {
        "/metrics": metrics,
        "/livez": lambda: _told(*health.liveness()),
        "/readyz": lambda: _told(*health.readiness()),
    }
    return HttpServer(routes, listen, log=log)


@contextmanager
def watched(
    listen: Listen | None, registry: CollectorRegistry, health: Health, *, log: FilteringBoundLogger
) -> Iterator[Callable[[], str | None]]:
    """Let the process be watched for the time of the block, unless `listen` is None. Gives what tells where."""
    if listen is None:
        yield lambda: None
        return
    server = watch_server(listen, registry, health, log=log)
    server.start()
    try:
        yield lambda: server.url
    finally:
        server.stop()


def gauges(name: str, text: str, label: str, values: Iterable[tuple[str, float | None]]) -> GaugeMetricFamily:
    """Return a family of gauges with one label. What is None is not known, and so not shown."""
    family = GaugeMetricFamily(name, text, labels=[label])
    for of, value in values:
        if value is not None:
            family.add_metric([of], value)
    return family


def _told(good: bool, record: dict[str, Any]) -> Answer:
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, "application/json", (json.dumps(record) + "\n").encode())

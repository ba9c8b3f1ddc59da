"""What a daemon shows to those who watch it: `/metrics` for Prometheus, `/livez` and `/readyz`.

The names of the metrics that both daemons have begin with `invctl_`; `docs/operations.md` lists all of them.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from contextlib import contextmanager
from http import HTTPStatus
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
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


class Where(NamedTuple):
    """Where a process can be watched, or why it cannot; neither where it is not to be."""

    url: str | None = None
    why_not: str | None = None


def new_registry(process: str, version: str, health: Health, breakers: Sequence[Breaker]) -> CollectorRegistry:
    """Return a registry with what every daemon shows: build, process, event loop, and breakers."""
    # For each counter another series that says since when it counts: `process_start_time_seconds` does for all.
    disable_created_metrics()  # type: ignore[no-untyped-call] # the library's signature lacks its type
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


class Tally:
    """A histogram of plain numbers, as each message and each event counts: the library's take a lock for each.

    One thread counts at a time; any may look.
    """

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        """Begin with nothing. `bounds` are the upper ends of the buckets, which another without an end follows."""
        self._name = name
        self._text = text
        self._bounds = bounds
        self._buckets = [0] * (len(bounds) + 1)
        self._sum = 0.0

    @property
    def total(self) -> int:
        """How many were counted."""
        return sum(self._buckets)

    def count(self, value: float) -> None:
        """Count a value."""
        self._sum += value
        self._buckets[bisect_left(self._bounds, value)] += 1

    def family(self) -> HistogramMetricFamily:
        """Return what is shown of it."""
        counts = accumulate(self._buckets)
        buckets = list(zip([*map(str, self._bounds), "+Inf"], counts, strict=True))
        return HistogramMetricFamily(self._name, self._text, buckets=buckets, sum_value=self._sum)


class BusMeter(Collector):
    """Counts what a bus carries, on one thread. It is a `Meter` of `invctl.bus.middleware.measure`.

    Plain numbers, as each publish counts: those of the library take a lock each.
    """

    CAUSES = ("breaker_open", "deadline", "timeout", "connection", "login", "permission", "refused", "closed", "other")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._published_bytes = 0
        self._publishing = Tally("invctl_bus_publish_seconds", "How long the broker took to take a message.", SECONDS)
        self._failures = dict.fromkeys(self.CAUSES, 0)
        self._received = self._received_bytes = 0
        self._subscribed = self._lost = 0

    def published(self, size: int, seconds: float) -> None:
        """Count a publish that the broker took."""
        self._published_bytes += size
        self._publishing.count(seconds)

    def publish_failed(self, cause: str) -> None:
        """Count a publish that failed. A cause that is not among the known ones is `other`."""
        self._failures[cause if cause in self._failures else "other"] += 1

    def received(self, size: int) -> None:
        """Count a message that arrived."""
        self._received += 1
        self._received_bytes += size

    def subscribed(self) -> None:
        """Count a confirmed subscription."""
        self._subscribed += 1

    def lost(self) -> None:
        """Count a subscription that was lost, or an attempt to get it back that failed."""
        self._lost += 1

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        yield _counter("published_messages", "Messages that the broker took.", self._publishing.total)
        yield _counter("published_bytes", "Their bytes.", self._published_bytes)
        yield self._publishing.family()
        failures = CounterMetricFamily(
            "invctl_bus_publish_failures", "Publishes that failed, by cause.", labels=["cause"]
        )
        for cause, count in self._failures.items():
            failures.add_metric([cause], count)
        yield failures
        yield _counter("received_messages", "Messages that arrived.", self._received)
        yield _counter("received_bytes", "Their bytes.", self._received_bytes)
        yield _counter("subscriptions", "Subscriptions confirmed.", self._subscribed)
        yield _counter("losses", "Subscriptions lost, and attempts that failed to get one back.", self._lost)


def _counter(name: str, text: str, count: float) -> CounterMetricFamily:
    family = CounterMetricFamily(f"invctl_bus_{name}", text)
    family.add_metric([], count)
    return family


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
) -> Iterator[Callable[[], Where]]:
    """Let the process be watched for the time of the block, unless `listen` is None. Gives what tells where."""
    if listen is None:
        yield Where
        return
    server = watch_server(listen, registry, health, log=log)
    server.start()
    try:
        yield lambda: Where(server.url, server.why_not)
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

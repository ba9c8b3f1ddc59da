"""What invcentral shows to Prometheus: what it did, which shards it holds, and how far it is with their stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from central.tables import ADMITTED
from invctl.runtime.watch import SECONDS, gauges

if TYPE_CHECKING:
    from collections import Counter as Counts
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from prometheus_client import CollectorRegistry

    from central.views import StoreRow
    from invctl.clock import Clock

LATENCY_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 900.0, 86_400.0)
"""From the milliseconds of a store that is connected to the day of one that was not."""

FRAMES = ("hello", "events", "unreadable")
DONE = {
    "events": ("applied_events", "Events committed."),
    "transactions": ("transactions", "Transactions that committed events."),
    "doubts": ("doubts", "Levels that came into doubt."),
    "drifts": ("drifts", "Levels that had drifted from the archive, and were rebuilt."),
    "frames_dropped": ("dropped_frames", "Frames for which there was no room: they are sent again."),
    "replies_dropped": ("dropped_replies", "Answers that the broker did not take: they are asked for again."),
}
ODD = (
    "bytes_do_not_hash",
    "clock_set_back",
    "damaged",
    "duplicate",
    "foreign",
    "gap",
    "misfit",
    "other_ledger",
    "too_many_newcomers",
    "unknown_version",
)


class Work(NamedTuple):
    """What a central has done so far, and what it holds now: the shards, with the last position of each."""

    counts: Counts[str]
    positions: Mapping[int, int]
    centrals: int


class OfficeCollector(Collector):
    """One central. Its service tells it what is new; ages are worked out when they are asked for."""

    def __init__(self, clock: Clock) -> None:
        """Begin with nothing done, by the clock's monotonic time."""
        self._clock = clock
        self._work: Work | None = None
        self._stores: tuple[Sequence[StoreRow], float] = ((), 0.0)
        self._applying = Histogram(
            "invcentral_apply_seconds",
            "How long a transaction took that committed events.",
            buckets=SECONDS,
            registry=None,
        )
        self._arriving = Histogram(
            "invcentral_event_latency_seconds",
            "From an event's time in its store to its commit here, by two clocks.",
            buckets=LATENCY_SECONDS,
            registry=None,
        )
        self._leases = Counter(
            "invcentral_lease_calls", "Calls for leases, by how they ended.", ["call", "outcome"], registry=None
        )
        for call in ("acquire", "renew", "release", "holders"):
            for outcome in ("granted", "denied", "failed"):
                self._leases.labels(call, outcome)

    def register(self, registry: CollectorRegistry) -> None:
        """Be shown in a registry."""
        for each in (self, self._applying, self._arriving, self._leases):
            registry.register(each)

    def asked(self, call: str, outcome: str) -> None:
        """Count a call for a lease. See `invctl.locks.middleware`."""
        self._leases.labels(call, outcome).inc()

    def applied(self, seconds: float) -> None:
        """Count a transaction."""
        self._applying.observe(seconds)

    def arrived(self, seconds: Iterable[float]) -> None:
        """Count events by how long each took. One from a clock that is ahead took no time."""
        for each in seconds:
            self._arriving.observe(max(each, 0.0))

    def note_work(self, work: Work) -> None:
        """Take what was done so far."""
        self._work = work

    def note_stores(self, stores: Sequence[StoreRow]) -> None:
        """Take how far it is with the stores of its shards, as of now."""
        self._stores = stores, self._clock.monotonic_s()

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        if self._work is not None:
            yield from _of_work(self._work)
        yield from _of_stores(*self._stores, self._clock.monotonic_s())


def _of_work(work: Work) -> Iterator[Metric]:
    for count, (name, text) in DONE.items():
        done = CounterMetricFamily(f"invcentral_{name}", text)
        done.add_metric([], work.counts[count])
        yield done
    frames = CounterMetricFamily("invcentral_frames", "Frames from stores, by kind.", labels=["kind"])
    for kind in FRAMES:
        frames.add_metric([kind], work.counts[f"{kind}_frames"])
    yield frames
    odd = CounterMetricFamily("invcentral_odd_frames", "Frames that were odd, by what they were.", labels=["outcome"])
    for outcome in ODD:
        odd.add_metric([outcome], work.counts[outcome])
    yield odd
    held = GaugeMetricFamily("invcentral_shards_held", "Shards that this central serves; a standby has none.")
    held.add_metric([], len(work.positions))
    yield held
    living = GaugeMetricFamily("invcentral_centrals", "Centrals that live, as this one sees them.")
    living.add_metric([], work.centrals)
    yield living
    named = ((str(shard), float(position)) for shard, position in sorted(work.positions.items()))
    yield gauges("invcentral_shard_position", "Last position in the stream of a shard that is held.", "shard", named)


def _of_stores(stores: Sequence[StoreRow], noted_s: float, now_s: float) -> Iterator[Metric]:
    admitted = [each for each in stores if each.status == ADMITTED]
    waiting = GaugeMetricFamily("invcentral_stores", "Stores of the shards held, by status.", labels=["status"])
    waiting.add_metric([ADMITTED], len(admitted))
    waiting.add_metric(["waiting"], len(stores) - len(admitted))
    yield waiting

    def of_each(name: str, text: str, values: Iterable[float | None]) -> Metric:
        named = zip((each.store for each in admitted), values, strict=True)
        return gauges(f"invcentral_store_{name}", text, "store", named)

    def age_s(then_s: float | None) -> float | None:
        return None if then_s is None else then_s + now_s - noted_s

    yield of_each("applied_seq", "The last event committed.", (each.fresh.as_of_seq for each in admitted))
    yield of_each("lag_events", "Events that the store is known to be ahead.", (each.lag for each in admitted))
    yield of_each(
        "fresh_age_seconds",
        "Up to how long ago the numbers are proved complete; absent where that was never proved.",
        (age_s(each.fresh.age_s) for each in admitted),
    )
    yield of_each("heard_age_seconds", "Since the store last spoke.", (age_s(each.fresh.heard_s) for each in admitted))
    yield of_each("suspect_skus", "Items whose level is in doubt.", (each.suspects for each in admitted))
    yield of_each(
        "diverged",
        "1 where the ledger lacks what was applied of it, else 0.",
        (float(each.fresh.lacks_seq is not None) for each in admitted),
    )

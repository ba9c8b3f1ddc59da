"""What invcentral shows to Prometheus: what it did, which shards it holds, and how far it is with their stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from central.tables import ADMITTED
from invctl.runtime.watch import SECONDS, Tally, gauges

if TYPE_CHECKING:
    from collections import Counter as Counts
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from prometheus_client import CollectorRegistry

    from central.views import StoreRow
    from invctl.clock import Clock

LATENCY_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 900.0, 86_400.0)
"""From the milliseconds of a store that is connected to the day of one that was not."""

FRAMES = ("hello", "events", "unreadable")
DONE = {
    "transactions": ("transactions", "Transactions that committed events."),
    "doubts": ("doubts", "Levels that came into doubt."),
    "checkpoints": ("checkpoints", "Checkpoints of stores that were compared."),
    "checkpoints_differing": ("differing_checkpoints", "Checkpoints that stated other levels than were here."),
    "cursors_moved": ("version_conflicts", "Transactions given up, as another had moved a store's cursor before them."),
    "transactions_failed": ("retries", "Transactions that the database did not take, to be tried again."),
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


LOST = ("ended", "denied", "fence", "minting")
"""Why a lease is lost: not renewed in time; another has it; another minted a fence; it ended while we minted one."""


class Sight(NamedTuple):
    """What a central holds and sees at this moment: asked when somebody looks, on another thread.

    What was noted before may be long ago: whoever is cut off from the database notes nothing.
    """

    held: Callable[[], Collection[int]] = tuple
    """The shards that are ours to serve."""
    living: Callable[[], int] = int
    """How many centrals live; 0 while this one is not seen itself."""
    shards: int = 0
    """How many there are in all."""
    disk_free_bytes: Callable[[], int | None] = lambda: None
    """What may still be written to the disk of its folder; None where that cannot be told."""


class OfficeCollector(Collector):
    """One central. Its service tells it what is new; ages are worked out when they are asked for."""

    def __init__(self, clock: Clock) -> None:
        """Begin with nothing done, by the clock's monotonic time."""
        self._clock = clock
        self._sight = Sight()
        self._counts: Counts[str] | None = None
        self._positions: Mapping[int, int] = {}
        self._stores: tuple[Sequence[StoreRow], float] = ((), 0.0)
        self._applying = Histogram(
            "invcentral_apply_seconds",
            "How long a transaction took that committed events.",
            buckets=SECONDS,
            registry=None,
        )
        self._arriving = Tally(
            "invctl_end_to_end_seconds",
            "From an event's time in its store to its commit here, by two clocks.",
            LATENCY_SECONDS,
        )
        self._leases = Counter(
            "invcentral_lease_calls", "Calls for leases, by how they ended.", ["call", "outcome"], registry=None
        )
        self._waiting = Histogram(
            "invcentral_lock_wait_seconds",
            "How long a call for a lease took, however it ended.",
            buckets=SECONDS,
            registry=None,
        )
        for call in ("acquire", "renew", "release", "holders"):
            for outcome in ("granted", "denied", "failed"):
                self._leases.labels(call, outcome)
        self._lost = Counter("invcentral_leases_lost", "Leases that ended while held.", ["reason"], registry=None)
        for reason in LOST:
            self._lost.labels(reason)

    def register(self, registry: CollectorRegistry) -> None:
        """Be shown in a registry."""
        for each in (self, self._applying, self._leases, self._lost, self._waiting):
            registry.register(each)

    def asked(self, call: str, outcome: str, seconds: float) -> None:
        """Count a call for a lease. See `invctl.locks.middleware`."""
        self._leases.labels(call, outcome).inc()
        self._waiting.observe(seconds)

    def lost(self, reason: str) -> None:
        """Count a lease that ended while it was held, by one of the reasons of `LOST`."""
        self._lost.labels(reason).inc()

    def sees(self, sight: Sight) -> None:
        """Let `sight` say what is held and seen, at each scrape."""
        self._sight = sight

    def applied(self, seconds: float) -> None:
        """Count a transaction."""
        self._applying.observe(seconds)

    def arrived(self, seconds: Sequence[float]) -> None:
        """Count events by how long each took. One from a clock that is ahead took no time."""
        for each in seconds:
            self._arriving.count(max(each, 0.0))

    def note_work(self, counts: Counts[str]) -> None:
        """Take what was done so far."""
        self._counts = counts

    def note_stores(self, stores: Sequence[StoreRow], positions: Mapping[int, int]) -> None:
        """Take how far it is with the stores, and the last position of each shard, as of now."""
        self._positions = positions
        self._stores = stores, self._clock.monotonic_s()

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        if self._counts is not None:
            yield from _of_work(self._counts)
        yield self._arriving.family()
        held = set(self._sight.held())
        yield from _of_sight(self._sight, held)
        named = ((str(shard), float(each)) for shard, each in sorted(self._positions.items()) if shard in held)
        yield gauges(
            "invcentral_shard_position", "Last position in the stream of a shard that is held.", "shard", named
        )
        stores, noted_s = self._stores
        mine = [store for store in stores if store.shard in held]
        yield from _of_stores(mine, noted_s, self._clock.monotonic_s())


def _of_work(counts: Counts[str]) -> Iterator[Metric]:
    events = CounterMetricFamily("invctl_events_applied", "Events committed.")
    events.add_metric([], counts["events"])
    yield events
    for count, (name, text) in DONE.items():
        done = CounterMetricFamily(f"invcentral_{name}", text)
        done.add_metric([], counts[count])
        yield done
    frames = CounterMetricFamily("invcentral_frames", "Frames from stores, by kind.", labels=["kind"])
    for kind in FRAMES:
        frames.add_metric([kind], counts[f"{kind}_frames"])
    yield frames
    odd = CounterMetricFamily("invcentral_odd_frames", "Frames that were odd, by what they were.", labels=["outcome"])
    for outcome in ODD:
        odd.add_metric([outcome], counts[outcome])
    yield odd


def _of_sight(sight: Sight, held: Collection[int]) -> Iterator[Metric]:
    numbers: tuple[tuple[str, str, float | None], ...] = (
        ("shards", "Shards that there are, whoever serves them.", sight.shards),
        ("shards_held", "Shards that this central serves; a standby has none.", len(held)),
        ("centrals", "Centrals that live, as this one sees them; 0 where it is not seen itself.", sight.living()),
        ("disk_free_bytes", "What may still be written to the disk of its folder.", sight.disk_free_bytes()),
    )
    for name, text, value in numbers:
        gauge = GaugeMetricFamily(f"invcentral_{name}", text)
        if value is not None:
            gauge.add_metric([], value)
        yield gauge


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
    yield of_each("open_reservations", "Reservations that are open.", (each.open_reservations for each in admitted))
    yield of_each("suspect_skus", "Items whose level is in doubt.", (each.suspects for each in admitted))
    yield of_each(
        "diverged",
        "1 where the ledger lacks what was applied of it, else 0.",
        (float(each.fresh.lacks_seq is not None) for each in admitted),
    )

"""What invd shows of its stores to Prometheus. Read once a second on the loop, shown on another thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from invctl.errors import NotEnoughStockError, NotFoundError, RefusedError, WrongStateError
from invctl.ledger.disk import DiskLowError
from invctl.ledger.writing import FrozenError
from invctl.runtime.watch import SECONDS, gauges
from invctl.sync.shipper import Link

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client import CollectorRegistry

    from invctl.clock import Clock


OTHER_REFUSAL = RefusedError.code
REFUSALS = (
    *(NotEnoughStockError.code, NotFoundError.code, WrongStateError.code),
    *(DiskLowError.code, FrozenError.code, OTHER_REFUSAL),
)


class StoreMeasure(NamedTuple):
    """One store, at one moment. Moments (`_s`) are the clock's monotonic ones; None where there is no such thing.

    `acked_s` is when the last `ack` came that the ledger agrees with, `pending_s` when the oldest event was written
    that none has covered. `outcomes` counts what became of reservations, as the ledger got it in this run, `refusals`
    what clerks were refused, by the errors' codes, and `retries` the frames that are sent again, by why.
    """

    store: str
    head_seq: int
    acked_seq: int
    link: Link
    acked_s: float | None
    pending_s: float | None
    suspects: int
    expired: int
    outcomes: Mapping[str, int]
    refusals: Mapping[str, int]
    retries: Mapping[str, int]
    disk_free_bytes: int | None


class StoreCollector(Collector):
    """The stores of one daemon. Ages are worked out when they are asked for, so they grow also where nothing moves."""

    def __init__(self, clock: Clock) -> None:
        """Begin with no store, by the clock's monotonic time."""
        self._clock = clock
        self._stores: tuple[StoreMeasure, ...] = ()
        self._waiting = Histogram(
            "invd_lock_wait_seconds",
            "How long a write of the daemon's waited for its turn, among the clerks.",
            buckets=SECONDS,
            registry=None,
        )

    def register(self, registry: CollectorRegistry) -> None:
        """Be shown in a registry."""
        registry.register(self)
        registry.register(self._waiting)

    def waited(self, seconds: float) -> None:
        """Count a turn in a ledger's queue of writers, by how long the daemon waited for it. From any thread."""
        self._waiting.observe(seconds)

    def note(self, stores: Iterable[StoreMeasure]) -> None:
        """Take what was measured of all stores."""
        self._stores = tuple(stores)

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        stores, now_s = self._stores, self._clock.monotonic_s()

        def of_each(name: str, text: str, values: Iterable[float | None]) -> Metric:
            named = zip((each.store for each in stores), values, strict=True)
            return gauges(name, text, "store", named)

        def age_s(moment_s: float | None) -> float | None:
            return None if moment_s is None else max(now_s - moment_s, 0.0)

        yield of_each("invd_head_seq", "The ledger's last event.", (each.head_seq for each in stores))
        yield of_each(
            "invd_acked_seq", "The last event that head office has acknowledged.", (e.acked_seq for e in stores)
        )
        yield of_each(
            "invctl_outbox_pending",
            "Events not acknowledged.",
            (max(each.head_seq - each.acked_seq, 0) for each in stores),
        )
        yield of_each(
            "invctl_outbox_oldest_age_seconds",
            "How long the oldest event that is not acknowledged has waited; 0 where all are.",
            (age_s(each.pending_s) or 0.0 for each in stores),
        )
        yield of_each(
            "invd_last_ack_age_seconds",
            "Since head office last acknowledged what the ledger has; absent before the first time of this run.",
            (age_s(each.acked_s) for each in stores),
        )
        yield of_each(
            "invd_suspect_skus", "Items whose level is in doubt at head office.", (e.suspects for e in stores)
        )
        yield of_each(
            "invd_disk_free_bytes",
            "What may still be written to the ledger's disk.",
            (e.disk_free_bytes for e in stores),
        )
        link = GaugeMetricFamily("invd_link_state", "1 for how head office answers, else 0.", labels=["store", "state"])
        expired = CounterMetricFamily("invd_expired_reservations", "Reservations let go.", labels=["store"])
        reservations = CounterMetricFamily(
            "invd_reservations", "Reservations made, and how they ended.", labels=["store", "outcome"]
        )
        refusals = CounterMetricFamily("invd_refusals", "What clerks were refused, by why.", labels=["store", "reason"])
        retries = CounterMetricFamily(
            "invd_retries", "Frames of events that are sent again, by why.", labels=["store", "cause"]
        )
        for each in stores:
            for reason in REFUSALS:
                refusals.add_metric([each.store, reason], each.refusals.get(reason, 0))
            for cause, count in each.retries.items():
                retries.add_metric([each.store, cause], count)
            for outcome, count in each.outcomes.items():
                reservations.add_metric([each.store, outcome], count)
            expired.add_metric([each.store], each.expired)
            for state in Link:
                link.add_metric([each.store, state.value], float(each.link is state))
        yield link
        yield expired
        yield reservations
        yield refusals
        yield retries

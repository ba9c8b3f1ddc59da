"""What invd shows of its stores to Prometheus. Read once a second on the loop, shown on another thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from invctl.runtime.watch import gauges
from invctl.sync.shipper import Link

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from invctl.clock import Clock


class StoreMeasure(NamedTuple):
    """One store, at one moment. Moments (`_s`) are the clock's monotonic ones; None where there is no such thing.

    `acked_s` is when the last `ack` came that the ledger agrees with, `pending_s` when the oldest event was written
    that none has covered. `outcomes` counts what became of reservations, as the ledger got it in this run.
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
    disk_free_bytes: int | None


class StoreCollector(Collector):
    """The stores of one daemon. Ages are worked out when they are asked for, so they grow also where nothing moves."""

    def __init__(self, clock: Clock) -> None:
        """Begin with no store, by the clock's monotonic time."""
        self._clock = clock
        self._stores: tuple[StoreMeasure, ...] = ()

    def note(self, stores: Iterable[StoreMeasure]) -> None:
        """Take what was measured of all stores."""
        self._stores = tuple(stores)

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        stores, now_s = self._stores, self._clock.monotonic_s()

        def of_each(name: str, text: str, values: Iterable[float | None]) -> Metric:
            named = zip((each.store for each in stores), values, strict=True)
            return gauges(f"invd_{name}", text, "store", named)

        def age_s(moment_s: float | None) -> float | None:
            return None if moment_s is None else max(now_s - moment_s, 0.0)

        yield of_each("head_seq", "The ledger's last event.", (each.head_seq for each in stores))
        yield of_each("acked_seq", "The last event that head office has acknowledged.", (e.acked_seq for e in stores))
        yield of_each(
            "pending_events", "Events not acknowledged.", (max(each.head_seq - each.acked_seq, 0) for each in stores)
        )
        yield of_each(
            "oldest_pending_age_seconds",
            "How long the oldest event that is not acknowledged has waited; 0 where all are.",
            (age_s(each.pending_s) or 0.0 for each in stores),
        )
        yield of_each(
            "last_ack_age_seconds",
            "Since head office last acknowledged what the ledger has; absent before the first time of this run.",
            (age_s(each.acked_s) for each in stores),
        )
        yield of_each("suspect_skus", "Items whose level is in doubt at head office.", (e.suspects for e in stores))
        yield of_each(
            "disk_free_bytes", "What may still be written to the ledger's disk.", (e.disk_free_bytes for e in stores)
        )
        link = GaugeMetricFamily("invd_link_state", "1 for how head office answers, else 0.", labels=["store", "state"])
        expired = CounterMetricFamily("invd_expired_reservations", "Reservations let go.", labels=["store"])
        reservations = CounterMetricFamily(
            "invd_reservations", "Reservations made, and how they ended.", labels=["store", "outcome"]
        )
        for each in stores:
            for outcome, count in each.outcomes.items():
                reservations.add_metric([each.store, outcome], count)
            expired.add_metric([each.store], each.expired)
            for state in Link:
                link.add_metric([each.store, state.value], float(each.link is state))
        yield link
        yield expired
        yield reservations

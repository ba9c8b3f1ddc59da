"""How long transactions take, and events from a store's ledger to central's."""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLES_MAX = 2048


class Meter(Protocol):
    """What keeps the measures of all time."""

    def applied(self, seconds: float) -> None:
        """Count a transaction."""
        ...

    def arrived(self, seconds: Sequence[float]) -> None:
        """Count events, by how long each took. One thread at a time."""
        ...


class Latencies:
    """The latencies of the latest events that were committed: a bounded window, with exact quantiles.

    Several threads may use it.
    """

    def __init__(self, meter: Meter | None = None) -> None:
        """Begin with none. What is noted here, `meter` is told, too."""
        self._meter = meter
        self._samples_ms: deque[float] = deque(maxlen=SAMPLES_MAX)
        self._lock = threading.Lock()

    def note(self, times_us: Sequence[int], committed_us: int) -> None:
        """Take in events by their own times, which were committed at this moment.

        Their time is the store's clock, so what the two clocks differ by is in the result.
        """
        with self._lock:
            self._samples_ms.extend([(committed_us - time_us) / 1000 for time_us in times_us[-SAMPLES_MAX:]])
            if self._meter:
                self._meter.arrived([(committed_us - time_us) / 1_000_000 for time_us in times_us])

    def committed(self, seconds: float) -> None:
        """Take in how long a transaction took."""
        if self._meter:
            self._meter.applied(seconds)

    def quantiles(self) -> dict[str, float] | None:
        """Return the median and the 99th percentile in milliseconds as `p50` and `p99`; None before any event."""
        with self._lock:
            ordered = sorted(self._samples_ms)
        if not ordered:
            return None
        return {name: round(_nearest_rank(ordered, share), 1) for name, share in (("p50", 0.5), ("p99", 0.99))}


def _nearest_rank(ordered: Sequence[float], share: float) -> float:
    return ordered[math.ceil(share * len(ordered)) - 1]

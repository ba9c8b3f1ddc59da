"""How long transactions take, and events from a store's ledger to central's."""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

from invctl.clock import parse_time
from invctl.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SAMPLES_MAX = 2048
_TIME_KEY = b'"time":"'


class Meter(Protocol):
    """What keeps the measures of all time."""

    def applied(self, seconds: float) -> None:
        """Count a transaction."""
        ...

    def arrived(self, seconds: Iterable[float]) -> None:
        """Count events, by how long each took."""
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

    def note(self, bodies: Sequence[bytes], committed_us: int) -> None:
        """Take in events that were committed at this moment. One whose time cannot be read is left out.

        Their time is the store's clock, so what the two clocks differ by is in the result.
        """
        times_us = [time_us for body in bodies[-SAMPLES_MAX:] if (time_us := _time_us(body)) is not None]
        with self._lock:
            self._samples_ms.extend((committed_us - time_us) / 1000 for time_us in times_us)
        if self._meter:
            self._meter.arrived((committed_us - time_us) / 1_000_000 for time_us in times_us)

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


def _time_us(body: bytes) -> int | None:
    """Return an event's time without parsing the rest.

    In canonical bytes the keys are sorted, and no text holds a bare quotation mark: what comes last is the key itself.
    """
    _, key, rest = body.rpartition(_TIME_KEY)
    if not key:
        return None
    try:
        return parse_time(rest.partition(b'"')[0].decode())
    except (InvalidValueError, UnicodeDecodeError):
        return None

"""Time is handed in.

Instants are whole microseconds since 1970-01-01 UTC (`_us`), durations are seconds (`_s`).
Their written form is RFC 3339 in UTC with six decimals, so that text sorts as time does.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

from invctl.errors import InvalidValueError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NAIVE = _EPOCH.replace(tzinfo=None)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """What tells the time."""

    def now_us(self) -> int:
        """Wall-clock time, in microseconds since the epoch. May jump."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary moment. Never runs back."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Wall-clock time, in microseconds since the epoch."""
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        """Seconds since the machine started, or some other fixed moment."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is moved: the twin for tests and simulations."""

    def __init__(self, start_us: int = 1_767_225_600_000_000) -> None:
        """Start at `start_us`, by default 2026-01-01."""
        self._wall_us = start_us
        self._monotonic_s = 0.0

    def now_us(self) -> int:
        """Wall-clock time, in microseconds since the epoch."""
        return self._wall_us

    def monotonic_s(self) -> float:
        """Seconds that `advance` has been given in all."""
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self._wall_us += round(seconds * 1_000_000)
        self._monotonic_s += seconds

    def shift_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator or NTP does."""
        self._wall_us += round(seconds * 1_000_000)


def format_time(instant_us: int) -> str:
    """Write an instant: `2026-11-24T09:30:00.000000Z`."""
    # Not strftime, nor a moment with a time zone: twice as slow, and a ledger writes several with each event.
    return (_EPOCH_NAIVE + timedelta(0, 0, instant_us)).isoformat("T", "microseconds") + "Z"


# The events of one reservation state the same two moments, and each is read wherever it is needed.
@lru_cache(maxsize=16_384)
def parse_time(text: str) -> int:
    """Read an instant in RFC 3339, with any offset. Raises InvalidValueError, also where the offset is missing."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidValueError(f"{text!r} is not a time", hint="write it as 2026-11-24T09:30:00Z") from None
    if moment.tzinfo is None:
        raise InvalidValueError(f"{text!r} has no time zone", hint="end it with Z, or with an offset such as +01:00")
    return (moment - _EPOCH) // _MICROSECOND

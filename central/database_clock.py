"""The database's clock between two looks at it, without asking it for each frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invctl.clock import Clock


class DatabaseClock:
    """Carries the database's time forward by the monotonic clock. What freshness means is measured on it alone."""

    def __init__(self, clock: Clock) -> None:
        """Go by this machine's wall clock until the database was asked."""
        self._clock = clock
        self.set(clock.now_us())

    def set(self, now_us: int) -> None:
        """Take the database's word for what time it is now."""
        self._base_us = now_us
        self._base_s = self._clock.monotonic_s()

    def now_us(self) -> int:
        """Return the time by the database's clock, in microseconds since the epoch."""
        return self._base_us + round((self._clock.monotonic_s() - self._base_s) * 1_000_000)

"""The database's clock between two looks at it, without asking it for each frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invctl.clock import Clock

JITTER_US = 1_000_000
"""An answer may be this old when it comes. A clock that is further behind was set back."""


class DatabaseClock:
    """Carries the database's time forward by the monotonic clock. What freshness means is measured on it alone.

    It stands still rather than run back, unless the database's own clock was set back.
    """

    def __init__(self, clock: Clock) -> None:
        """Go by this machine's wall clock until the database was asked."""
        self._clock = clock
        self._latest_us = 0
        self.set(clock.now_us())

    def set(self, now_us: int) -> None:
        """Take the database's word for what time it is now."""
        self._base_us = now_us
        self._base_s = self._clock.monotonic_s()

    def now_us(self) -> int:
        """Return the time by the database's clock, in microseconds since the epoch."""
        now_us = self._base_us + round((self._clock.monotonic_s() - self._base_s) * 1_000_000)
        if not self._latest_us - JITTER_US <= now_us < self._latest_us:
            self._latest_us = now_us
        return self._latest_us

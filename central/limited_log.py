"""A log that others may cause to be written: at most so many lines of an action, and the rest counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from invctl.clock import Clock

BURST_LINES = 20
LINES_PER_S = 1.0


class LimitedLog:
    """Writes what a store's frames, or a failing database, give cause for. Each action has its own limit.

    After a burst of 20 lines an action has one a second; the next line tells how many were left out before it.
    """

    def __init__(self, log: FilteringBoundLogger, clock: Clock) -> None:
        """Write to `log`, by the clock's monotonic time."""
        self._log = log
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def info(self, action: str, **facts: Any) -> None:
        """Write a line that is good to know."""
        self._write(self._log.info, action, facts)

    def warning(self, action: str, **facts: Any) -> None:
        """Write a line that somebody should look at."""
        self._write(self._log.warning, action, facts)

    def error(self, action: str, **facts: Any) -> None:
        """Write a line that somebody has to act on."""
        self._write(self._log.error, action, facts)

    def _write(self, write: Callable[..., Any], action: str, facts: dict[str, Any]) -> None:
        bucket = self._buckets.setdefault(action, _Bucket())
        if bucket.takes(self._clock.monotonic_s()):
            left_out = {"left_out": bucket.left_out} if bucket.left_out else {}
            bucket.left_out = 0
            write(action, **facts, **left_out)
        else:
            bucket.left_out += 1


class _Bucket:
    """A token bucket, full at first."""

    def __init__(self) -> None:
        self._tokens = float(BURST_LINES)
        self._seen_s: float | None = None
        self.left_out = 0

    def takes(self, now_s: float) -> bool:
        if self._seen_s is not None:
            self._tokens = min(self._tokens + (now_s - self._seen_s) * LINES_PER_S, BURST_LINES)
        self._seen_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

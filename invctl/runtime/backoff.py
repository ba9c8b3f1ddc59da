"""How long to wait before the next attempt."""

from __future__ import annotations

from typing import Protocol


class Random(Protocol):
    """Where chance comes from; `random.Random` is one."""

    def random(self) -> float:
        """Give a number from 0 up to, but not, 1."""
        ...


class Backoff:
    """Exponential back-off with full jitter.

    Each wait is uniform between zero and a ceiling that doubles from `base_s` to `cap_s`: of the ways to spread
    clients that failed together it takes the fewest attempts in all.
    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    def __init__(self, rng: Random, *, base_s: float = 0.1, cap_s: float = 30.0) -> None:
        """Begin at `base_s` seconds, and never wait longer than `cap_s`."""
        self._rng = rng
        self._base_s = base_s
        self._cap_s = cap_s
        self._ceiling_s = base_s

    def next_s(self) -> float:
        """Give the seconds to wait after one more failure."""
        wait_s = self._rng.random() * self._ceiling_s
        self._ceiling_s = min(self._ceiling_s * 2, self._cap_s)
        return wait_s

    def reset(self) -> None:
        """Begin again, after a success."""
        self._ceiling_s = self._base_s

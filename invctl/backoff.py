"""How long to wait before trying again."""

from __future__ import annotations

from typing import Protocol


class Random(Protocol):
    """Where chance comes from; `random.Random` is one."""

    def random(self) -> float:
        """Give a number from 0 up to, but not, 1."""
        ...


class Backoff:
    """Waits that double from `first_s` up to `max_s`, each cut by up to a half at random.

    The jitter keeps a thousand stores from knocking at the same moment when the broker comes back. Half of each wait
    is kept, so that a failure is never followed by an attempt at once
    ("equal jitter", https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """

    def __init__(self, chance: Random, first_s: float, max_s: float) -> None:
        """Begin with `first_s`, in seconds."""
        self._chance = chance
        self._first_s = first_s
        self._max_s = max_s
        self._whole_s = first_s

    def next_s(self) -> float:
        """Give how long to wait now, in seconds; the next wait is up to twice as long."""
        whole_s = min(self._whole_s, self._max_s)
        self._whole_s = min(2 * whole_s, self._max_s)
        return whole_s * (0.5 + 0.5 * self._chance.random())

    def reset(self) -> None:
        """Begin anew, after a success."""
        self._whole_s = self._first_s

"""Virtual time: what is to happen, in order. Nothing waits, and a month takes as long as its events."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

START_S = 1_000.0
STEPS_MAX = 30_000


class ViolationError(AssertionError):
    """Something that must always hold did not. `invariant` names what."""

    def __init__(self, message: str, invariant: str = "") -> None:
        """Keep what did not hold."""
        super().__init__(f"{invariant}: {message}" if invariant else message)
        self.invariant = invariant


class Agenda:
    """Runs actions at their moments; those of one moment in the order in which they were put down."""

    def __init__(self, steps_max: int = STEPS_MAX) -> None:
        """Begin at START_S. More steps than `steps_max` are a violation."""
        self._steps_max = steps_max
        self.now_s = START_S
        self.steps = 0
        self._put_down = 0
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, when_s: float, action: Callable[[], None]) -> None:
        """Put an action down for a moment; for one that is past, it is done next."""
        self._put_down += 1
        heapq.heappush(self._due, (max(when_s, self.now_s), self._put_down, action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Put an action down for so many seconds from now."""
        self.at(self.now_s + seconds, action)

    def run(self, until_s: float, *, done: Callable[[], bool] = lambda: False) -> None:
        """Let time pass up to a moment, or until `done`."""
        while self._due and self._due[0][0] <= until_s and not done():
            self.now_s, _, action = heapq.heappop(self._due)
            self.steps += 1
            if self.steps > self._steps_max:
                raise ViolationError(f"{self.steps} steps in {self.now_s - START_S:.1f} s: it goes round in circles")
            action()
        if not done():
            self.now_s = until_s

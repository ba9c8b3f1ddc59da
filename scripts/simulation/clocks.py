"""Clocks of a simulated world: one true time, and what each machine takes for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scripts.simulation.agenda import Agenda

EPOCH_US = 1_767_225_600_000_000


class VirtualClock:
    """A machine's clock: it is `offset_s` off the world's. Its monotonic time is the world's own."""

    def __init__(self, agenda: Agenda) -> None:
        """Begin right."""
        self._agenda = agenda
        self.offset_s = 0.0

    def now_us(self) -> int:
        """Wall-clock time, in microseconds since the epoch."""
        return EPOCH_US + round((self._agenda.now_s + self.offset_s) * 1_000_000)

    def monotonic_s(self) -> float:
        """Seconds of the world's time."""
        return self._agenda.now_s

"""Keeps a run's processes running: what dies is started again, at once or after a while, and that is told.

Everything happens on the caller's thread, in `tick`: a child has to be started on the main one (see `tether`).
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from invctl.clock import SystemClock
from invctl.errors import InventoryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from invctl.clock import Clock
    from scripts.chain.processes import Child

EARLY_S = 5.0
EARLY_DEATHS_MAX = 3
EARLY_PAUSE_S = 0.5
LAST_WORDS = 3


class Ward:
    """A process that has to run: how to start it, the child that it is now, and how it fared."""

    def __init__(self, name: str, kind: str, start: Callable[[], Child], child: Child, now_s: float) -> None:
        """Made by `Supervisor.add`."""
        self.name = name
        self.kind = kind
        self.start = start
        self.child = child
        self.deaths = 0
        self.early_deaths = 0
        self.since_s = now_s
        self.start_at_s: float | None = None

    @property
    def away(self) -> bool:
        """Whether it is dead, and waits for its time to be started again."""
        return self.start_at_s is not None


class Supervisor:
    """The processes of a run that have to run."""

    def __init__(self, say: Callable[[str], None], *, clock: Clock | None = None) -> None:
        """Begin with none. `say` is told of each end and each new start, in words."""
        self._say = say
        self._clock = clock or SystemClock()
        self._wards: dict[str, Ward] = {}

    @property
    def wards(self) -> list[Ward]:
        """The processes, in the order in which they were added."""
        return list(self._wards.values())

    def add(self, name: str, kind: str, start: Callable[[], Child], child: Child | None = None) -> None:
        """Start a process, unless `child` runs already, and keep it running from now on."""
        self._wards[name] = Ward(name, kind, start, child or start(), self._clock.monotonic_s())

    def release(self, name: str) -> Child:
        """Give back a process that is to end, or has ended: it is not started again."""
        return self._wards.pop(name).child

    def kill(self, ward: Ward, away_s: float = 0.0) -> bool:
        """Kill a process (-9), to be started again after `away_s` seconds. False where it does not run now."""
        if ward.away or not ward.child.alive():
            return False
        ward.child.kill()
        ward.early_deaths = 0
        self._note_death(ward, "was killed (-9)", away_s)
        return True

    def tick(self) -> int:
        """Start again what has died, where it is time. Returns how many were started.

        Raises InventoryError, with its last words, where one has ended by itself right after its start, again and
        again.
        """
        started = 0
        for ward in self.wards:
            if not ward.away and not ward.child.alive():
                self._note_end(ward)
            if ward.start_at_s is not None and self._clock.monotonic_s() >= ward.start_at_s:
                self._start(ward)
                started += 1
        return started

    def last_words(self) -> str:
        """Return the last line that each process logged, of the first few."""
        return "; ".join(f"{ward.name}: {ward.child.log_tail(1)}" for ward in self.wards[:LAST_WORDS])

    def _note_end(self, ward: Ward) -> None:
        code = ward.child.returncode
        assert code is not None
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        early = self._clock.monotonic_s() - ward.since_s < EARLY_S
        ward.early_deaths = ward.early_deaths + 1 if early else 0
        if ward.early_deaths >= EARLY_DEATHS_MAX:
            raise InventoryError(
                f"{ward.name} {how} right after its start, {ward.early_deaths} times in a row:"
                f" {ward.child.log_tail(LAST_WORDS)}"
            )
        self._note_death(ward, how, ward.early_deaths * EARLY_PAUSE_S)

    def _note_death(self, ward: Ward, how: str, away_s: float) -> None:
        ward.deaths += 1
        ward.start_at_s = self._clock.monotonic_s() + away_s
        times = "the first time" if ward.deaths == 1 else f"{ward.deaths} times by now"
        then = f"; it stays away for {away_s:g} s" if away_s > EARLY_DEATHS_MAX * EARLY_PAUSE_S else "; restarted"
        self._say(f"{ward.name} {how}, {times}{then}")

    def _start(self, ward: Ward) -> None:
        ward.child = ward.start()
        ward.since_s = self._clock.monotonic_s()
        ward.start_at_s = None

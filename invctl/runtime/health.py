"""Whether a daemon is alive (its event loop turns), and whether it is ready (it can do what it is there for).

The loop sets a heartbeat; whoever asks does so on another thread, and so is told the truth also where the loop hangs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from invctl.clock import Clock

    Check = Callable[[], str | None]

BEAT_EVERY_S = 0.5
STALLED_AFTER_S = 10.0
"""Beyond the longest that a clerk may hold the ledger, whom the loop's own reads might wait for."""


class Health:
    """The health of one process. `beats` runs on its loop; anything else may be called from any thread."""

    def __init__(self, clock: Clock) -> None:
        """Begin alive, by the clock's monotonic time. Before a check is added, nothing speaks against readiness."""
        self._clock = clock
        self._beat_s = clock.monotonic_s()
        self._checks: dict[str, Check] = {}
        self._facts: dict[str, Callable[[], Any]] = {}
        self._on_beat: Callable[[], None] = lambda: None

    def add_check(self, name: str, check: Check) -> None:
        """Let `check` say why the process is not ready, or None; it has to be quick, and safe on another thread."""
        self._checks[name] = check

    def add_fact(self, name: str, fact: Callable[[], Any]) -> None:
        """Let `fact` give a JSON value that stands beside the answer to whether the process is ready; as a check."""
        self._facts[name] = fact

    def on_beat(self, told: Callable[[], None]) -> None:
        """Let `told` be called on the loop at each beat."""
        self._on_beat = told

    async def beats(self) -> None:
        """Beat until cancelled."""
        while True:
            self.beat()
            self._on_beat()
            await asyncio.sleep(BEAT_EVERY_S)

    def beat(self) -> None:
        """Note that the loop turns."""
        self._beat_s = self._clock.monotonic_s()

    def stands_still_s(self) -> float:
        """Return for how many seconds the loop has not turned, as far as is known; up to half a second is nothing."""
        return self._clock.monotonic_s() - self._beat_s

    def liveness(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the loop turns, and that as a JSON value. Where it does not, only a restart helps."""
        still_s = self.stands_still_s()
        alive = still_s < STALLED_AFTER_S
        return alive, {"alive": alive, "stands_still_s": round(still_s, 3)}

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the process can do its work now, and, as a JSON value, why not."""
        reasons = {name: why for name, check in self._checks.items() if (why := check()) is not None}
        alive, _ = self.liveness()
        if not alive:
            reasons["loop"] = f"the event loop has stood still for {self.stands_still_s():.0f} s"
        facts = {name: fact() for name, fact in self._facts.items()}
        return not reasons, {"ready": not reasons, "reasons": reasons, **facts}

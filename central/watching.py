"""How a central is watched: what it measures, whether it is ready, and what `status` shows of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from central.metrics import OfficeCollector, Sight
from invctl.runtime.health import Health
from invctl.runtime.watch import Where

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from invctl.clock import Clock
    from invctl.errors import InventoryError
    from invctl.runtime.breaker import Breaker

UNASKED = "not asked yet"
ANSWERED_WITHIN_S = 10.0
"""A few times as long as from one question to the next."""


class Watching:
    """What those who watch a central are told. The service says how its database and its leases answered last.

    A central is ready when it can do what it is there for: reach database and leases, and hear its stores. A standby
    has no store to hear, and is ready to take over: so an orchestrator may go on to the next one.
    """

    def __init__(self, clock: Clock, breakers: Sequence[Breaker]) -> None:
        """Begin not ready, as nothing was asked yet."""
        self.meter = OfficeCollector(clock)
        self.health = Health(clock)
        self._breakers = list(breakers)
        self._clock = clock
        self._why: dict[str, str | None] = {"leases": UNASKED, "database": UNASKED}
        self._answered_s = dict.fromkeys(self._why, clock.monotonic_s())
        self._sight = Sight()
        self._why_no_bus: Callable[[], str | None] = lambda: UNASKED
        self._where: Callable[[], Where] = Where
        self.health.add_check("leases", lambda: self._why_not("leases"))
        self.health.add_check("database", lambda: self._why_not("database"))
        self.health.add_check("bus", lambda: self._why_no_bus() if self._sight.held() else None)
        for breaker in self._breakers:
            self.health.add_check(f"{breaker.name}_breaker", breaker.why_not)
        self.health.add_fact("role", lambda: "serving" if self._sight.held() else "standby")
        self.health.add_fact("shards", lambda: sorted(self._sight.held()))

    def hears_by(self, why_not: Callable[[], str | None]) -> None:
        """Let `why_not` say why no subscription stands; None where one does."""
        self._why_no_bus = why_not

    def sees(self, sight: Sight) -> None:
        """Let `sight` say which shards are held, and how many centrals live."""
        self._sight = sight
        self.meter.sees(sight)

    def serves_at(self, where: Callable[[], Where]) -> None:
        """Let `where` say where this process can be watched, or why it cannot."""
        self._where = where

    @property
    def url(self) -> str | None:
        """Where this process can be watched; None where it cannot."""
        return self._where().url

    def answered(self, what: str, error: InventoryError | None = None) -> None:
        """Note that `leases` or `database` were asked, and answered, or failed with `error`."""
        self._why[what] = None if error is None else error.message
        self._answered_s[what] = self._clock.monotonic_s()

    def _why_not(self, what: str) -> str | None:
        silent_s = self._clock.monotonic_s() - self._answered_s[what]
        return f"no answer for {silent_s:.0f} s" if silent_s > ANSWERED_WITHIN_S else self._why[what]

    def told(self) -> dict[str, Any]:
        """Return what `status` shows of it."""
        where = self._where()
        ready, told = self.health.readiness()
        return {
            "metrics": where.url,
            "metrics_trouble": where.why_not,
            "ready": ready,
            "reasons": told["reasons"],
            "breakers": {breaker.name: breaker.status().as_dict() for breaker in self._breakers},
        }

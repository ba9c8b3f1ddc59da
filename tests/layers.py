"""The layers around a bus and around leases, as the daemons put them, with counts that a test can read."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import structlog

from invctl.bus.middleware.stack import wrapped
from invctl.clock import SystemClock
from invctl.locks.middleware import GuardedLocks
from invctl.runtime.breaker import Breaker, Patience
from invctl.sync.telling import describe

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from invctl.bus.contract import EventBus
    from invctl.clock import Clock
    from invctl.locks.contract import LockManager

# Nothing ends for being slow, on however busy a machine.
PATIENT_S = 30.0


class Counts:
    """Keeps what a meter is told."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.times: list[float] = []

    def published(self, size: int, seconds: float) -> None:
        self.counts += Counter(published=1, published_bytes=size)
        self.times.append(seconds)

    def publish_failed(self, cause: str) -> None:
        self.counts[f"failed {cause}"] += 1

    def received(self, size: int) -> None:
        self.counts += Counter(received=1, received_bytes=size)

    def subscribed(self) -> None:
        self.counts["subscribed"] += 1

    def asked(self, call: str, outcome: str, seconds: float) -> None:
        self.counts[f"{call} {outcome}"] += 1
        self.times.append(seconds)


def breaker(
    name: str,
    *,
    clock: Clock | None = None,
    log: FilteringBoundLogger | None = None,
    patience: Patience | None = None,
) -> Breaker:
    return Breaker(
        name,
        clock=clock or SystemClock(),
        chance=Random(1),
        log=log or structlog.get_logger(),
        patience=patience,
    )


def layered(
    bus: EventBus,
    *,
    clock: Clock | None = None,
    log: FilteringBoundLogger | None = None,
    meter: Counts | None = None,
    guard: Breaker | None = None,
    limit_s: float = PATIENT_S,
) -> EventBus:
    """Put all layers around a bus."""
    return wrapped(
        bus,
        breaker=guard or breaker("bus", clock=clock, log=log),
        meter=meter or Counts(),
        log=log or structlog.get_logger(),
        describe=describe,
        clock=clock or SystemClock(),
        limit_s=limit_s,
    )


def guarded(locks: LockManager, *, meter: Counts | None = None, limit_s: float = PATIENT_S) -> LockManager:
    """Put what belongs there around leases. The breaker waits for nothing: leases have no subscription to tell it."""
    patience = Patience(first_s=0.0, max_s=0.0)
    return GuardedLocks(locks, breaker=breaker("leases", patience=patience), meter=meter or Counts(), limit_s=limit_s)

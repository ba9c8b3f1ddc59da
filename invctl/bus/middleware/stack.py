"""All layers around one bus, in the order in which they need each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.bus.middleware.deadline import Deadline
from invctl.bus.middleware.guard import Guard
from invctl.bus.middleware.log import Log
from invctl.bus.middleware.measure import Measure
from invctl.bus.middleware.trace import Trace

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from invctl.bus.contract import EventBus
    from invctl.bus.middleware.guard import Breaker
    from invctl.bus.middleware.log import Describe
    from invctl.bus.middleware.measure import Meter
    from invctl.clock import Clock

LIMIT_S = 5.0
"""Above what a bus allows a call by itself."""


def wrapped(
    bus: EventBus,
    *,
    breaker: Breaker,
    meter: Meter,
    log: FilteringBoundLogger,
    describe: Describe,
    clock: Clock,
    limit_s: float = LIMIT_S,
) -> EventBus:
    """Put every layer around a bus.

    The deadline is innermost, so that what is overdue counts as a failure; the breaker next, so that what it refuses
    is counted and logged like any other failure; the trace outermost, so that every line has it (`current_trace`).
    """
    guarded = Guard(Deadline(bus, limit_s), breaker)
    return Trace(Log(Measure(guarded, meter, clock), log, describe, clock))

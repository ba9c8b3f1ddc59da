"""Waiting for a condition that nobody announces: a process that ends, a server that answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from invctl.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from invctl.clock import Clock

_SYSTEM_CLOCK = SystemClock()


def wait_until(
    condition: Callable[[], bool], *, timeout_s: float, every_s: float = 0.02, clock: Clock = _SYSTEM_CLOCK
) -> bool:
    """Ask again and again, first at once, until the condition holds or the time is over. Tells whether it held."""
    deadline_s = clock.monotonic_s() + timeout_s
    while not condition():
        if clock.monotonic_s() >= deadline_s:
            return False
        time.sleep(every_s)
    return True

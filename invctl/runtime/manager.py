"""What a daemon tells its service manager: that it is ready, that its event loop turns, that it is about to end.

The protocol is sd_notify(3) of systemd: datagrams of `NAME=value` to the socket that NOTIFY_SOCKET names.

Ready is told once the work has begun, whether or not the broker answers: a store sells without a network, and a manager
that waited for one would kill what serves it.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from invctl.clock import Clock
    from invctl.runtime.health import Health

_US = 1_000_000


class ServiceManager:
    """The service manager that started this process, if one did: where none did, nothing is told to nobody."""

    def __init__(self, address: str | None, *, watchdog_s: float | None, clock: Clock) -> None:
        """Tell `address`: a path, or a name in Linux's abstract namespace behind `@`.

        `watchdog_s` is after how long a silence it kills this process, None where it does not.
        """
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self._watchdog_s = watchdog_s
        self._clock = clock
        self._is_ready = False
        self._due_s = clock.monotonic_s()

    @classmethod
    def following(cls, health: Health, environ: Mapping[str, str], clock: Clock) -> Self:
        """Tell of each beat of `health`, whom NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID name.

        A watchdog of another process, or of 0, is none.
        """
        usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        is_ours = pid in ("", str(os.getpid()))
        watchdog_s = int(usec) / _US if is_ours and usec.isdecimal() and int(usec) else None
        manager = cls(environ.get("NOTIFY_SOCKET"), watchdog_s=watchdog_s, clock=clock)
        health.on_beat(manager.beat)
        return manager

    def beat(self) -> None:
        """Tell what a turn of the event loop proves: once, that we are ready; each half watchdog, that we live."""
        self._is_ready = self._is_ready or self._tell("READY=1")
        if self._watchdog_s is not None and self._clock.monotonic_s() >= self._due_s and self._tell("WATCHDOG=1"):
            self._due_s = self._clock.monotonic_s() + self._watchdog_s / 2

    def stopping(self, then: Callable[[], None]) -> None:
        """Tell that this process is about to end, and then call what brings that about."""
        self._tell("STOPPING=1")
        then()

    def _tell(self, state: str) -> bool:
        """Send a datagram. Returns whether it is on its way: else the next beat tries again."""
        if not self._address:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                # A manager that reads nothing must not hold up the loop.
                line.setblocking(False)
                line.sendto(state.encode("ascii"), self._address)
        except OSError:
            return False
        return True

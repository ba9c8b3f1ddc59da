"""Which process a pid meant when it was written down.

A pid is used again after its process ended. Together with the moment when the process started it is
not, so nothing is ever signalled for having inherited a number.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Identity:
    """One process: its pid, and when it started (text that is only compared)."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Read the identity of the process that has this pid now. None where there is none, or only a zombie."""
        started = _started_by_proc(pid) if sys.platform == "linux" else _started_by_ps(pid)
        return None if started is None else cls(pid, started)

    @classmethod
    def of_this_process(cls) -> Self:
        """Read the identity of the process that calls."""
        identity = cls.of(os.getpid())
        assert identity is not None
        return identity

    def alive(self) -> bool:
        """Tell whether this very process still runs."""
        return Identity.of(self.pid) == self


def _started_by_proc(pid: int) -> str | None:
    """Ticks from boot to start, field 22 of proc(5)'s stat, and which boot that was."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name before the bracket may hold spaces and brackets of its own; field 3 follows the last one.
    state, *rest = stat.rpartition(")")[2].split()
    if state in {"Z", "X"}:
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}:{rest[18]}"


def _started_by_ps(pid: int) -> str | None:
    """Start to the second, as ps tells it: for systems without /proc."""
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
    ).stdout.split(maxsplit=1)
    return None if not shown or shown[0].startswith("Z") else shown[1].strip()

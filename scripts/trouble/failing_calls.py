"""System calls that fail with EIO in a running process, on files of its own, as on a disk that is going.

By strace, which can let a call fail in its place: so nothing of the process is replaced, neither its SQLite nor its C
library, and a fault begins and ends while it runs. A flush that fails here has failed as one of the kernel's: nothing
was flushed. It takes Linux, strace, and the right to trace one's own processes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scripts.chain.waiting import wait_until
from scripts.trouble.scenario import LackingError, OtherwiseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scripts.chain.processes import Child

READ, WRITE, FLUSH = "pread64", "pwrite64", "fsync,fdatasync"
ALWAYS = "1+"
_ATTACHES_S = 20.0
_LETS_GO_S = 20.0


class Failing(NamedTuple):
    """Which system calls fail, on which files (all where none is named).

    `when` is as strace has it: `3` is the third call alone, `3+` that one and all that follow.
    """

    calls: str
    files: Sequence[Path] = ()
    when: str = ALWAYS

    def command(self, log: Path) -> list[str]:
        """Return what runs a command so. What is made to fail is written to `log`."""
        paths = [word for file in self.files for word in ("-P", str(file))]
        inject = f"inject={self.calls}:error=EIO:when={self.when}"
        return [_strace(), "-f", "-qq", "-o", str(log), *paths, "-e", f"trace={self.calls}", "-e", inject]


def times(log: Path) -> int:
    """Return how many calls were made to fail."""
    return log.read_text(encoding="utf-8", errors="replace").count("(INJECTED)") if log.exists() else 0


@contextmanager
def failing(
    pids: Callable[[], Sequence[int]], how: Failing, log: Path, start: Callable[[list[str]], Child]
) -> Iterator[None]:
    """Let calls of running processes fail meanwhile, also of their children. `start` starts a command.

    Raises LackingError where that is not allowed.
    """
    tracer = start([*how.command(log), *(word for pid in pids() for word in ("-p", str(pid)))])
    try:
        if not wait_until(lambda: not tracer.alive() or _all_traced(pids(), tracer.pid), timeout_s=_ATTACHES_S):
            raise OtherwiseError(f"strace does not attach: {tracer.log_tail(2)}")
        if not tracer.alive():
            raise LackingError(f"needs the right to trace a process: {tracer.log_tail(2)}")
        yield
    finally:
        # It lets go of them, and they go on.
        tracer.ask_to_end()
        if tracer.wait(_LETS_GO_S) is None:
            tracer.kill()


def _all_traced(pids: Sequence[int], tracer: int) -> bool:
    tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").glob("*")]
    return all(_tracer_of(task) == tracer for task in tasks)


def _tracer_of(task: Path) -> int:
    """Return who traces a thread: 0 for nobody."""
    try:
        lines = (task / "status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(next(line for line in lines if line.startswith("TracerPid:")).split()[1])


def _strace() -> str:
    found = shutil.which("strace")
    if sys.platform != "linux" or found is None:
        raise LackingError("needs Linux, and strace")
    allowed = subprocess.run([found, "-qq", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if allowed.returncode != 0:
        raise LackingError(f"needs the right to trace a process: {allowed.stderr.strip()[-200:]}")
    return found

"""Start workers, and never leave one behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invctl.ledger.ledger import WRITERS

if TYPE_CHECKING:
    from collections.abc import Iterator


class Worker:
    """A process of `worker`, and the two pipes to it."""

    def __init__(self, what: str, home: Path, *arguments: object) -> None:
        """Start it; `hear` what it says first before relying on anything."""
        command = [sys.executable, "-m", "tests.integration.ledger.worker", what, str(home), *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hear(self) -> Any:
        """Return the next thing it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"it ended with {self._process.wait()} and said nothing"
        return json.loads(line)

    def hear_the_rest(self) -> list[Any]:
        """Return what it said until it ended, without what it was cut off in."""
        assert self._process.stdout is not None
        return [json.loads(line) for line in self._process.stdout.read().splitlines(keepends=True) if line[-1] == "\n"]

    def tell(self) -> None:
        """Let it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """Stop it in its tracks, and return when it has."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def kill(self) -> None:
        """End it without a chance to do anything."""
        self._process.kill()

    def close(self) -> None:
        """End it, whatever it does, and take its pipes back."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def working(count: int, what: str, home: Path, *arguments: object) -> Iterator[list[Worker]]:
    """Have so many workers, all of them ready."""
    workers = [Worker(what, home, *arguments) for _ in range(count)]
    try:
        for worker in workers:
            worker.hear()
        yield workers
    finally:
        for worker in workers:
            worker.close()


def queue_locks(home: Path) -> list[str]:
    """Return what the kernel lists of the queue of a ledger's writers: a line a lock, an arrow where one waits."""
    inode = f":{(home / WRITERS).stat().st_ino} "
    return [line for line in Path("/proc/locks").read_text(encoding="ascii").splitlines() if inode in line]

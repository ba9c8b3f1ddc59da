"""A fair queue of the processes that want to write one ledger.

SQLite's own busy handler polls, and whoever polls at the right moment wins: of eight busy writers one waited five
seconds. Here two locks on files make a turnstile: whoever holds the first stands before the ledger, and the one
who leaves the ledger finds the first taken and goes to the end. SQLite's busy handler remains as the backstop.
"""

from __future__ import annotations

import fcntl
import os
import threading

from invctl.errors import BusyError


class WriterQueue:
    """One ledger's queue, as one connection of one process stands in it. Not for use by two threads at once."""

    def __init__(self, path: str, timeout_s: float) -> None:
        """Use the files `path` and `path` + `-next`, and wait at most `timeout_s`."""
        self._path = path
        self._timeout_s = timeout_s
        self._next = self._inside = -1

    def enter(self) -> None:
        """Wait for one's turn. Raises BusyError when it does not come in time."""
        if self._next < 0:
            self._open()
        if _try_lock(self._next):
            if _try_lock(self._inside):
                fcntl.flock(self._next, fcntl.LOCK_UN)
                return
            fcntl.flock(self._next, fcntl.LOCK_UN)
        self._wait()

    def leave(self) -> None:
        """Let the next one in."""
        fcntl.flock(self._inside, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the files back."""
        if self._next >= 0:
            os.close(self._next)
            os.close(self._inside)
            self._next = self._inside = -1

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._inside = os.open(self._path, flags, 0o644)
        self._next = os.open(self._path + "-next", flags, 0o644)

    def _wait(self) -> None:
        # flock has no time limit, so a thread waits in it. One that was given up gives its turn back on its own.
        turn = _Turn(self._next, self._inside)
        if turn.came.wait(self._timeout_s) or not turn.give_up():
            return
        self._next = self._inside = -1
        raise BusyError(
            f"the ledger has been busy for {self._timeout_s:g} s",
            hint="try again; if it lasts, a process that holds the ledger may be stopped: see `invctl status`",
        )


class _Turn:
    """One wait for one's turn, in a thread of its own."""

    def __init__(self, next_fd: int, inside_fd: int) -> None:
        self.came = threading.Event()
        self._decision = threading.Lock()
        self._given_up = False
        self._fds = (next_fd, inside_fd)
        threading.Thread(target=self._stand, daemon=True).start()

    def give_up(self) -> bool:
        """Return False where the turn came at the last moment after all."""
        with self._decision:
            self._given_up = not self.came.is_set()
            return self._given_up

    def _stand(self) -> None:
        next_fd, inside_fd = self._fds
        fcntl.flock(next_fd, fcntl.LOCK_EX)
        fcntl.flock(inside_fd, fcntl.LOCK_EX)
        fcntl.flock(next_fd, fcntl.LOCK_UN)
        with self._decision:
            if not self._given_up:
                self.came.set()
                return
        os.close(next_fd)
        os.close(inside_fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

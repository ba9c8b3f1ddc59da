"""A fair queue of the processes that want to write one ledger.

SQLite's own busy handler polls, and whoever polls at the right moment wins: of eight busy writers one waited five
seconds. Here two locks on files make a turnstile: whoever holds the first stands before the ledger, and the one
who leaves the ledger finds the first taken and goes to the end. SQLite's busy handler remains as the backstop.
"""

from __future__ import annotations

import fcntl
import os
import threading

from invctl.errors import BusyError, RefusedError


class WriterQueue:
    """One ledger's queue, as one connection of one process stands in it. Not for use by two threads at once."""

    def __init__(self, path: str, timeout_s: float) -> None:
        """Use the files `path` and `path` + `-next`, and wait at most `timeout_s`."""
        self._path = path
        self._timeout_s = timeout_s
        self._inside = self._next = -1
        self._turn: _Turn | None = None

    def enter(self) -> None:
        """Wait for one's turn. Raises BusyError when it does not come in time, RefusedError where no file can be."""
        if self._next < 0:
            self._open()
        # Whoever gave up before still stands where it stood.
        if self._turn is None or not self._turn.resume():
            if self._pass():
                return
            self._turn = _Turn(self._next, self._inside)
        self._wait(self._turn)

    def leave(self) -> None:
        """Let the next one in."""
        fcntl.flock(self._inside, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the files back."""
        if self._turn is None or not self._turn.closes():
            for fd in (self._inside, self._next):
                if fd >= 0:
                    os.close(fd)
        self._inside = self._next = -1
        self._turn = None

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            self._inside = os.open(self._path, flags, 0o644)
            self._next = os.open(self._path + "-next", flags, 0o644)
        except OSError as error:
            self.close()
            raise RefusedError(
                f"the ledger cannot be written: {error.filename}: {error.strerror}",
                hint="look at the modes of its file and folder",
            ) from None

    def _pass(self) -> bool:
        """Go straight in where nobody waits. Where nobody waits but somebody is inside, be the first to wait."""
        if not _try_lock(self._next) or not _try_lock(self._inside):
            return False
        fcntl.flock(self._next, fcntl.LOCK_UN)
        return True

    def _wait(self, turn: _Turn) -> None:
        try:
            turn.came.wait(self._timeout_s)
        except BaseException:
            # Such as Ctrl-C: who lives on must not keep a turn that it does not know of.
            if not turn.pause():
                self._turn = None
                self.leave()
            raise
        if turn.pause():
            hint = f"try again; if it lasts, a process that holds it may be stopped: `fuser -v {self._path}` names it"
            raise BusyError(f"the ledger has been busy for {self._timeout_s:g} s", hint=hint)
        self._turn = None


class _Turn:
    """One wait for one's turn, in a thread of its own, as flock has no time limit.

    A wait that is paused keeps its place; when the turn comes, it is passed on. So who gives up and tries again, for
    as long as it takes, has one thread and one place.
    """

    def __init__(self, next_fd: int, inside_fd: int) -> None:
        self.came = threading.Event()
        self._fds = (next_fd, inside_fd)
        self._decision = threading.Lock()
        self._wanted = True
        self._over = self._closing = False
        threading.Thread(target=self._stand, daemon=True).start()

    def pause(self) -> bool:
        """Give up. Returns False where the turn came at the last moment after all."""
        with self._decision:
            self._wanted = self.came.is_set()
            return not self._wanted

    def resume(self) -> bool:
        """Want it again. Returns False where the turn came meanwhile and was passed on."""
        with self._decision:
            self._wanted = not self._over
            return self._wanted

    def closes(self) -> bool:
        """Have the files closed when the turn comes. Returns False where it came, so that the caller has to."""
        with self._decision:
            self._closing = not self._over
            return self._closing

    def _stand(self) -> None:
        next_fd, inside_fd = self._fds
        # Whoever has this lock already, from passing by, keeps it.
        fcntl.flock(next_fd, fcntl.LOCK_EX)
        fcntl.flock(inside_fd, fcntl.LOCK_EX)
        fcntl.flock(next_fd, fcntl.LOCK_UN)
        with self._decision:
            if self._wanted:
                self.came.set()
                return
            self._over = True
            if not self._closing:
                fcntl.flock(inside_fd, fcntl.LOCK_UN)
                return
        os.close(next_fd)
        os.close(inside_fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

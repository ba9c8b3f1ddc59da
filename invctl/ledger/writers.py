"""A fair queue of the processes that want to write one ledger: first come, first served.

SQLite's own busy handler polls, and whoever polls at the right moment wins: of eight busy writers one waited five
seconds. Here each takes a place, which is one byte of a file, under a lock of its own: the moment of its coming, in
nanoseconds since the machine started. Its turn has come when no byte before that one is locked. The kernel wakes who
waits for that, and takes the locks of a process that died away. SQLite's busy handler remains as the backstop.

Whoever is inside keeps a shared lock on everything before its place, so no place before it can be taken, and two are
never inside, whatever their clocks say.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import threading
import time

from invctl.errors import BusyError, RefusedError
from invctl.language import _


class WriterQueue:
    """One ledger's queue, as one connection of one process stands in it. Not for use by two threads at once."""

    def __init__(self, path: str, timeout_s: float) -> None:
        """Use the file `path`, whose content does not matter, and wait at most `timeout_s`."""
        self._path = path
        self._timeout_s = timeout_s
        self._fd = -1
        self._turn: _Turn | None = None
        self._hurried = False

    def enter(self) -> None:
        """Wait for one's turn. Raises BusyError when it does not come in time, RefusedError where no file can be."""
        if self._fd < 0:
            self._open()
        # Whoever gave up before still stands where it stood.
        if self._turn is None or not self._turn.resume():
            place = _take_place(self._fd)
            if _lock(self._fd, fcntl.LOCK_SH, 0, place):
                return
            self._turn = _Turn(self._fd, place)
        try:
            self._turn.wait(0 if self._hurried else self._timeout_s)
        except BaseException:
            # Such as Ctrl-C: who lives on must not keep a turn that it does not know of.
            if not self._turn.pause():
                self._turn = None
                self.leave()
            raise
        if self._turn.pause():
            hint = _(
                "try again; if it lasts, a process that holds it may be stopped: `fuser -v {path}` names it",
                path=self._path,
            )
            since = "" if self._hurried else _(" for {seconds:g} s", seconds=self._timeout_s)
            raise BusyError(_("the ledger has been busy{since}", since=since), hint=hint)
        self._turn = None

    def hurry(self) -> None:
        """End the wait that is under way, and let none begin. Any thread may say so."""
        self._hurried = True
        # In this order, as `enter` does it in the other: who has not seen the one is found by the other.
        if turn := self._turn:
            turn.hurry()

    def leave(self) -> None:
        """Let the next one in."""
        _lock(self._fd, fcntl.LOCK_UN, 0, 0)

    def close(self) -> None:
        """Give the file back."""
        if self._fd >= 0 and (self._turn is None or not self._turn.closes()):
            os.close(self._fd)
        self._fd = -1
        self._turn = None

    def _open(self) -> None:
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise RefusedError(
                _(
                    "the ledger cannot be written: {filename}: {strerror}",
                    filename=error.filename,
                    strerror=error.strerror,
                ),
                hint=_("look at the modes of its file and folder"),
            ) from None


class _Turn:
    """One wait for one's turn, in a thread of its own, as a lock has no time limit.

    A wait that is paused keeps its place; when the turn comes, it is passed on. So who gives up and tries again, for
    as long as it takes, has one thread and one place.
    """

    def __init__(self, fd: int, place: int) -> None:
        self._fd = fd
        self._place = place
        self._decision = threading.Lock()
        self._wanted = True
        self._came = self._over = self._closing = False
        self._waited_enough = threading.Event()
        threading.Thread(target=self._stand, daemon=True).start()

    def wait(self, timeout_s: float) -> None:
        """Return when the turn has come, after the time, or when told to hurry: `pause` tells which."""
        self._waited_enough.wait(timeout_s)

    def hurry(self) -> None:
        """Let nobody wait any longer."""
        self._waited_enough.set()

    def pause(self) -> bool:
        """Give up. Returns False where the turn came at the last moment after all."""
        with self._decision:
            self._wanted = self._came
            return not self._wanted

    def resume(self) -> bool:
        """Want it again. Returns False where the turn came meanwhile and was passed on."""
        with self._decision:
            self._wanted = not self._over
            return self._wanted

    def closes(self) -> bool:
        """Have the file closed when the turn comes. Returns False where it came, so that the caller has to."""
        with self._decision:
            self._closing = not self._over
            return self._closing

    def _stand(self) -> None:
        _lock(self._fd, fcntl.LOCK_SH, 0, self._place, wait=True)
        with self._decision:
            if self._wanted:
                self._came = True
                self._waited_enough.set()
                return
            self._over = True
            if not self._closing:
                _lock(self._fd, fcntl.LOCK_UN, 0, 0)
                return
        os.close(self._fd)


def _take_place(fd: int) -> int:
    """Lock the byte of this moment. Where another has it, or is inside with a later one, the moment is over."""
    while not _lock(fd, fcntl.LOCK_EX, place := time.monotonic_ns(), 1):
        continue
    return place


if sys.platform == "linux":
    _KINDS = {fcntl.LOCK_EX: fcntl.F_WRLCK, fcntl.LOCK_SH: fcntl.F_RDLCK, fcntl.LOCK_UN: fcntl.F_UNLCK}

    def _lock(fd: int, kind: int, start: int, length: int, *, wait: bool = False) -> bool:
        """Lock bytes of a file, all from `start` where `length` is 0. Returns False where others hold some of them.

        The lock belongs to this opening of the file, whichever thread asks (`F_OFD_SETLK` in fcntl_locking(2)).
        """
        command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
        try:
            fcntl.fcntl(fd, command, struct.pack("hhqqi4x", _KINDS[kind], os.SEEK_SET, start, length, 0))
        except BlockingIOError:
            return False
        return True

else:

    def _lock(fd: int, kind: int, start: int, length: int, *, wait: bool = False) -> bool:
        """Lock bytes of a file. The lock belongs to the process: SQLite alone keeps two ledgers in one apart."""
        try:
            fcntl.lockf(fd, kind if wait or kind == fcntl.LOCK_UN else kind | fcntl.LOCK_NB, length, start)
        except (BlockingIOError, PermissionError):
            return False
        return True

"""One daemon a home: its lock, its pid, and the pipe through which clerks poke it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from invctl.errors import NotFoundError, RefusedError
from invctl.ledger.ledger import FILE
from invctl.settings import LOCK_FILE, PID_FILE, POKE_FILE, RUN, STATUS_FILE

if TYPE_CHECKING:
    from pathlib import Path


class Home:
    """A store's folder, held by this process until `close`."""

    def __init__(self, path: Path) -> None:
        """Take hold of a store's folder.

        Raises NotFoundError where there is no ledger in it, RefusedError where another daemon holds it, or where
        nothing can be written there.
        """
        if not (path / FILE).exists():
            raise NotFoundError(f"there is no ledger in {path}", hint="`invctl init STORE` opens one")
        self.path = path
        self._run = path / RUN
        with contextlib.ExitStack() as taken:
            try:
                self._run.mkdir(exist_ok=True)
                self._lock_fd = self._lock()
                taken.callback(os.close, self._lock_fd)
                (self._run / PID_FILE).write_text(f"{os.getpid()}\n", encoding="ascii")
                self.poke_fd = self._open_poke()
            except OSError as error:
                raise RefusedError(
                    f"{self._run} cannot be used: {error.strerror}", hint="look at its mode, its owner and its disk"
                ) from error
            taken.pop_all()

    @property
    def status_path(self) -> Path:
        """Where the daemon writes what it says of itself."""
        return self._run / STATUS_FILE

    def drain_pokes(self) -> bytes:
        """Take and return what was written into the pipe. Afterwards a new poke is seen, so read the ledger after this.

        Once: whoever writes without a pause is not to keep the loop from everything else.
        """
        with contextlib.suppress(BlockingIOError):
            return os.read(self.poke_fd, 65536)
        return b""

    def close(self) -> None:
        """Let go of the folder, and take away what speaks of a daemon that runs."""
        os.close(self.poke_fd)
        for name in (PID_FILE, STATUS_FILE):
            # What stays is not taken for a daemon that runs: its lock is free.
            with contextlib.suppress(OSError):
                (self._run / name).unlink(missing_ok=True)
        os.close(self._lock_fd)

    def _lock(self) -> int:
        fd = os.open(self._run / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise RefusedError(
                f"a daemon serves {self.path} already",
                hint="`invctl daemon status` shows it, `invctl daemon stop` ends it",
            ) from None
        return fd

    def _open_poke(self) -> int:
        path = self._run / POKE_FILE
        if not path.is_fifo():
            path.unlink(missing_ok=True)
            os.mkfifo(path, 0o660)
        # Open for writing, too: otherwise the pipe reads as ended whenever no clerk has it open.
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

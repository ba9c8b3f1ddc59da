"""Central's folder: one running central a home, by a file lock, and what that one says of itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING, Self

from central.settings import LOCK_FILE, RUN, STATUS_FILE
from invctl.errors import NotFoundError, RefusedError

if TYPE_CHECKING:
    from pathlib import Path

_OWNER_BYTES_MAX = 256
_ATTEMPTS = 10
_PROBE_S = 0.02


class Home:
    """Central's folder, held by this process until `close`."""

    def __init__(self, path: Path, owner: str) -> None:
        """Take hold of a folder, and leave `owner` in it, our name among the holders of leases.

        `predecessor` is then the name that the last process left which held this folder: it has ended, however it
        did. Raises NotFoundError where there is no such folder, RefusedError where another central holds it.
        """
        if not path.is_dir():
            raise NotFoundError(f"there is no {path}", hint="run: invcentral init")
        self.path = path
        (path / RUN).mkdir(exist_ok=True)
        self._lock_fd = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._lock()
            self.predecessor = os.pread(self._lock_fd, _OWNER_BYTES_MAX, 0).decode("ascii", errors="replace")
            os.ftruncate(self._lock_fd, 0)
            os.pwrite(self._lock_fd, owner.encode("ascii"), 0)
            self.status_path.unlink(missing_ok=True)
        except BaseException:
            os.close(self._lock_fd)
            raise

    @property
    def status_path(self) -> Path:
        """Where the running central writes what it says of itself."""
        return status_path(self.path)

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._lock_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lock(self) -> None:
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PROBE_S)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
        raise RefusedError(
            f"a central runs in {self.path} already", hint="`invcentral status` shows it; end that one first"
        )


def status_path(path: Path) -> Path:
    """Return where a central in this folder writes what it says of itself."""
    return path / STATUS_FILE


def is_held(path: Path) -> bool:
    """Tell whether a central runs in this folder."""
    try:
        fd = os.open(path / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that those who ask do not see each other. It is gone at once; who starts meanwhile tries again.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False

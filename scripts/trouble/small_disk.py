"""A disk of a few megabytes, to be filled up.

It is mounted in a mount namespace of this process's own, so nobody else sees it, and it ends with the process however
that ends. It takes Linux and the right to mount.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scripts.trouble.scenario import LackingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CLONE_NEWNS = 0x00020000
_BLOCK = b"\0" * 65_536
_LAST = b"\0" * 512


class SmallDisk:
    """The disk mounted at `path`, and what fills it up."""

    def __init__(self, path: Path) -> None:
        """Made by `small_disk`."""
        self.path = path
        self._ballast = path / "ballast"

    def fill(self, *, leave_bytes: int = 0) -> None:
        """Write until the disk is full, or has so much left."""
        file = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for piece in (_BLOCK, _LAST):
                while self.free_bytes() - len(piece) >= leave_bytes:
                    if not self._written(file, piece):
                        break
        finally:
            os.close(file)

    def empty(self) -> None:
        """Give the room back."""
        self._ballast.unlink()

    def free_bytes(self) -> int:
        """Return what is free."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    @staticmethod
    def _written(file: int, piece: bytes) -> bool:
        try:
            os.write(file, piece)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return False
        return True


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount an empty disk at `path`, which is made. Raises LackingError where that is not allowed."""
    path.mkdir(parents=True)
    _take_namespace()
    _run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "invctl-chaos", str(path)])
    try:
        yield SmallDisk(path)
    finally:
        _run(["umount", "--lazy", str(path)])


def _take_namespace() -> None:
    if sys.platform != "linux":
        raise LackingError("a small disk takes Linux")
    libc = ctypes.CDLL(None, use_errno=True)
    # Once more is no harm: a namespace that is a copy of our own.
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise LackingError(f"a small disk takes the right to mount: {os.strerror(ctypes.get_errno())}")
    _run(["mount", "--make-rprivate", "/"])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LackingError(f"a small disk takes the right to mount: {done.stderr.strip()}")

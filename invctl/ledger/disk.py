"""The disk under a ledger: that a file is another one than before, is known to be damaged, or has little room left.

Damage is noted in a file beside the ledger, so that nobody writes to it any more. Only `invctl restore` takes the note
away, as it puts another file in the ledger's place (docs/adr/0014-a-damaged-ledger-is-not-written-to.md).
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from invctl.clock import SystemClock, format_time
from invctl.errors import RefusedError
from invctl.language import _, english, marked
from invctl.settings import DISK_RESERVE_MB, MEGABYTE

if TYPE_CHECKING:
    from pathlib import Path

NOTE = "ledger.damaged"
HINT = marked("`invctl restore FILE` puts a backup in its place, and keeps this one beside it")
RESERVE_BYTES = DISK_RESERVE_MB * MEGABYTE


class DamagedError(RefusedError):
    """The ledger is damaged."""

    code = "damaged"


class FileId(NamedTuple):
    """What tells a file from one that is later put in its place."""

    device: int
    inode: int


def file_at(path: Path) -> FileId | None:
    """Return which file stands there now; None where there is none, or it cannot be looked at."""
    try:
        found = os.stat(path)  # noqa: PTH116 - Path.stat takes twice as long, and each write asks
    except OSError:
        return None
    return FileId(found.st_dev, found.st_ino)


def damaged(path: Path, why: str) -> DamagedError:
    """Return the error that says so, and what to do."""
    return DamagedError(_("the ledger at {path} is damaged: {why}", path=path, why=why), hint=_(HINT))


def note(path: Path, why: str) -> None:
    """Note durably that the ledger at `path` is damaged. The first note stays.

    Where it cannot be written nothing is said: whoever comes next finds the same damage.
    """
    line = f"{format_time(SystemClock().now_us())} {' '.join(english(why).split())}\n".encode(errors="replace")
    with suppress(OSError):
        fd = os.open(path.with_name(NOTE), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, line)
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_folder(path.parent)


def noted(path: Path) -> str | None:
    """Return what was noted of the ledger at `path`, None where nothing was."""
    try:
        text = path.with_name(NOTE).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        return _("{file} cannot be read: {strerror}", file=NOTE, strerror=error.strerror)
    return text.partition(" ")[2].strip() or _("noted without a reason")


def refuse(path: Path) -> None:
    """Raise DamagedError where the ledger at `path` is noted as damaged."""
    # The folder's name as text: to make a Path of it costs more than to look.
    if os.access(f"{os.fspath(path.parent)}/{NOTE}", os.F_OK):
        raise damaged(path, noted(path) or _("noted without a reason"))


def forget(path: Path) -> None:
    """Take the note away: another file is in the ledger's place."""
    with suppress(FileNotFoundError):
        path.with_name(NOTE).unlink()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make durable which names a folder has."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class DiskLowError(RefusedError):
    """The disk is low: what is under way can be ended, nothing new can be begun."""

    code = "disk_low"


def free_bytes(folder: Path) -> int | None:
    """Return how many bytes of a folder's file system this user may still write; None where that cannot be told."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def is_low(free: int | None, reserve_bytes: int) -> bool:
    """Say whether so many free bytes are fewer than what is to be kept. A reserve of 0 keeps nothing."""
    return bool(reserve_bytes) and free is not None and free < reserve_bytes


def check_room(folder: Path, reserve_bytes: int) -> None:
    """Raise DiskLowError where a folder's file system has less free than is to be kept."""
    if not reserve_bytes:
        return
    free = free_bytes(folder)
    if is_low(free, reserve_bytes):
        raise DiskLowError(
            _(
                "{free:,} MB are free on the ledger's disk, and {reserve:,} MB are kept for ending what is reserved",
                free=(free or 0) // MEGABYTE,
                reserve=reserve_bytes // MEGABYTE,
            ),
            hint=_("make room; confirm, cancel and extend go on meanwhile (disk_reserve_mb sets how much is kept)"),
            free_bytes=free,
            reserve_bytes=reserve_bytes,
        )

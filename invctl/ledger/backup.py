"""A copy of a ledger as of one moment, taken while clerks work, in one file that needs nothing beside it.

Whoever copies reads one moment's view, and in WAL mode a reader holds no writer up. The copy is made and checked in a
hidden folder beside its place, and only then named: there is a whole copy under that name, or none.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw

from invctl.clock import format_time
from invctl.errors import InvalidValueError, RefusedError
from invctl.language import _, _n
from invctl.ledger import disk
from invctl.ledger.database import first
from invctl.ledger.ledger import FILE, Ledger
from invctl.ledger.verify import verify
from invctl.model.chain import Head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGES_AT_ONCE = 1024
_HEAD = "SELECT seq, hash, time_us FROM events ORDER BY seq DESC LIMIT 1"
_READS = (apsw.SQLITE_IOERR_READ, apsw.SQLITE_IOERR_SHORT_READ)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Backup(NamedTuple):
    """A backup that was made and checked. `taken_us` is the time of its last event, by the ledger's clock."""

    file: Path
    store: str
    head: Head
    taken_us: int
    size_bytes: int


def default_name(ledger: Ledger) -> str:
    """Return a name with store and time: `downtown-20261124T093000Z.db`."""
    return f"{ledger.store.store}-{compact_time(ledger.clock.now_us())}.db"


def compact_time(instant_us: int) -> str:
    """Write an instant so that it can be part of a file's name, to the second: `20261124T093000Z`."""
    return format_time(instant_us)[:19].replace("-", "").replace(":", "") + "Z"


def back_up(
    ledger: Ledger, file: Path, *, force: bool = False, progress: Callable[[int, int], None] | None = None
) -> Backup:
    """Copy a ledger into `file`, durably. A ledger that is noted as damaged is replayed first.

    Args:
        ledger: the store's, which may go on being written.
        file: where to; its folder has to be there.
        force: put it in the place of what stands there.
        progress: told how many pages of how many are copied, now and then.

    Raises:
        InvalidValueError: the name is the ledger's own, or no file's.
        RefusedError: there is something already, the place cannot be used or is full, or the ledger does not hold.

    """
    file = file.absolute()
    _check_place(ledger, file, force=force)
    if disk.noted(ledger.path) is not None:
        refuse_unsound(ledger)
    with making(file.parent, f".{file.name}.part-") as folder:
        copy = folder / FILE
        with ledger.read():
            *head, taken_us = first(ledger.connection, _HEAD)
            with _no_half_copy(file):
                _copy(ledger.connection, copy, progress or _nobody)
        with _no_half_copy(file):
            _check(copy, head)
            sync(copy)
            size_bytes = copy.stat().st_size
            place(copy, file, force=force)
    return Backup(file, ledger.store.store, Head(*head), taken_us, size_bytes)


def refuse_unsound(ledger: Ledger, *, progress: Callable[[int], None] | None = None) -> None:
    """Replay a ledger. Raises DamagedError where it does not hold."""
    findings = verify(ledger, progress=progress).findings
    if findings:
        more = (
            _n(", and {n:,} finding more", ", and {n:,} findings more", len(findings) - 1) if len(findings) > 1 else ""
        )
        raise disk.DamagedError(
            _("the ledger at {path} does not hold: {finding}{more}", path=ledger.path, finding=findings[0], more=more),
            hint=_(disk.HINT),
            findings=findings,
        )


@contextmanager
def making(folder: Path, prefix: str) -> Iterator[Path]:
    """Have a folder of one's own in `folder`, on its file system, for as long as something is being made.

    Raises RefusedError where there can be none.
    """
    try:
        made = Path(tempfile.mkdtemp(prefix=prefix[:200], dir=folder))
    except OSError as error:
        raise _unusable(folder, error) from None
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def place(made: Path, file: Path, *, force: bool) -> None:
    """Give a finished file its name, durably. Raises FileExistsError where there is one, unless forced."""
    if force:
        made.replace(file)
    else:
        # A rename would silently take the place of a file that came meanwhile.
        try:
            file.hardlink_to(made)
        except FileExistsError:
            raise
        except OSError:
            # This file system has no links.
            if file.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file)) from None
            made.replace(file)
    disk.sync_folder(file.parent)


def single_file(connection: apsw.Connection) -> None:
    """Let a database that nobody else has open be one file, that needs no `-wal` beside it."""
    connection.execute("PRAGMA journal_mode = DELETE").fetchall()


def _check_place(ledger: Ledger, file: Path, *, force: bool) -> None:
    try:
        there = file.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(file, error) from None
    own = {ledger.path.with_name(FILE + suffix) for suffix in ("", "-wal", "-shm")}
    if any(path.exists() and file.exists() and path.samefile(file) for path in own):
        raise InvalidValueError(_("{file} is the ledger itself", file=file), hint=_("name another file for the copy"))
    if not file.is_file() or file.is_symlink():
        raise InvalidValueError(_("{file} is not a file", file=file), hint=_("name a file that is not there yet"))
    if not force:
        raise _is_there(file, there.st_size)


def _is_there(file: Path, size_bytes: int) -> RefusedError:
    return RefusedError(
        _("there is a file at {file} already, of {size:,} bytes", file=file, size=size_bytes),
        hint=_("--force replaces it"),
    )


def _copy(source: apsw.Connection, copy: Path, progress: Callable[[int, int], None]) -> None:
    """Copy what a connection sees, which holds one moment's view of it."""
    target = apsw.Connection(str(copy))
    try:
        # Nobody else has it, and a crash leaves nothing that counts: it is made durable when it is whole.
        target.execute("PRAGMA synchronous = OFF")
        with target.backup("main", source, "main") as pages:
            while not pages.done:
                pages.step(PAGES_AT_ONCE)
                progress(pages.page_count - pages.remaining, pages.page_count)
        single_file(target)
    finally:
        target.close()


def _check(copy: Path, head: list[Any]) -> None:
    """Raise RefusedError where a copy is not what was to be copied, which ended with `head`: seq and hash."""
    connection = apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        said = [text for (text,) in connection.execute("PRAGMA quick_check(1)")]
        found = list(first(connection, _HEAD)[:2])
    except (apsw.CorruptError, apsw.NotADBError) as error:
        said, found = [str(error)], head
    finally:
        connection.close()
    if said != ["ok"] or found != head:
        why = said[0] if said != ["ok"] else _("it ends with event {found}, not {seq}", found=found[0], seq=head[0])
        hint = _("`invctl verify` tells whether the ledger holds; if it does, look at the disk that you copy to")
        raise RefusedError(_("the copy does not hold, and was thrown away: {why}", why=why), hint=hint)


@contextmanager
def _no_half_copy(file: Path) -> Iterator[None]:
    """Say what failed in terms of the copy."""
    try:
        yield
    except (apsw.FullError, apsw.IOError, apsw.CantOpenError) as error:
        if getattr(error, "extendedresult", 0) in _READS:
            raise
        raise RefusedError(
            _(
                "the backup cannot be written to {parent}: {error}; no file was left there",
                parent=file.parent,
                error=error,
            ),
            hint=_("make room there, or name another place; the ledger is as it was"),
        ) from error
    except FileExistsError:
        raise _is_there(file, file.stat().st_size) from None
    except OSError as error:
        raise _unusable(file.parent, error) from None


def _unusable(place_: Path, error: OSError) -> RefusedError:
    room = error.errno in _NO_ROOM
    hint = (
        _("make room there, or name another place")
        if room
        else _("look at its mode and its disk, or name another place")
    )
    return RefusedError(
        _("{place} cannot be used for a backup: {strerror}", place=place_, strerror=error.strerror), hint=hint
    )


def sync(file: Path) -> None:
    """Make a file's content durable."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _nobody(_done: int, _total: int) -> None:
    """Nobody wants to know how far it is."""

"""Put a file in the place of a ledger, in one step, and keep what was there.

A rename is that step, while nobody else can have the old file open: two files under one name would share their `-wal`,
and one would be played into the other (docs/adr/0014-a-damaged-ledger-is-not-written-to.md).
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import apsw

from invctl.errors import BusyError, RefusedError
from invctl.language import _
from invctl.ledger import disk
from invctl.ledger.backup import compact_time
from invctl.ledger.database import first
from invctl.ledger.ledger import FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from invctl.clock import Clock

# Every connection to a WAL file holds a shared lock on these bytes (https://www.sqlite.org/src/file/src/os.h).
_SQLITE_LOCKS_AT = 0x40000000
_SQLITE_LOCKS_BYTES = 512


class Whose(NamedTuple):
    """Which ledger it is: its store's id, and the hash of its first event. None where it has not begun."""

    store: str | None
    first_hash: bytes | None


_NOBODYS = Whose(None, None)


def whose_of(connection: apsw.Connection) -> Whose:
    """Return which ledger a connection is to."""
    (store,), (hash_,) = (
        first(connection, sql) or (None,)
        for sql in ("SELECT store FROM ledger", "SELECT hash FROM events WHERE seq = 1")
    )
    return Whose(store, hash_)


def swap(made: Path, path: Path, whose: Whose, clock: Clock, *, force: bool) -> Path | None:
    """Put the file `made`, of the ledger `whose`, in the place of the ledger at `path`. Returns where that one is now.

    The caller has the turn of a writer. Raises BusyError where another process has the ledger open, RefusedError where
    it is another one than `whose`, unless forced, or cannot be kept.
    """
    wal, shm = (path.with_name(FILE + suffix) for suffix in ("-wal", "-shm"))
    there = path.exists()
    folded = there and _folded(path, damaged=disk.noted(path) is not None, whose=whose, force=force)
    with _alone(path):
        if folded and wal.exists() and wal.stat().st_size:
            raise _in_use(path)
        kept = _kept(path, wal, compact_time(clock.now_us()))
        _belongs_to_the_same(made, path)
        if there and not folded:
            # From here on the file in place is whole or not, depending on its log: it must not be used again.
            disk.note(path, "it was about to be replaced by a backup")
        for log in (wal, shm):
            log.unlink(missing_ok=True)
        disk.sync_folder(path.parent)
        made.replace(path)
        disk.sync_folder(path.parent)
        disk.forget(path)
    return kept


def _folded(path: Path, *, damaged: bool, whose: Whose, force: bool) -> bool:
    """Let the file at `path` hold all of the ledger, its log nothing. Returns False where that cannot be done.

    One that is damaged is left as it is. Raises RefusedError where it is another ledger than the backup is of.
    """
    try:
        uri = f"{path.absolute().as_uri()}?mode={'ro&immutable=1' if damaged else 'rw'}"
        with closing(apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI)) as connection:
            there = whose_of(connection)
            if there not in (whose, _NOBODYS) and not force:
                other = (
                    _("store {other}", other=there.store)
                    if there.store != whose.store
                    else _("another ledger of {other}", other=there.store)
                )
                raise RefusedError(
                    _(
                        "the ledger at {path} is of {other}, the backup of {store}",
                        path=path,
                        other=other,
                        store=whose.store,
                    ),
                    hint=_("look at --home; --force replaces it all the same, and keeps it beside"),
                    store=there.store,
                )
            if damaged:
                return False
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except apsw.BusyError:
        raise _in_use(path) from None
    except apsw.Error:
        # It cannot be read, or has no room: it is kept with its log.
        return False
    return True


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep everybody from opening the file at `path`. Raises BusyError where another process has it open."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    except OSError as error:
        raise RefusedError(
            _("{path} cannot be used: {strerror}", path=path, strerror=error.strerror), hint=_("look at its mode")
        ) from None
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, _SQLITE_LOCKS_BYTES, _SQLITE_LOCKS_AT)
        yield
    except (BlockingIOError, PermissionError):
        raise _in_use(path) from None
    finally:
        os.close(fd)


def _in_use(path: Path) -> BusyError:
    return BusyError(
        _("another process has {path} open", path=path), hint=_("try again; `fuser -v {path}` names it", path=path)
    )


def _kept(path: Path, wal: Path, at: str) -> Path | None:
    """Give what is there a second name, and its log one that goes with it. Returns that name."""
    for more in ("", *(f"-{number}" for number in range(2, 100))):
        kept = path.with_name(f"ledger.replaced-{at}{more}.db")
        if kept.exists() or kept.with_name(kept.name + "-wal").exists():
            continue
        if wal.exists():
            _also_called(wal, kept.with_name(kept.name + "-wal"))
        if not path.exists():
            return None
        _also_called(path, kept)
        disk.sync_folder(path.parent)
        return kept
    raise RefusedError(
        _("too many ledgers were replaced in {parent} at {at}", parent=path.parent, at=at), hint=_("try again")
    )


def _belongs_to_the_same(made: Path, path: Path) -> None:
    """Let who may use the ledger that is there use the new one: another user may restore than sells."""
    with suppress(OSError):
        there = path.stat()
        made.chmod(there.st_mode & 0o777)
        os.chown(made, there.st_uid, there.st_gid)


def _also_called(file: Path, name: Path) -> None:
    try:
        name.hardlink_to(file)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise RefusedError(
                _("{file} cannot be kept as {name}: {strerror}", file=file, name=name, strerror=error.strerror),
                hint=_("make room"),
            ) from None
        # This file system has no links: for a moment nothing stands there, and a restore that is cut off then is
        # begun again.
        file.rename(name)

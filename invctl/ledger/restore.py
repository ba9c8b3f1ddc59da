"""Put a backup in the place of a store's ledger. What was there is kept, under a name that says until when.

The backup is copied into the store's folder, opened there as a ledger, and replayed, before anything is touched. Then
one rename puts it in place, while nobody else can have the old file open: two files under one name would share their
`-wal`, and one would be played into the other.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import apsw

from invctl.clock import SystemClock, format_time
from invctl.errors import BusyError, NotFoundError, RefusedError
from invctl.ledger import disk
from invctl.ledger.backup import compact_time, making, refuse_unsound, single_file, sync
from invctl.ledger.checks import check_origin
from invctl.ledger.database import first
from invctl.ledger.ledger import FILE, QUEUE_TIMEOUT_S, WRITERS, Ledger
from invctl.ledger.writers import WriterQueue
from invctl.ledger.writing import NOBODY, Origin
from invctl.model import events
from invctl.settings import LOCK_FILE, RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from invctl.clock import Clock
    from invctl.ledger.ledger import Store

RESTORED = "restored"
"""How the link stands from a restore until head office has been heard."""
_HEAD = "SELECT seq, time_us FROM events ORDER BY seq DESC LIMIT 1"
# Every connection to a WAL file holds a shared lock on these bytes (https://www.sqlite.org/src/file/src/os.h).
_SQLITE_LOCKS_AT = 0x40000000
_SQLITE_LOCKS_BYTES = 512


class Restored(NamedTuple):
    """What was put in place. `taken_us` is the time of the backup's last event, `kept` what was there before."""

    store: Store
    taken_seq: int
    taken_us: int
    seq: int
    kept: Path | None


def restore(
    file: Path,
    home: Path,
    *,
    trade: bool = False,
    force: bool = False,
    origin: Origin = NOBODY,
    clock: Clock | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Restored:
    """Put the backup in `file` in the place of the ledger in `home`, which need not have one.

    Args:
        file: a backup, or any whole copy of a ledger.
        home: the store's folder; it is made.
        trade: let the store trade before its daemon has heard head office. That is recorded, by an event.
        force: also where the ledger that is there is another store's.
        origin: who asks.
        clock: tells what time the kept file is named by.
        progress: told how many events of how many are replayed, now and then.

    Raises:
        NotFoundError: there is no such file.
        RefusedError: it is no sound ledger, or another store's, or a daemon serves the store, or there is no room.
        BusyError: another process has the ledger open.

    """
    check_origin(origin)
    clock = clock or SystemClock()
    with ExitStack() as stack:
        folder = _made_home(home)
        with _no_daemon(folder):
            # Said at once, rather than after the replay only.
            pass
        made = stack.enter_context(making(folder, ".restore-"))
        _fetch(file, made / FILE)
        found = _prepared(made, file, trade=trade, origin=origin, clock=clock, progress=progress)
        stack.enter_context(_no_daemon(folder))
        queue = stack.enter_context(closing(WriterQueue(str(folder / WRITERS), QUEUE_TIMEOUT_S)))
        queue.enter()
        kept = _swapped(made / FILE, folder / FILE, found.whose, clock, force=force)
    return Restored(found.store, found.taken_seq, found.taken_us, found.seq, kept)


class _Whose(NamedTuple):
    """Which ledger it is: its store's id, and the hash of its first event. None where it has not begun."""

    store: str | None
    first_hash: bytes | None


_NOBODYS = _Whose(None, None)


class _Prepared(NamedTuple):
    store: Store
    whose: _Whose
    taken_seq: int
    taken_us: int
    seq: int


def _made_home(home: Path) -> Path:
    try:
        (home / RUN).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RefusedError(f"no folder can be made at {home}: {error.strerror}", hint="use another --home") from None
    return home


def _fetch(file: Path, copy: Path) -> None:
    """Copy a backup, with what a `-wal` beside it adds to it."""
    if not file.exists():
        raise NotFoundError(f"there is no file {file}", hint="name a file that `invctl backup` made")
    wal = file.with_name(file.name + "-wal")
    with suppress(OSError):
        # Without a log to play nothing need be locked or made beside it: it may be on a medium that is only read.
        immutable = "" if wal.exists() and wal.stat().st_size else "&immutable=1"
    try:
        source = apsw.Connection(
            f"{file.absolute().as_uri()}?mode=ro{immutable}", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        )
        with closing(source), closing(apsw.Connection(str(copy))) as target:
            target.execute("PRAGMA synchronous = OFF")
            # What is no database says so more clearly to whoever reads it than to whoever copies it.
            source.pragma("schema_version")
            with target.backup("main", source, "main") as pages:
                while not pages.done:
                    pages.step(1024)
            single_file(target)
    except apsw.FullError as error:
        raise _no_room(copy) from error
    except apsw.Error as error:
        hint = "name a file that `invctl backup` made; nothing was changed"
        raise RefusedError(f"{file} is not a backup that can be used: {error}", hint=hint) from error


def _prepared(
    made: Path,
    file: Path,
    *,
    trade: bool,
    origin: Origin,
    clock: Clock,
    progress: Callable[[int, int], None] | None,
) -> _Prepared:
    """Replay the copy of a backup, and let it say what it is: restored."""
    try:
        with Ledger.open(made, clock=clock, reserve_bytes=0) as ledger:
            taken_seq, taken_us = ledger.row(_HEAD)
            refuse_unsound(ledger, progress=progress and partial(_told, progress, taken_seq))
            whose = _whose(ledger.connection)
            _say_restored(ledger, taken_us, trade=trade)
            if trade:
                with ledger.write() as write:
                    data = {"taken_seq": taken_seq, "taken_at": format_time(taken_us), "trade": True}
                    if origin.clerk:
                        data["clerk"] = origin.clerk
                    write.append(events.LEDGER_RESTORED, write.store, data, origin)
                    write.commit()
            seq, _ = ledger.row(_HEAD)
            single_file(ledger.connection)
            # As it is to be found by who opens it: a WAL file, with nothing in its log.
            ledger.connection.execute("PRAGMA journal_mode = WAL").fetchall()
            ledger.connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    except disk.DamagedError as error:
        raise _unsound(file, made, error) from error
    except (NotFoundError, BusyError, RefusedError) as error:
        raise RefusedError(
            f"{file} is not a backup that can be used: {error.message.replace(str(made / FILE), 'it')}",
            hint="name another backup; nothing was changed",
        ) from error
    try:
        sync(made / FILE)
    except OSError as error:
        raise _no_room(made / FILE) from error
    return _Prepared(ledger.store, whose, taken_seq, taken_us, seq)


def _told(progress: Callable[[int, int], None], total: int, done: int) -> None:
    progress(done, total)


def _say_restored(ledger: Ledger, taken_us: int, *, trade: bool) -> None:
    """Let every write be refused until head office was heard; with `trade`, let none be."""
    at = f"{format_time(taken_us)[:19]}Z"
    reason = f"this ledger is a backup of {at} that was restored, and head office may hold later events"
    state, said = ("unknown", "") if trade else (RESTORED, reason)
    ledger.connection.execute("UPDATE link SET state = ?, reason = ?, frozen = ?", (state, said, said))


def _whose(connection: apsw.Connection) -> _Whose:
    (store,), (hash_,) = (
        first(connection, sql) or (None,)
        for sql in ("SELECT store FROM ledger", "SELECT hash FROM events WHERE seq = 1")
    )
    return _Whose(store, hash_)


def _unsound(file: Path, made: Path, error: disk.DamagedError) -> disk.DamagedError:
    said = error.message.replace(f"the ledger at {made / FILE}", f"the backup {file}")
    return disk.DamagedError(said, hint="use an older backup; nothing was changed", **error.details)


def _no_room(copy: Path) -> RefusedError:
    folder = copy.parent.parent
    return RefusedError(f"there is no room for the backup in {folder}", hint="make room; nothing was changed")


@contextmanager
def _no_daemon(home: Path) -> Iterator[None]:
    """Keep daemons out. Raises RefusedError where one serves the store."""
    try:
        fd = os.open(home / RUN / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise RefusedError(f"{home / RUN} cannot be used: {error.strerror}", hint="look at its mode") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RefusedError(f"a daemon serves {home}", hint="`invctl daemon stop` ends it") from None
    finally:
        os.close(fd)


def _swapped(made: Path, path: Path, whose: _Whose, clock: Clock, *, force: bool) -> Path | None:
    """Put a file in the place of the ledger at `path`, in the turn of a writer. Returns where that one is now."""
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


def _folded(path: Path, *, damaged: bool, whose: _Whose, force: bool) -> bool:
    """Let the file at `path` hold all of the ledger, its log nothing. Returns False where that cannot be done.

    One that is damaged is left as it is. Raises RefusedError where it is another ledger than the backup is of.
    """
    try:
        uri = f"{path.absolute().as_uri()}?mode={'ro&immutable=1' if damaged else 'rw'}"
        with closing(apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI)) as connection:
            there = _whose(connection)
            if there not in (whose, _NOBODYS) and not force:
                other = f"store {there.store}" if there.store != whose.store else f"another ledger of {there.store}"
                raise RefusedError(
                    f"the ledger at {path} is of {other}, the backup of {whose.store}",
                    hint="look at --home; --force replaces it all the same, and keeps it beside",
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
        raise RefusedError(f"{path} cannot be used: {error.strerror}", hint="look at its mode") from None
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, _SQLITE_LOCKS_BYTES, _SQLITE_LOCKS_AT)
        yield
    except (BlockingIOError, PermissionError):
        raise _in_use(path) from None
    finally:
        os.close(fd)


def _in_use(path: Path) -> BusyError:
    return BusyError(f"another process has {path} open", hint=f"try again; `fuser -v {path}` names it")


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
    raise RefusedError(f"too many ledgers were replaced in {path.parent} at {at}", hint="try again")


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
            raise RefusedError(f"{file} cannot be kept as {name}: {error.strerror}", hint="make room") from None
        # This file system has no links: for a moment nothing stands there, and a restore that is cut off then is
        # begun again.
        file.rename(name)

"""Put a backup in the place of a store's ledger. What was there is kept, under a name that says until when.

The backup is copied into the store's folder, opened there as a ledger, and replayed, before anything is touched.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import apsw

from invctl.clock import SystemClock, format_time
from invctl.errors import BusyError, NotFoundError, RefusedError
from invctl.language import _, english
from invctl.ledger import disk
from invctl.ledger.backup import making, refuse_unsound, single_file, sync
from invctl.ledger.checks import check_origin
from invctl.ledger.ledger import FILE, QUEUE_TIMEOUT_S, WRITERS, Ledger
from invctl.ledger.swap import Whose, swap, whose_of
from invctl.ledger.writers import WriterQueue
from invctl.ledger.writing import NOBODY, RESTORED_FROM, Origin
from invctl.model import events
from invctl.settings import LOCK_FILE, PID_FILE, RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from invctl.clock import Clock
    from invctl.ledger.ledger import Store

RESTORED = "restored"
"""How the link stands from a restore until head office has been heard."""
_DAEMON_ENDS_S = 2.0
_LOOK_EVERY_S = 0.01
_HEAD = "SELECT seq, time_us FROM events ORDER BY seq DESC LIMIT 1"


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
        kept = swap(made / FILE, folder / FILE, found.whose, clock, force=force)
    return Restored(found.store, found.taken_seq, found.taken_us, found.seq, kept)


class _Prepared(NamedTuple):
    store: Store
    whose: Whose
    taken_seq: int
    taken_us: int
    seq: int


def _made_home(home: Path) -> Path:
    try:
        (home / RUN).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RefusedError(
            _("no folder can be made at {home}: {strerror}", home=home, strerror=error.strerror),
            hint=_("use another --home"),
        ) from None
    return home


def _fetch(file: Path, copy: Path) -> None:
    """Copy a backup, with what a `-wal` beside it adds to it."""
    if not file.exists():
        raise NotFoundError(_("there is no file {file}", file=file), hint=_("name a file that `invctl backup` made"))
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
        hint = _("name a file that `invctl backup` made; nothing was changed")
        raise RefusedError(
            _("{file} is not a backup that can be used: {error}", file=file, error=error), hint=hint
        ) from error


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
            whose = whose_of(ledger.connection)
            _say_restored(ledger, taken_us, trade=trade)
            if trade:
                with ledger.write() as write:
                    data = {"taken_seq": taken_seq, "taken_at": format_time(taken_us), "trade": True}
                    if origin.clerk:
                        data["clerk"] = origin.clerk
                    write.append(events.LEDGER_RESTORED, write.store, data, origin)
                    write.commit()
            seq = ledger.row(_HEAD)[0]
            single_file(ledger.connection)
            # As it is to be found by who opens it: a WAL file, with nothing in its log.
            ledger.connection.execute("PRAGMA journal_mode = WAL").fetchall()
            ledger.connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    except disk.DamagedError as error:
        raise _unsound(file, made, error) from error
    except (NotFoundError, BusyError, RefusedError) as error:
        raise RefusedError(
            _(
                "{file} is not a backup that can be used: {why}",
                file=file,
                why=error.message.replace(str(made / FILE), _("it")),
            ),
            hint=_("name another backup; nothing was changed"),
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
    reason = _(RESTORED_FROM, at=at)
    # It is read by others, too.
    state, said = ("unknown", "") if trade else (RESTORED, english(reason))
    ledger.connection.execute("UPDATE link SET state = ?, reason = ?, frozen = ?", (state, said, said))


def _unsound(file: Path, made: Path, error: disk.DamagedError) -> disk.DamagedError:
    said = error.message.replace(_("the ledger at {path}", path=made / FILE), _("the backup {file}", file=file))
    return disk.DamagedError(said, hint=_("use an older backup; nothing was changed"), **error.details)


def _no_room(copy: Path) -> RefusedError:
    folder = copy.parent.parent
    return RefusedError(
        _("there is no room for the backup in {folder}", folder=folder), hint=_("make room; nothing was changed")
    )


def _locked(fd: int, pid_file: Path) -> bool:
    """Lock a daemon's file. One that has taken its pid away is about to end: that is waited for."""
    until_s = time.monotonic() + _DAEMON_ENDS_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if pid_file.exists() or time.monotonic() > until_s:
                return False
            time.sleep(_LOOK_EVERY_S)
        else:
            return True


@contextmanager
def _no_daemon(home: Path) -> Iterator[None]:
    """Keep daemons out. Raises RefusedError where one serves the store."""
    try:
        fd = os.open(home / RUN / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise RefusedError(
            _("{folder} cannot be used: {strerror}", folder=home / RUN, strerror=error.strerror),
            hint=_("look at its mode"),
        ) from None
    try:
        if not _locked(fd, home / RUN / PID_FILE):
            raise RefusedError(_("a daemon serves {home}", home=home), hint=_("`invctl daemon stop` ends it"))
        yield
    finally:
        os.close(fd)

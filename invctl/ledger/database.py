"""A connection to a ledger's file, set up as every process must set it up, and its errors in our words."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import apsw

from invctl.errors import BusyError, InvalidValueError, NotFoundError, RefusedError
from invctl.language import _, marked
from invctl.ledger import disk
from invctl.model.events import MalformedEventError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

BUSY_TIMEOUT_S = 5.0
_PIECE_BYTES = 65_536
_BUSY_PAUSE_MAX_S = 0.025
# Older ones may corrupt a WAL file that several processes write and checkpoint (the WAL-reset bug, fixed in 3.51.3).
_SQLITE_LEAST = 3_051_003
_LOOK_AT_MODES = marked("look at the modes of its file and folder")
_SAID: dict[type[BaseException], tuple[str, str]] = {
    apsw.CantOpenError: (
        marked("the ledger at {path} cannot be opened: {error}"),
        marked("look at the modes of its file and folder, and at how many files may be open (ulimit -n)"),
    ),
    apsw.FullError: (marked("the disk is full; nothing was written"), marked("make room, then try again")),
    apsw.SQLError: (marked("{path} is not a ledger: {error}"), marked("use another --home")),
    apsw.ReadOnlyError: (marked("the ledger at {path} cannot be written: {error}"), _LOOK_AT_MODES),
    # Every value is looked at before it is written, so the ledger was altered past its own operations.
    apsw.ConstraintError: (
        marked("the ledger at {path} does not take the change: {error}"),
        marked("`invctl verify` says where it does not add up"),
    ),
    apsw.IOError: (
        marked("the disk failed under the ledger: {error}"),
        marked("look at the disk; what was not confirmed was not written"),
    ),
}
PUZZLING = (TypeError, ValueError, LookupError, AttributeError, AssertionError)
"""What comes of values that no ledger has."""
_REFUSALS: tuple[type[BaseException], ...] = tuple(_SAID)


class UncertainError(RefusedError):
    """The disk failed as a change was committed, and nobody can say whether it is done."""

    code = "uncertain"


class Patience:
    """How long a connection waits for another program that holds the file: SQLite's busy handler.

    SQLite's own timeout would end for nobody: neither for Ctrl-C, nor for a daemon that is told to end.
    """

    def __init__(self, limit_s: float) -> None:
        """Wait at most `limit_s`."""
        self._limit_s = limit_s
        self._until_s = 0.0
        self._hurried = threading.Event()

    def wait(self, calls: int) -> bool:
        """Wait a little, after `calls` such waits for the same lock. Returns False to give up."""
        if calls == 0:
            self._until_s = time.monotonic() + self._limit_s
        pause_s = min(0.001 * (calls + 1), _BUSY_PAUSE_MAX_S)
        return time.monotonic() < self._until_s and not self._hurried.wait(pause_s)

    def hurry(self) -> None:
        """End the wait that is under way, and let none begin. Any thread may say so."""
        self._hurried.set()


def connect(path: Path, *, create: bool = False, file: disk.FileId | None = None) -> apsw.Connection:
    """Open a ledger's file; `file` as for `translated`.

    Raises NotFoundError where there is none, RefusedError where it cannot serve.
    """
    if not create and not _is_there(path):
        raise no_ledger(path)
    if apsw.SQLITE_VERSION_NUMBER < _SQLITE_LEAST:
        raise RefusedError(
            _("SQLite {version} may corrupt a shared WAL file", version=apsw.sqlite_lib_version()),
            hint=_("install apsw 3.54 or newer"),
        )
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    with translated(path, file):
        connection = apsw.Connection(str(path), flags=flags)
        connection.set_busy_timeout(round(BUSY_TIMEOUT_S * 1000))
        # A clerk's command is a short life: the last one out must not pay for a checkpoint.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        # Else SQLite looks at what is bound (a LIMIT, say) and may compile a statement anew for each value.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        for pragma in ("foreign_keys = ON", "recursive_triggers = ON", "synchronous = FULL"):
            connection.execute("PRAGMA " + pragma)
    return connection


def no_ledger(path: Path) -> NotFoundError:
    """Return the error that says how to begin."""
    return NotFoundError(_("there is no ledger at {path}", path=path), hint=_("`invctl init STORE` opens one"))


def rows(connection: apsw.Connection, sql: str, bindings: Iterable[Any] = ()) -> list[Any]:
    """Return all rows of a query."""
    return connection.execute(sql, tuple(bindings)).fetchall()


def first(connection: apsw.Connection, sql: str, bindings: Iterable[Any] = ()) -> Any:
    """Return the first row of a query, None where there is none."""
    return connection.execute(sql, tuple(bindings)).fetchone()


def commit(connection: apsw.Connection) -> None:
    """Commit the transaction.

    Where the disk fails at it, it is undone: also for whoever opens the file later. Raises UncertainError where the
    disk does not even take that.
    """
    try:
        connection.execute("COMMIT")
    except apsw.IOError:
        _write_over_what_failed(connection)
        raise


def _write_over_what_failed(connection: apsw.Connection) -> None:
    """Commit nothing, in the place of what the disk failed to flush.

    SQLite has forgotten that one, but all of it stands in the log. Who opens the file when nobody else has it open
    reads the log from its beginning, and would take it for committed: after the clerk was told that it is not done.
    Nor is what stands before it safe: the kernel may have dropped all that it was to flush, also notes that waited for
    this flush (`outbox.remember_link`), and say nothing the next time. So the whole log is written anew, and flushed.
    """
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")
        _write_log_anew(connection)
        # An UPDATE that changes nothing would write nothing; this writes its page in any case.
        connection.execute(f"PRAGMA user_version = {connection.pragma('user_version')}")
        connection.execute("COMMIT")
    except apsw.Error as error:
        raise UncertainError(
            _("the disk failed under the ledger, and whether this is done is not known: {error}", error=error),
            hint=_("look at the disk; `invctl history` tells later, and under the same --request-id it is done once"),
        ) from error


def _write_log_anew(connection: apsw.Connection) -> None:
    """Write the log's own bytes onto it. Nobody else writes it meanwhile; who reads finds what was there."""
    log = apsw.VFSFile("", connection.filename_wal, [apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READWRITE, 0])
    try:
        size = log.xFileSize()
        for offset in range(0, size, _PIECE_BYTES):
            log.xWrite(log.xRead(min(_PIECE_BYTES, size - offset), offset), offset)
    finally:
        log.xClose()


@contextmanager
def translated(path: Path, file: disk.FileId | None = None) -> Iterator[None]:
    """Turn SQLite's errors into ours.

    That the file is damaged is noted beside it, where it still is the one that was opened (`file`).
    """
    try:
        yield
    except apsw.BusyError as error:
        raise BusyError(_("the ledger is busy: {error}", error=error), hint=_("try again")) from error
    except UnicodeEncodeError:
        raise InvalidValueError(_("the text is not Unicode"), hint=_("check the terminal's encoding")) from None
    except (UnicodeDecodeError, OverflowError, MalformedEventError) as error:
        # So it looks from here. That nothing may be written for good is not said on the strength of that.
        raise disk.damaged(path, str(error)) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        if file is not None and disk.file_at(path) == file:
            disk.note(path, str(error))
        raise disk.damaged(path, str(error)) from error
    except _REFUSALS as error:
        said, hint = next(_SAID[kind] for kind in type(error).__mro__ if kind in _SAID)
        raise RefusedError(_(said, path=path, error=error), hint=_(hint)) from error


def explain(path: Path, connection: apsw.Connection, file: disk.FileId | None, error: BaseException) -> None:
    """Look at the file's pages after an error that content of no sense may have led to.

    Raises DamagedError where they are damaged. Where they are in order it was a fault of ours.
    """
    if not isinstance(error, PUZZLING):
        return
    with translated(path, file):
        said = [text for (text,) in connection.execute("PRAGMA quick_check(1)")]
    if said == ["ok"]:
        return
    why = said[0] if said else _("it cannot be checked")
    if disk.file_at(path) == file:
        disk.note(path, why)
    raise disk.damaged(path, why) from error


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        # It cannot be looked at: SQLite says why.
        return True
    return True

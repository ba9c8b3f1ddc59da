"""A store's ledger: open it, read it, and write it one decided operation at a time.

The operations themselves are functions in `products`, `adjustments` and `reservations`; they go through `decide`.
"""

from __future__ import annotations

import os
import stat
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.clock import SystemClock
from invctl.errors import BusyError, NotEnoughStockError, NotFoundError, RefusedError, WrongStateError
from invctl.language import _, marked
from invctl.ledger import database, disk, migrations, requests
from invctl.ledger.checks import check_currency, check_name, check_origin, check_timezone
from invctl.ledger.database import BUSY_TIMEOUT_S, Patience, connect, no_ledger, translated
from invctl.ledger.writers import WriterQueue
from invctl.ledger.writing import NOBODY, Origin, Receipt, Write
from invctl.model import events
from invctl.model.identifiers import check_store
from invctl.settings import POKE_FILE, RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    import apsw

    from invctl.clock import Clock
    from invctl.model.identifiers import Bits

FILE = "ledger.db"
WRITERS = "writers"
QUEUE_TIMEOUT_S = 10.0
NAME_CHARS_MAX = 200
# How often an opening begins anew because the file was replaced under it.
_OPENINGS = 3


class SystemBits:
    """Chance as `random.SystemRandom` gives it; importing `random` costs a clerk's command a millisecond."""

    def getrandbits(self, k: int, /) -> int:
        """`k` random bits as a non-negative integer."""
        return int.from_bytes(os.urandom((k + 7) // 8), "big") >> (-k % 8)


class Store(NamedTuple):
    """Whose ledger it is. `currency` is an ISO 4217 code, `timezone` an IANA name."""

    store: str
    name: str
    currency: str
    timezone: str
    epoch: int


class Ledger:
    """A store's ledger, through one connection. Not for use by two threads at once."""

    def __init__(
        self,
        home: Path,
        connection: apsw.Connection,
        store: Store,
        clock: Clock,
        chance: Bits,
        timeout_s: float,
        reserve_bytes: int = disk.RESERVE_BYTES,
    ) -> None:
        """Take over a connection to the ledger in the folder `home`: `open` and `create` are the ways in."""
        self.home = home
        self.path = home / FILE
        self.reserve_bytes = reserve_bytes
        self._file = disk.file_at(self.path)
        self.connection = connection
        self.store = store
        self.clock = clock
        self.chance = chance
        self._queue = WriterQueue(str(home / WRITERS), timeout_s)
        self._patience = Patience(BUSY_TIMEOUT_S)
        connection.set_busy_handler(self._patience.wait)
        self._poke_file = str(home / RUN / POKE_FILE)
        self.waited: Callable[[float], object] = float
        """Told of each turn to write how long it was waited for, in seconds."""

    @classmethod
    def open(
        cls,
        home: Path | str,
        *,
        clock: Clock | None = None,
        chance: Bits | None = None,
        queue_timeout_s: float = QUEUE_TIMEOUT_S,
        reserve_bytes: int = disk.RESERVE_BYTES,
    ) -> Self:
        """Open the ledger in a store's folder.

        `reserve_bytes` of its disk are kept for what is under way already: see `check_room`.

        Raises:
            NotFoundError: there is none, or its opening was cut off.
            RefusedError: it is damaged, newer than this program, or the file cannot be used.
            BusyError: it has to be brought up to date and others hold it.

        """
        home = Path(home)
        path = home / FILE
        for _attempt in range(_OPENINGS):
            file = disk.file_at(path)
            try:
                connection, store = _opened(path, file)
            except disk.DamagedError:
                if disk.file_at(path) == file:
                    raise
                continue
            ledger = cls(
                home, connection, store, clock or SystemClock(), chance or SystemBits(), queue_timeout_s, reserve_bytes
            )
            if ledger._file == file:
                return ledger
            # A backup was put in its place just now: that one counts.
            ledger.close()
        raise _replaced(path)

    @classmethod
    def create(
        cls,
        home: Path | str,
        store: str,
        *,
        name: str = "",
        currency: str = "USD",
        timezone: str = "UTC",
        clock: Clock | None = None,
        chance: Bits | None = None,
        origin: Origin = NOBODY,
    ) -> Self:
        """Open a new ledger in a folder, which is made. One whose opening was cut off is completed.

        Raises:
            InvalidValueError: a value is not of its form.
            RefusedError: there is a ledger already, or something else, or the folder cannot be used.
            BusyError: somebody else is opening it.

        """
        facts = Store(check_store(store), name or store, check_currency(currency), check_timezone(timezone), 1)
        check_name(facts.name, marked("store's name"), NAME_CHARS_MAX)
        check_origin(origin)
        home = Path(home)
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RefusedError(
                _("no folder can be made at {home}: {strerror}", home=home, strerror=error.strerror),
                hint=_("use another --home"),
            ) from None
        connection = _laid_down(home)
        ledger = cls(home, connection, facts, clock or SystemClock(), chance or SystemBits(), QUEUE_TIMEOUT_S)
        try:
            ledger._begin(origin)
        except BaseException:
            ledger.close()
            raise
        return ledger

    def _begin(self, origin: Origin) -> None:
        with self.write() as write:
            found = database.first(self.connection, "SELECT store FROM ledger")
            if found:
                raise RefusedError(
                    _("there is a ledger here already, of store {store}", store=found[0]),
                    hint=_("use another --home"),
                )
            self.connection.execute("INSERT INTO ledger VALUES (1, ?, ?, ?, ?, ?)", self.store)
            write.append(events.LEDGER_CREATED, self.store.store, self.store._asdict(), origin)
            write.commit()

    def close(self) -> None:
        """Give the files back."""
        self.connection.close()
        self._queue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if error is not None:
                database.explain(self.path, self.connection, self._file, error)
        finally:
            self.close()

    def hurry(self) -> None:
        """Let nothing wait for other writers any longer: it is busy at once, also what waits now.

        Any thread may say so, as this one's process is about to end.
        """
        self._queue.hurry()
        self._patience.hurry()

    def now_us(self) -> int:
        """Return the ledger's time, which never runs back: the later of now and the last event's."""
        row = self.row("SELECT time_us FROM events ORDER BY seq DESC LIMIT 1")
        return max(self.clock.now_us(), row[0] if row else 0)

    def reload(self) -> None:
        """Read again whose ledger it is: another connection may have given it a new epoch."""
        row = self.row("SELECT store, name, currency, timezone, epoch FROM ledger")
        self.store = Store(*row)

    def frozen(self) -> str:
        """Return why nothing may be written now, empty where it may."""
        return str(self.row("SELECT frozen FROM link")[0])

    def rows(self, sql: str, bindings: Iterable[Any] = ()) -> list[Any]:
        """Return all rows of a query."""
        with translated(self.path, self._file):
            return database.rows(self.connection, sql, bindings)

    def row(self, sql: str, bindings: Iterable[Any] = ()) -> Any:
        """Return the first row of a query, None where there is none."""
        with translated(self.path, self._file):
            return database.first(self.connection, sql, bindings)

    def link_state(self) -> tuple[str, str]:
        """Return how the link to head office stands, and why, as the daemon last knew. `reads.link` tells more."""
        state, reason = self.row("SELECT state, reason FROM link")
        return state, reason

    @contextmanager
    def read(self) -> Iterator[None]:
        """Hold one moment's view of the ledger over several queries."""
        with translated(self.path, self._file):
            self.connection.execute("BEGIN")
            try:
                yield
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[Write]:
        """Hold the ledger for writing. What is not committed by `Write.commit` is undone.

        Raises BusyError when the turn does not come in time, DamagedError where the ledger is known to be damaged.
        """
        write = None
        began_s = self.clock.monotonic_s()
        self._queue.enter()
        try:
            self.waited(self.clock.monotonic_s() - began_s)
            # Whoever waited for a turn may have waited for `invctl restore`.
            if disk.file_at(self.path) != self._file:
                raise _replaced(self.path)
            disk.refuse(self.path)
            with translated(self.path, self._file):
                self.connection.execute("BEGIN IMMEDIATE")
                try:
                    write = Write(self.connection, self.store.store, self.clock, self.chance)
                    yield write
                finally:
                    if self.connection.in_transaction:
                        self.connection.execute("ROLLBACK")
        finally:
            self._queue.leave()
            if write is not None and write.brought_events:
                self._poke()

    def decide(
        self,
        operation: str,
        arguments: dict[str, Any],
        origin: Origin,
        skus: Iterable[str],
        body: Callable[[Write, Origin], Receipt],
        *,
        grows: bool = False,
        dry_run: bool = False,
    ) -> Receipt:
        """Decide one operation in one transaction, once for each request id.

        What is due for `skus` expires first, and stays expired even where `body` then refuses. `body` checks
        before it writes; the origin that it gets bears the request's fingerprint. What `grows` begins something new,
        and is refused where the disk is low. A `dry_run` decides the same, and leaves everything as it is.
        """
        check_origin(origin)
        with self.write() as write:
            if origin.request_id:
                origin = origin._replace(request_hash=requests.fingerprint(operation, arguments))
                if receipt := requests.recall(write, origin):
                    return receipt
            try:
                if grows:
                    self.check_room()
                write.expire_due(skus)
                receipt = body(write, origin)
            except RefusedError as refusal:
                if not dry_run:
                    self._poke(refusal.code)
                raise
            except (NotFoundError, NotEnoughStockError, WrongStateError) as refusal:
                if not dry_run:
                    self._poke(refusal.code)
                if write.head == write.settled and not dry_run:
                    requests.remember_refusal(write, origin, refusal)
                    write.commit()
                raise
            requests.remember(write, origin, receipt.seq)
            if not dry_run:
                write.commit()
        return receipt

    def check_room(self) -> None:
        """Raise DiskLowError where so little of the disk is free that only what is under way may go on."""
        disk.check_room(self.home, self.reserve_bytes)

    def _poke(self, refusal: str = "") -> None:
        """Tell the daemon that there is something new, or the code of a refusal, which is no event, for it to count.

        Without one nothing happens; for what is new it also looks by itself.
        """
        with suppress(OSError):
            fd = os.open(self._poke_file, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                # What else may be there (a backup put back, a link) is not ours to write into.
                if stat.S_ISFIFO(os.fstat(fd).st_mode):
                    os.write(fd, f"{refusal}!".encode())
            finally:
                os.close(fd)


def _laid_down(home: Path) -> apsw.Connection:
    """Connect to a file with the schema in it, and make it where there is none.

    One at a time: SQLite tells whoever comes second, while a file becomes a WAL file, that it is busy.
    """
    path = home / FILE
    with closing(WriterQueue(str(home / WRITERS), QUEUE_TIMEOUT_S)) as queue:
        queue.enter()
        disk.refuse(path)
        connection = connect(path, create=True)
        try:
            with translated(path):
                migrations.refuse_foreign(connection)
                connection.execute("PRAGMA journal_mode = WAL")
                migrations.migrate(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _opened(path: Path, file: disk.FileId | None) -> tuple[apsw.Connection, Store]:
    """Connect to a ledger, and return whose it is."""
    connection = connect(path, file=file)
    try:
        try:
            return connection, _begun(connection, path, file)
        except database.PUZZLING as error:
            database.explain(path, connection, file, error)
            raise
    except BaseException:
        connection.close()
        raise


def _refuse_headless(connection: apsw.Connection, path: Path) -> None:
    """Raise DamagedError where a file says that it has not begun, and has tables: both are written at once."""
    if database.rows(connection, "SELECT 1 FROM sqlite_schema WHERE name = 'events'"):
        why = _("its header does not say what format it has")
        disk.note(path, why)
        raise disk.damaged(path, why)


def _replaced(path: Path) -> BusyError:
    return BusyError(_("the ledger at {path} was replaced by another file just now", path=path), hint=_("try again"))


def _begun(connection: apsw.Connection, path: Path, file: disk.FileId | None) -> Store:
    """Bring a ledger up to date and return whose it is."""
    with translated(path, file):
        version = migrations.version_of(connection)
        if version < migrations.NEWEST:
            # Nor is it to be taken for one that has not begun.
            disk.refuse(path)
            if version == 0:
                _refuse_headless(connection, path)
                raise no_ledger(path)
            migrations.migrate(connection)
        row = database.first(connection, "SELECT store, name, currency, timezone, epoch FROM ledger")
        if row is None:
            raise no_ledger(path)
    return Store(*row)

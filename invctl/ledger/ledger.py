"""A store's ledger: open it, read it, and write it one decided operation at a time.

The operations themselves are functions in `products`, `adjustments` and `reservations`; they go through `decide`.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.clock import SystemClock
from invctl.errors import NotEnoughStockError, NotFoundError, RefusedError, WrongStateError
from invctl.ledger import database, migrations, requests
from invctl.ledger.database import connect, translated
from invctl.ledger.writers import WriterQueue
from invctl.ledger.writing import Origin, Receipt, Write
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
QUEUE_TIMEOUT_S = 10.0


class Store(NamedTuple):
    """Whose ledger it is. `currency` is an ISO 4217 code, `timezone` an IANA name."""

    store: str
    name: str
    currency: str
    timezone: str
    epoch: int


class Ledger:
    """A store's ledger, through one connection. Not for use by two threads at once."""

    def __init__(self, home: Path, connection: apsw.Connection, clock: Clock, chance: Bits, timeout_s: float) -> None:
        """Take over a connection to the ledger in the folder `home`: `open` and `create` are the ways in."""
        self.home = home
        self.path = home / FILE
        self.connection = connection
        self.clock = clock
        self.chance = chance
        self._queue = WriterQueue(str(home / "writers"), timeout_s)
        self._store: Store | None = None

    @classmethod
    def open(
        cls,
        home: Path | str,
        *,
        clock: Clock | None = None,
        chance: Bits | None = None,
        queue_timeout_s: float = QUEUE_TIMEOUT_S,
    ) -> Self:
        """Open the ledger in a store's folder.

        Raises:
            NotFoundError: there is none.
            RefusedError: it is damaged, or newer than this program.
            BusyError: it has to be brought up to date and others hold it.

        """
        home = Path(home)
        path = home / FILE
        connection = connect(path)
        with translated(path):
            migrations.migrate(connection)
        return cls(home, connection, clock or SystemClock(), chance or SystemRandom(), queue_timeout_s)

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
        origin: Origin | None = None,
    ) -> Self:
        """Open a new ledger in a folder, which is made. Raises RefusedError where there is a ledger already."""
        check_store(store)
        home = Path(home)
        home.mkdir(parents=True, exist_ok=True)
        path = home / FILE
        connection = connect(path, create=True)
        with translated(path):
            migrations.migrate(connection)
        ledger = cls(home, connection, clock or SystemClock(), chance or SystemRandom(), QUEUE_TIMEOUT_S)
        facts = Store(store, name or store, currency, timezone, 1)
        with ledger.write() as write:
            if write.head.seq:
                found = ledger.store.store
                raise RefusedError(f"there is a ledger here already, of store {found}", hint="use another --home")
            write.connection.execute("INSERT INTO ledger VALUES (1, ?, ?, ?, ?, ?)", facts)
            write.store = store
            write.append(events.LEDGER_CREATED, store, facts._asdict(), origin or Origin())
            write.commit()
        return ledger

    def close(self) -> None:
        """Give the files back."""
        self.connection.close()
        self._queue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def store(self) -> Store:
        """Whose ledger it is."""
        if self._store is None:
            row = self.row("SELECT store, name, currency, timezone, epoch FROM ledger")
            if row is None:
                raise NotFoundError(f"the ledger at {self.path} was never opened", hint="`invctl init STORE` opens one")
            self._store = Store(*row)
        return self._store

    def rows(self, sql: str, bindings: Iterable[Any] = ()) -> list[Any]:
        """Return all rows of a query."""
        with translated(self.path):
            return database.rows(self.connection, sql, bindings)

    def row(self, sql: str, bindings: Iterable[Any] = ()) -> Any:
        """Return the first row of a query, None where there is none."""
        with translated(self.path):
            return database.first(self.connection, sql, bindings)

    @contextmanager
    def read(self) -> Iterator[None]:
        """Hold one moment's view of the ledger over several queries."""
        with translated(self.path):
            self.connection.execute("BEGIN")
            try:
                yield
            finally:
                self.connection.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[Write]:
        """Hold the ledger for writing. What is not committed by `Write.commit` is undone.

        Raises BusyError when the turn does not come in time.
        """
        write = None
        self._queue.enter()
        try:
            with translated(self.path):
                self.connection.execute("BEGIN IMMEDIATE")
                try:
                    write = Write(self.connection, self.clock, self.chance)
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
    ) -> Receipt:
        """Decide one operation in one transaction, once for each request id.

        What is due for `skus` expires first, and stays expired even where `body` then refuses. `body` checks
        before it writes; the origin that it gets bears the request's fingerprint.
        """
        fingerprint = requests.fingerprint(operation, arguments) if origin.request_id else ""
        origin = origin._replace(request_hash=fingerprint)
        with self.write() as write:
            if origin.request_id and (receipt := requests.recall(write, origin)):
                return receipt
            write.expire_due(skus)
            try:
                receipt = body(write, origin)
            except (NotFoundError, NotEnoughStockError, WrongStateError) as refusal:
                if write.head == write.settled:
                    requests.remember_refusal(write, origin, refusal)
                    write.commit()
                raise
            requests.remember(write, origin, receipt.seq)
            write.commit()
        return receipt

    def _poke(self) -> None:
        """Tell the daemon that there is something new. Without one nothing happens; it also looks by itself."""
        with suppress(OSError):
            fd = os.open(self.home / RUN / POKE_FILE, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.write(fd, b"!")
            finally:
                os.close(fd)

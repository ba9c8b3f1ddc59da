"""Verify central against its own archive: the hash chain from the first event, and what its replay comes to.

The archive is read once, event by event, beside the store's reservations in the order of their last events. So each
reservation is compared when its last event passes, and what is kept at a time is the store's SKUs and the
reservations that are open at that point of its history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from central import facts, tables
from central.archive import read_archive
from central.parting import Shown, partings
from central.reservation_rows import ReservationRows, comparable
from invctl.errors import NotFoundError
from invctl.model.chain import GENESIS, link
from invctl.model.projection import Product, Projection
from invctl.model.reservation import Reservation
from invctl.model.stock import EMPTY, StockLevel

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from central.parting import Key

NAMED_MAX = 100


class Difference(NamedTuple):
    """Something that central's tables say otherwise than its archive, or the archive otherwise than its own hashes.

    `what` is `archive`, `chain`, `level`, `product`, `reservation` or `cursor`; `key` says which. `expected` is what
    the archive says, `found` what is shown: JSON values, an object where several are compared, None for nothing. `seq`
    is the event at which the two part, None where no event has to do with it.
    """

    what: str
    key: str
    expected: Any
    found: Any
    seq: int | None = None


class Verification(NamedTuple):
    """What verifying one store came to, up to `seq` and `hash` (hexadecimal).

    `differences` are central's fault; `findings` the store's, such as a level below zero that its own events state.
    The first NAMED_MAX of each are named.
    """

    store: str
    events: int
    seq: int
    hash: str
    differences: list[Difference]
    findings: list[str]

    @property
    def ok(self) -> bool:
        """Whether central says what its archive says."""
        return not self.differences

    @property
    def first_seq(self) -> int | None:
        """The first event at which anything parts, of what is named; None where nothing does."""
        return min((each.seq for each in self.differences if each.seq is not None), default=None)

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value."""
        differences = [each._asdict() for each in self.differences]
        return {**self._asdict(), "differences": differences, "first_seq": self.first_seq, "ok": self.ok}


def verify_store(connection: Connection, store: str) -> Verification:
    """Replay a store's archive and compare. Use a transaction of `central.database.reading`: it takes a while.

    Raises NotFoundError where the store is not known.
    """
    cursor = connection.execute(select(tables.cursors).where(tables.cursors.c.store == store)).one_or_none()
    if cursor is None:
        raise NotFoundError(f"there is no store {store}", hint="invcentral stores list", store=store)
    replay = _Replay(connection, store)
    for row in read_archive(connection, store):
        replay.take(row)
    replay.finish()
    # The first event that one has and the other has not, or the last that both have.
    at = min(replay.seq, cursor.applied_seq) + (replay.seq != cursor.applied_seq)
    replay.compare("cursor", "applied_seq", replay.seq, cursor.applied_seq, at)
    replay.compare("cursor", "applied_hash", replay.hash.hex(), cursor.applied_hash.hex(), at)
    replay.compare("cursor", "epoch", replay.epoch, cursor.epoch, replay.epoch_seq)
    differences = replay.located(connection)
    return Verification(store, replay.events, replay.seq, replay.hash.hex(), differences, replay.findings)


class _Replay:
    """One pass through a store's archive."""

    def __init__(self, connection: Connection, store: str) -> None:
        self.differences: list[Difference] = []
        self.findings: list[str] = []
        self.events = 0
        self.seq = 0
        self.hash = GENESIS
        self.epoch = 1
        self.epoch_seq: int | None = None
        self._connection = connection
        self._store = store
        self._position = 0
        self._projection = Projection()
        self._seqs: dict[str, int] = {}
        self._product_seqs: dict[str, int] = {}
        self._reservations = ReservationRows(connection, store)
        # Reservations whose row did not come yet.
        self._owed: set[str] = set()
        # Those of open reservations that came: a later event may follow, of which they know nothing.
        self._passed: dict[str, dict[str, Any]] = {}
        # The rows that differ from what the archive comes to.
        self._odd: dict[Key, Shown] = {}

    def compare(self, what: str, key: str, expected: object, found: object, seq: int | None = None) -> bool:
        """Note a difference, if it is one, and say whether it is named."""
        if expected == found or len(self.differences) >= NAMED_MAX:
            return False
        self.differences.append(Difference(what, key, expected, found, seq))
        return True

    def compare_row(self, what: str, key: str, expected: object, found: object, shown: Shown, seq: int | None) -> None:
        """Compare a row with what the archive comes to; `seq` is the last event of it there.

        Where they part is found out in the end.
        """
        if self.compare(what, key, expected, found, seq):
            self._odd[what, key] = shown

    def located(self, connection: Connection) -> list[Difference]:
        """Return the differences, each with the event at which the two part."""
        if not self._odd:
            return self.differences
        found = partings(connection, self._store, self._odd, _told)
        return [each._replace(seq=found.get((each.what, each.key), each.seq)) for each in self.differences]

    def take(self, row: Row[*tuple[Any, ...]]) -> None:
        self.compare("archive", f"seq after {self.seq}", self.seq + 1, row.seq, self.seq + 1)
        self.seq, self.events = row.seq, self.events + 1
        self.hash = link(self.hash, row.seq, row.body)
        self.compare("chain", f"event {row.seq}", self.hash.hex(), row.hash.hex(), row.seq)
        # From here on the chain is compared with what it says itself: one damaged event is one difference.
        self.hash = row.hash
        event = facts.read(row.seq, row.body)
        columns = {"id": event.event_id, "type": event.type, "time_us": event.time_us}
        stored = {"id": row.event_id, "type": row.type, "time_us": row.time_us}
        self.compare("archive", f"event {row.seq}", columns, stored, row.seq)
        if row.position <= self._position:
            self.compare("archive", f"event {row.seq}", f"a position beyond {self._position}", row.position, row.seq)
        self._position = row.position
        self._project(row.seq, event, row.body)

    def _project(self, seq: int, event: facts.Facts, body: bytes) -> None:
        self._projection.apply(seq, facts.as_applied(event, body))
        if event.doubt:
            self._find(f"event {seq} is {event.doubt}")
        for found in self._projection.findings:
            self._find(f"event {found.seq}: {found.what}")
        self._projection.findings.clear()
        self._seqs.update((entry.sku, seq) for entry in event.lines)
        self._pass_reservations(seq)
        stated = event.stated
        if isinstance(stated, Product):
            self._product_seqs[stated.sku] = seq
        elif isinstance(stated, facts.Rebased):
            self.epoch, self.epoch_seq = stated.epoch, seq
        elif isinstance(stated, Reservation):
            self._compare_reservation(seq, stated.reservation)

    def _compare_reservation(self, seq: int, key: str) -> None:
        row = self._reservations.at(seq, key)
        if row is None:
            self._owed.add(key)
            return
        self._owed.discard(key)
        after = self._projection.reservations[key]
        expected = comparable(after)
        self.compare_row("reservation", key, expected, row, _shown(row), seq)
        if after.pending:
            self._passed[key] = row
        else:
            # Its row names this event as its last, so nothing of it follows.
            del self._projection.reservations[key]

    def _pass_reservations(self, seq: int) -> None:
        for key, last in self._reservations.before(seq):
            self.compare("reservation", key, f"last changed by another event than {last}", f"{last}", last)

    def _find(self, what: str) -> None:
        if len(self.findings) < NAMED_MAX:
            self.findings.append(what)

    def finish(self) -> None:
        for found in self._projection.close():
            self._find(f"event {found.seq}: {found.what}" if found.seq else found.what)
        for key, last in self._reservations.before(None):
            self.compare("reservation", key, "none, or an earlier last event", f"last changed by event {last}", last)
        for key in sorted(self._owed):
            owed, row = self._projection.reservations[key], self._passed.get(key)
            self.compare_row("reservation", key, comparable(owed), row, _shown(row), owed.seq)
        self._compare_levels()
        self._compare_products()

    def _compare_levels(self) -> None:
        table = tables.levels
        rows = self._connection.execute(select(table).where(table.c.store == self._store))
        found = {row.sku: (StockLevel(row.on_hand, row.reserved, row.version), row.seq) for row in rows}
        for sku in sorted(found.keys() | self._projection.levels.keys()):
            level, seq = found.get(sku, (None, None))
            shown, last = level and level._asdict(), self._seqs.get(sku)
            expected = self._projection.levels.get(sku, EMPTY)._asdict()
            self.compare_row("level", sku, expected, shown, Shown(shown, seq), last)
            if last is not None:
                self.compare("level", sku, f"as of event {last}", f"as of event {seq}", last)

    def _compare_products(self) -> None:
        table = tables.products
        rows = self._connection.execute(select(table).where(table.c.store == self._store))
        found = {row.sku: {"name": row.name, "price": row.price, "seq": row.seq} for row in rows}
        for sku in sorted(found.keys() | self._projection.products.keys()):
            product: Product | None = self._projection.products.get(sku)
            last = self._product_seqs.get(sku)
            expected = product and {"name": product.name, "price": product.price, "seq": last}
            self.compare_row("product", sku, expected, found.get(sku), _shown(found.get(sku)), last)


def _shown(row: dict[str, Any] | None) -> Shown:
    """Return a row without the event that it names as its last."""
    if row is None:
        return Shown(None, None)
    return Shown({name: value for name, value in row.items() if name != "seq"}, row["seq"])


def _told(reservation: Reservation) -> Any:
    return _shown(comparable(reservation)).value

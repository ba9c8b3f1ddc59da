"""Replay a ledger from its events and hold it against what its tables say."""

from __future__ import annotations

from collections import defaultdict
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.clock import format_time, parse_time
from invctl.errors import InvalidValueError, RefusedError
from invctl.model import events
from invctl.model.chain import GENESIS, link
from invctl.model.projection import Projection
from invctl.model.reservation import Reservation, ReservationLine

if TYPE_CHECKING:
    from collections.abc import Callable

    from invctl.ledger.ledger import Ledger

FINDINGS_MAX = 100


class Verdict(NamedTuple):
    """What a replay found. `findings` is empty for a sound ledger, and says at most so many things."""

    store: str
    events: int
    head_hash: bytes
    skus: int
    reservations: int
    findings: list[str]


def verify(ledger: Ledger, *, progress: Callable[[int], None] | None = None) -> Verdict:
    """Replay the ledger: hash chain, each movement, sums, levels, reservations, products, the store's own facts.

    Args:
        ledger: the store's, which may go on being written: one moment's view is checked.
        progress: told the number of events checked so far, now and then.

    """
    findings: list[str] = []
    replay = _Replay(ledger.store.store, findings)
    try:
        with ledger.read():
            findings += _file_findings(ledger)
            for row in ledger.connection.execute("SELECT seq, id, type, time_us, body, hash FROM events ORDER BY seq"):
                replay.check(Stored(*row))
                if progress and replay.seq % 1000 == 0:
                    progress(replay.seq)
            findings += [
                f"event {found.seq}: {found.what}" if found.seq else found.what for found in replay.projection.close()
            ]
            findings += _table_findings(ledger, replay)
    except RefusedError as error:
        # A page that cannot be read ends the replay. What was found until then still counts.
        findings.append(error.message)
    projection = replay.projection
    return Verdict(
        replay.store,
        replay.seq,
        replay.hash,
        len(projection.levels),
        len(projection.reservations),
        findings[:FINDINGS_MAX],
    )


class Stored(NamedTuple):
    """An event's row."""

    seq: int
    id: str
    type: str
    time_us: int
    body: bytes
    hash: bytes


class _Replay:
    def __init__(self, store: str, findings: list[str]) -> None:
        self.store = store
        self.findings = findings
        self.seq = 0
        self.hash = GENESIS
        self.projection = Projection()
        self.movements: defaultdict[str, blake2b] = defaultdict(_digest)
        self.facts: dict[str, Any] = {}
        self.first_seqs: dict[str, int] = {}
        self._time_us = 0

    def check(self, stored: Stored) -> None:
        seq = stored.seq
        if seq != self.seq + 1:
            self._find(seq, f"follows event {self.seq}")
        if link(self.hash, seq, stored.body) != stored.hash:
            self._find(seq, "its bytes do not lead to its hash")
        self.seq, self.hash = seq, stored.hash
        try:
            event = events.parse(stored.body)
            stated = (event.id, event.type, event.store, parse_time(event.time))
        except (events.MalformedEventError, InvalidValueError) as error:
            self._find(seq, f"it cannot be read: {error}")
            return
        if stated != (stored.id, stored.type, self.store, stored.time_us):
            self._find(seq, "its columns do not say what its bytes say")
        if stored.time_us < self._time_us:
            self._find(seq, "it is older than the event before it")
        self._time_us = max(self._time_us, stored.time_us)
        for entry in event.lines:
            self.movements[entry.sku].update(_row_bytes(seq, entry.on_hand_change, entry.reserved_change, *entry.level))
        if event.type == events.LEDGER_CREATED:
            self.facts = event.data
        elif event.type == events.RESERVATION_CREATED:
            self.first_seqs.setdefault(str(event.data.get("reservation")), seq)
        self.projection.apply(seq, event)

    def _find(self, seq: int, what: str) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(f"event {seq}: {what}")


def _digest() -> blake2b:
    return blake2b(digest_size=16)


def _row_bytes(*numbers: int) -> bytes:
    return (",".join(map(str, numbers)) + ";").encode()


def _file_findings(ledger: Ledger) -> list[str]:
    rows = ledger.connection.execute("PRAGMA integrity_check(10)").fetchall()
    return [] if rows == [("ok",)] else [f"the file is damaged: {row[0]}" for row in rows]


def _table_findings(ledger: Ledger, replay: _Replay) -> list[str]:
    projection = replay.projection
    levels = {row[0]: row[1:] for row in ledger.rows("SELECT sku, on_hand, reserved, version FROM stock")}
    wanted = {sku: tuple(level) for sku, level in projection.levels.items()}
    findings = _differences("stock", levels, wanted)
    products = {row[0]: row[1:] for row in ledger.rows("SELECT sku, name, price FROM products")}
    findings += _differences(
        "product", products, {sku: (product.name, product.price) for sku, product in projection.products.items()}
    )
    movements: defaultdict[str, blake2b] = defaultdict(_digest)
    for sku, *numbers in ledger.connection.execute(
        "SELECT sku, seq, on_hand_change, reserved_change, on_hand, reserved, version FROM movements ORDER BY sku, seq"
    ):
        movements[sku].update(_row_bytes(*numbers))
    findings += _differences(
        "movements of",
        {sku: digest.hexdigest() for sku, digest in movements.items()},
        {sku: digest.hexdigest() for sku, digest in replay.movements.items()},
    )
    findings += _differences("reservation", _reservations(ledger), dict(projection.reservations))
    first_seqs = dict(ledger.rows("SELECT reservation, first_seq FROM reservations"))
    findings += _differences("the first event of reservation", first_seqs, replay.first_seqs)
    # What is due for a SKU is looked up by its lines.
    findings += [
        f"reservation {key}: {sku} is due at {due_us}, the whole at {expires_us}"
        for key, sku, due_us, expires_us in ledger.rows(
            "SELECT reservation, sku, due_us, expires_us FROM reservations JOIN reservation_lines USING (reservation)"
            " WHERE due_us IS NOT iif(status = 'pending', expires_us, NULL)"
        )
    ]
    if replay.facts != (facts := ledger.store._asdict()):
        findings.append(f"the ledger says of itself {facts}, its events {replay.facts}")
    return findings


def _reservations(ledger: Ledger) -> dict[str, Reservation]:
    lines: defaultdict[str, list[ReservationLine]] = defaultdict(list)
    for key, *entry in ledger.rows(
        "SELECT reservation, sku, quantity, confirmed, released FROM reservation_lines ORDER BY reservation, sku"
    ):
        lines[key].append(ReservationLine(*entry))
    return {
        key: Reservation(
            key,
            status,
            order,
            clerk,
            _written(created_us),
            _written(expires_us),
            "" if ended_us is None else _written(ended_us),
            seq,
            tuple(lines[key]),
        )
        for key, status, order, clerk, created_us, expires_us, ended_us, seq in ledger.rows(
            "SELECT reservation, status, order_reference, clerk, created_us, expires_us, ended_us, last_seq"
            " FROM reservations"
        )
    }


def _written(instant_us: int) -> str:
    try:
        return format_time(instant_us)
    except OverflowError:
        return f"{instant_us} us"


def _differences(what: str, found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    return [
        f"{what} {key}: the tables say {found.get(key)}, the events {wanted.get(key)}"
        for key in sorted(found.keys() | wanted.keys())
        if found.get(key) != wanted.get(key)
    ]

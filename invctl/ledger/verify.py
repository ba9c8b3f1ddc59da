"""Replay a ledger from its events and hold it against what its tables say."""

from __future__ import annotations

from _blake2 import blake2b  # not by way of hashlib: see invctl.model.chain
from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.clock import parse_time
from invctl.errors import InvalidValueError, RefusedError
from invctl.ledger import disk
from invctl.ledger.comparison import difference, differences, file_findings, table_findings
from invctl.ledger.ledger import Store
from invctl.model import events
from invctl.model.chain import GENESIS, link
from invctl.model.projection import Projection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from invctl.ledger.ledger import Ledger

FINDINGS_MAX = 100
# What an event's row says beside its bytes.
_KEPT = ("id", "type", "store", "time")


class Verdict(NamedTuple):
    """What a replay found. `findings` is empty for a sound ledger, and says at most so many things."""

    store: str
    events: int
    head_hash: bytes
    skus: int
    reservations: int
    findings: list[str]


def verify(ledger: Ledger, *, progress: Callable[[int], None] | None = None) -> Verdict:
    """Replay the ledger: hash chain, each movement, sums, levels, reservations, products, requests, the store's facts.

    The file's pages, indexes and guards are looked at, too.

    Args:
        ledger: the store's, which may go on being written: one moment's view is checked.
        progress: told the number of events checked so far, now and then.

    """
    replay = _Replay(ledger)
    findings: list[str] = []
    try:
        with ledger.read():
            for finding in islice(replay.findings(progress or _nobody), FINDINGS_MAX):
                findings.append(finding)  # noqa: PERF402 - what was found before a page that cannot be read counts
    except RefusedError as error:
        findings.append(error.message)
    projection = replay.projection
    return Verdict(
        ledger.store.store,
        replay.seq,
        replay.hash,
        len(projection.levels),
        len(projection.reservations),
        findings,
    )


def examine(ledger: Ledger, *, progress: Callable[[int], None] | None = None) -> Verdict:
    """Replay the ledger as `verify` does. From one that does not hold on, nothing is written to it."""
    verdict = verify(ledger, progress=progress)
    if verdict.findings:
        disk.note(ledger.path, f"a replay found that it does not hold: {verdict.findings[0]}")
    return verdict


class Stored(NamedTuple):
    """An event's row. In a damaged file its bytes may be anything."""

    seq: int
    id: str
    type: str
    time_us: int
    body: Any
    hash: Any


class _Replay:
    """Beside what `Projection` works out: what only a ledger keeps of its events."""

    def __init__(self, ledger: Ledger) -> None:
        self.seq = 0
        self.hash = GENESIS
        self.projection = Projection()
        self._ledger = ledger
        self._time_us = 0
        self._movements: defaultdict[str, blake2b] = defaultdict(_digest)
        self._facts: dict[str, Any] = {}
        self._firsts: dict[str, tuple[int]] = {}
        self._requests: dict[int, tuple[str, str]] = {}

    def findings(self, progress: Callable[[int], None]) -> Iterator[str]:
        """Go through the whole ledger; lazily, as there may be no end of what is wrong."""
        ledger = self._ledger
        yield from file_findings(ledger)
        for row in ledger.connection.execute("SELECT seq, id, type, time_us, body, hash FROM events ORDER BY seq"):
            for what in self._check(Stored(*row)):
                yield f"event {self.seq}: {what}"
            if self.seq % 1000 == 0:
                progress(self.seq)
        for seq, what in self.projection.close():
            yield f"event {seq}: {what}" if seq else what
        yield from table_findings(ledger, self.projection)
        stored, wanted = self._movements_stored(), _hexadecimal(self._movements)
        for sku in sorted(stored.keys() | wanted.keys(), key=repr):
            if stored.get(sku) != wanted.get(sku):
                yield f"movements of {sku}: the table does not list what the events say"
        firsts = {key: (seq,) for key, seq in ledger.rows("SELECT reservation, first_seq FROM reservations")}
        yield from differences("reservation", firsts, self._firsts, ("its first event",))
        for key, fingerprint, seq in ledger.rows("SELECT id, fingerprint, seq FROM requests WHERE seq IS NOT NULL"):
            if self._requests.get(seq) != (key, fingerprint):
                yield f"request {key}: event {seq} did not come of it, as the table says"
        facts = tuple(self._facts.get(name) for name in Store._fields)
        if facts != ledger.store:
            yield f"the store: {difference(ledger.store, facts, [f'its {name}' for name in Store._fields])}"

    def _check(self, stored: Stored) -> Iterator[str]:
        before, self.seq = self.seq, stored.seq
        if stored.seq != before + 1:
            yield f"the one before it is missing: it follows event {before}"
        if not isinstance(stored.body, bytes) or not isinstance(stored.hash, bytes):
            yield "its row is damaged"
            return
        if link(self.hash, stored.seq, stored.body) != stored.hash:
            yield "it is not what was recorded: its bytes do not lead to its hash"
        self.hash = stored.hash
        try:
            event = events.parse(stored.body)
            time_us = parse_time(event.time)
        except (events.MalformedEventError, InvalidValueError) as error:
            yield f"it cannot be read: {error}"
            return
        stated = (event.id, event.type, event.store, time_us)
        kept = (stored.id, stored.type, self._ledger.store.store, stored.time_us)
        if stated != kept:
            others = [name for name, one, other in zip(_KEPT, stated, kept, strict=True) if one != other]
            yield f"the table has another {' and '.join(others)} beside it than it states itself"
        if time_us < self._time_us:
            yield "it is older than the event before it"
        self._time_us = max(self._time_us, time_us)
        self._keep(event)

    def _keep(self, event: events.Event) -> None:
        seq = self.seq
        for entry in event.lines:
            numbers = (seq, entry.on_hand_change, entry.reserved_change, *entry.level)
            self._movements[entry.sku].update(_row_bytes(numbers))
        if event.type == events.LEDGER_CREATED:
            self._facts = event.data
        elif event.type == events.LEDGER_REBASED:
            self._facts = {**self._facts, "epoch": event.data.get("epoch")}
        elif event.type == events.RESERVATION_CREATED:
            self._firsts.setdefault(str(event.data.get("reservation")), (seq,))
        if event.request_id:
            self._requests[seq] = (event.request_id, event.request_hash)
        self.projection.apply(seq, event)

    def _movements_stored(self) -> dict[str, str]:
        movements: defaultdict[str, blake2b] = defaultdict(_digest)
        for sku, *numbers in self._ledger.connection.execute(
            "SELECT sku, seq, on_hand_change, reserved_change, on_hand, reserved, version"
            " FROM movements ORDER BY sku, seq"
        ):
            movements[sku].update(_row_bytes(numbers))
        return _hexadecimal(movements)


def _digest() -> blake2b:
    return blake2b(digest_size=16)


def _row_bytes(numbers: Iterable[int]) -> bytes:
    return (",".join(map(str, numbers)) + ";").encode()


def _hexadecimal(digests: dict[str, blake2b]) -> dict[str, str]:
    return {sku: digest.hexdigest() for sku, digest in digests.items()}


def _nobody(_checked: int) -> None:
    """Nobody wants to know how far it is."""

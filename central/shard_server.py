"""Serves the stores of one shard: takes frames, commits what they bring, and answers.

Synchronous and bounded: one thread calls `open`, `round` and `upkeep`, and nobody else touches the receiver. Each
returns the frames to send, and nothing is in them that is not durable. Each raises FenceLostError where another
central holds the shard, and RefusedError where the database is damaged; what passes is borne here.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from central.advance import void_future_proofs
from central.apply import CursorMovedError, apply_intakes
from central.cursors import load_cursor, load_cursors, load_cursors_of
from central.database import now_us, reading, writing
from central.database_clock import DatabaseClock
from central.fence import lock_and_check
from central.lost_history import read_page
from central.shard_log import ShardLog
from central.stores import register_newcomers
from invctl.errors import BusyError, UnreachableError
from invctl.sync.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine
    from structlog.typing import FilteringBoundLogger

    from central.latency import Latencies
    from central.spans import OfficeSpans
    from invctl.clock import Clock
    from invctl.model.identifiers import Bits
    from invctl.sync.cursor import Cursor, Heard, Intake

PASSING = (BusyError, UnreachableError)
REGISTER_EVERY_S = 0.5
FAILURES_IN_A_ROW_MAX = 2

Reply = tuple[str, bytes]
"""A frame, and the store that it is for."""


class Frame(NamedTuple):
    """Bytes that came on the channel of a store."""

    store: str
    payload: bytes


class ShardServer:
    """The stores of one shard, under one fence."""

    def __init__(
        self,
        engine: Engine,
        shard: int,
        fence: str,
        *,
        admit_any: bool,
        latencies: Latencies,
        clock: Clock,
        chance: Bits,
        log: FilteringBoundLogger,
        spans: OfficeSpans | None = None,
    ) -> None:
        """Begin with no store known: `open` comes first.

        Args:
            engine: central's database.
            shard: which shard.
            fence: the token that was minted for it.
            admit_any: admit whoever speaks: for a demo.
            latencies: told how long events took.
            clock: runs between two looks at the database's clock.
            chance: draws what tells our tokens from another central's.
            log: told of what is committed, and of what is odd.
            spans: where the spans of events go.

        """
        self._engine = engine
        self._shard = shard
        self._fence = fence
        self._admit_any = admit_any
        self._clock = clock
        self._log = ShardLog(log, clock)
        self._receiver = Receiver(chance=chance)
        self._time = DatabaseClock(clock)
        self._waiting: dict[str, Heard] = {}
        self._register_due_s = clock.monotonic_s()
        self._unsaved: dict[str, Heard] = {}
        self._other_ledgers: dict[str, int] = {}
        self._copies: set[str] = set()
        self._asking: dict[tuple[str, str], Heard] = {}
        self._to_look_at: set[str] = set()
        self._saved_fresh: dict[str, int] = {}
        self._set_back_seen = 0
        self._latencies = latencies
        self._spans = spans
        self.counts: Counter[str] = Counter()
        """What was done so far, as of the end of a round: another thread may read it."""

    def open(self) -> list[Reply]:
        """Load what the database has of every store, and greet them: the subscription stands, and is new.

        Raises BusyError or UnreachableError: then nothing may be received yet.
        """
        self._void_future_proofs()
        with reading(self._engine) as connection:
            cursors = load_cursors(connection, self._shard)
            self._time.set(now_us(connection))
        for cursor in cursors:
            self._receiver.load(cursor)
        self._receiver.interrupted()
        return self._receiver.greetings()

    def round(self, arrived: Sequence[Frame]) -> list[Reply]:
        """Take in frames, commit what is new in them, and return the answers."""
        for frame in arrived:
            self._receiver.receive(frame.store, frame.payload, self._time.now_us())
            self._log.reception(frame.store, frame.payload, self._receiver)
        self._waiting |= {heard.store: heard for heard in self._receiver.newcomers()}
        if self._waiting and self._clock.monotonic_s() >= self._register_due_s:
            self._register()
        intakes = self._receiver.take()
        if intakes:
            self._commit(intakes)
        self._send_histories()
        self._unsaved |= {heard.store: heard for heard in self._receiver.heard() if self._is_admitted(heard.store)}
        self._other_ledgers |= self._receiver.other_ledgers()
        self._copies.update(self._receiver.copies())
        self._asking |= {(each.store, each.boot): each for each in self._receiver.heard() if each.held_seq is not None}
        self._log.divergence(self._receiver.heard())
        kinds = {f"{kind}_frames": count for kind, count in self._receiver.kinds.items()}
        self.counts = self._log.counts + Counter(kinds)
        return self._receiver.replies(self._time.now_us())

    def upkeep(self) -> list[Reply]:
        """Store what the stores said of themselves, and how fresh that makes their numbers; see who was admitted.

        To be called about once a second. Returns greetings for the stores that were admitted meanwhile.
        """
        pending = [store for store in self._receiver.stores if not self._is_admitted(store)]
        if self._waiting:
            self._register()
        try:
            self._look_at_database(pending)
            self._to_look_at.clear()
            if self._receiver.counts["clock_set_back"] > self._set_back_seen:
                self._void_future_proofs()
            self._save()
        except PASSING as error:
            self._log.limited.warning("upkeep.failed", error=error)
        admitted = {store for store in pending if self._is_admitted(store)}
        return [(store, greeting) for store, greeting in self._receiver.greetings() if store in admitted]

    def _register(self) -> None:
        """Note who speaks and is not admitted. Often, as a store speaks, but not as often as it may shout."""
        self._register_due_s = self._clock.monotonic_s() + REGISTER_EVERY_S
        heard = list(self._waiting.values())
        try:
            with writing(self._engine) as connection:
                cursors = register_newcomers(connection, heard, admit_any=self._admit_any)
                connection.commit()
        except PASSING as error:
            self._log.limited.warning("newcomers.not_registered", stores=len(heard), error=error)
            # "Not admitted" might be wrong: the database was not asked.
            for each in heard:
                self._receiver.failed(each.store)
            return
        self._waiting.clear()
        for cursor in cursors:
            self._take_registered(cursor)

    def _take_registered(self, cursor: Cursor) -> None:
        known = self._receiver.cursor(cursor.store)
        self._receiver.load(cursor)
        if cursor.admitted:
            self._log.limited.info("store.admitted", store=cursor.store, seq=cursor.applied_seq)
        elif known is None or known.first_hash != cursor.first_hash:
            first_hash = cursor.first_hash.hex() if cursor.first_hash else None
            self._log.limited.warning("store.not_admitted", store=cursor.store, first_hash=first_hash)

    def _look_at_database(self, pending: Sequence[str]) -> None:
        """See what time it is there, which of these stores an operator has admitted, or lets rejoin.

        An operator may have cleared suspects, too: a quiet store is told with its next answer.
        """
        known = {store: self._receiver.cursor(store) for store in self._receiver.stores}
        doubted = {store: cursor.suspects for store, cursor in known.items() if cursor and cursor.suspects}
        with reading(self._engine) as connection:
            self._time.set(now_us(connection))
            wanted = {*pending, *self._to_look_at, *doubted}
            cursors = load_cursors_of(connection, sorted(wanted)) if wanted else []
        for cursor in cursors:
            if cursor.store in self._to_look_at or doubted.get(cursor.store, cursor.suspects) != cursor.suspects:
                self._receiver.load(cursor)
            elif cursor.admitted and not self._is_admitted(cursor.store):
                self._take_registered(cursor)

    def _is_admitted(self, store: str) -> bool:
        cursor = self._receiver.cursor(store)
        return cursor is not None and cursor.admitted

    def _commit(self, intakes: Sequence[Intake]) -> None:
        """Apply all, or, where that fails, store by store: one of them must not hold up the others."""
        if self._apply(intakes) or len(intakes) == 1:
            return
        failures_in_a_row = 0
        for intake in intakes:
            if failures_in_a_row == FAILURES_IN_A_ROW_MAX:
                # It is the database itself; each further try may take as long as its time-outs.
                self._receiver.failed(intake.store)
            else:
                failures_in_a_row = 0 if self._apply([intake]) else failures_in_a_row + 1

    def _apply(self, intakes: Sequence[Intake]) -> bool:
        """Apply in one transaction. False where that failed; a lone intake is then answered for."""
        alone = len(intakes) == 1
        heard = [heard for heard in self._receiver.heard() if heard.store in {intake.store for intake in intakes}]
        began_s, began_us = self._clock.monotonic_s(), self._clock.now_us()
        try:
            applied = apply_intakes(
                self._engine, self._shard, self._fence, intakes, heard=heard, fresh=self._fresh(heard)
            )
        except CursorMovedError as error:
            self._log.counts["cursors_moved"] += 1
            self._log.limited.warning("cursor.moved", error=error)
            return alone and self._reload(intakes[0].store)
        except PASSING as error:
            self._log.counts["transactions_failed"] += 1
            self._log.limited.warning("apply.failed", stores=len(intakes), error=error)
            if alone:
                self._receiver.failed(intakes[0].store)
            return False
        self._latencies.committed(self._clock.monotonic_s() - began_s)
        committed_us = self._time.now_us()
        for intake, done in zip(intakes, applied, strict=True):
            self._receiver.committed(intake, epoch=done.epoch, suspects=done.suspects)
            self._latencies.note(done.times_us, committed_us)
            self._log.commit(intake, done)
            if self._spans:
                self._spans.committed(intake, began_us, self._clock.now_us())
            if done.rejoined:
                # What it asked for before that is done with, also where it was not noted yet.
                self._asking = {key: each for key, each in self._asking.items() if key[0] != intake.store}
                self._copies.discard(intake.store)
        self._log.counts["transactions"] += 1
        return True

    def _send_histories(self) -> None:
        """Read what is to be sent to stores that lost history. Where that fails, they ask again."""
        lost = self._receiver.lost(self._time.now_us())
        if not lost:
            return
        try:
            with reading(self._engine) as connection:
                for each in lost:
                    page = read_page(connection, each)
                    self._receiver.send(each, page)
                    self._log.history(each, page)
        except PASSING as error:
            self._log.limited.warning("history.not_read", error=error)

    def _reload(self, store: str) -> bool:
        """Take the database's word for a store's cursor; the store is answered with it."""
        try:
            with reading(self._engine) as connection:
                cursor = load_cursor(connection, store)
        except PASSING as error:
            self._log.limited.warning("cursor.not_loaded", store=store, error=error)
            self._receiver.failed(store)
            return False
        if cursor is None:
            # An operator removed it.
            self._receiver.forget(store)
            return False
        self._receiver.load(cursor)
        return True

    def _void_future_proofs(self) -> None:
        """Take back what was proved by a clock that was set back, here and in the database."""
        self._set_back_seen = self._receiver.counts["clock_set_back"]
        self._saved_fresh.clear()
        with writing(self._engine) as connection:
            lock_and_check(connection, self._shard, self._fence)
            void_future_proofs(connection, self._shard)
            connection.commit()

    def _save(self) -> None:
        """Store what was heard since the last time. A failure loses nothing: the next time has it, too."""
        heard, other_ledgers, copies = list(self._unsaved.values()), self._other_ledgers, self._copies
        asking = list(self._asking.values())
        if not heard and not other_ledgers and not copies:
            return
        fresh = self._fresh(heard)
        apply_intakes(
            *(self._engine, self._shard, self._fence, []),
            heard=heard,
            fresh=fresh,
            other_ledgers=other_ledgers,
            asking=asking,
            copies=copies,
        )
        self._saved_fresh |= fresh
        self._to_look_at |= {each.store for each in asking} | copies
        self._asking.clear()
        self._unsaved.clear()
        self._other_ledgers = {}
        self._copies = set()

    def _fresh(self, heard: Sequence[Heard]) -> dict[str, int]:
        """Return what is newly proved of the stores that were heard."""
        proved = {each.store: self._receiver.fresh_us(each.store) for each in heard}
        return {store: fresh_us for store, fresh_us in proved.items() if fresh_us > self._saved_fresh.get(store, 0)}

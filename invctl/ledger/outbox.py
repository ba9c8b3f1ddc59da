"""The ledger's events as what is to be sent: the event table is the outbox, and `acked_seq` is a hint beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.ledger import history
from invctl.model.chain import GENESIS, Head, Run

if TYPE_CHECKING:
    from invctl.ledger.ledger import Ledger


class LedgerOutbox:
    """A ledger, as the sending side of the protocol sees it. Reads only committed events."""

    def __init__(self, ledger: Ledger) -> None:
        """Read through the ledger's connection."""
        self._ledger = ledger
        self._first_hash: bytes | None = None

    @property
    def store(self) -> str:
        """The store's id."""
        return self._ledger.store.store

    @property
    def epoch(self) -> int:
        """The ledger's epoch, from 1."""
        return self._ledger.store.epoch

    @property
    def first_hash(self) -> bytes:
        """The hash of the first event: the ledger's identity."""
        if self._first_hash is None:
            self._first_hash = self.hash_at(1)
        return self._first_hash or GENESIS

    def head(self) -> Head:
        """Return the last committed event, as of now."""
        row = self._ledger.row("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1")
        return Head(*row) if row else Head(0, GENESIS)

    def hash_at(self, seq: int) -> bytes | None:
        """Return the hash at `seq`, zeros at 0, None where the ledger does not reach."""
        if seq == 0:
            return GENESIS
        row = self._ledger.row("SELECT hash FROM events WHERE seq = ?", (seq,))
        return bytes(row[0]) if row else None

    def held(self) -> Head | None:
        """Return the last event of head office's that was kept beside the ledger, None where there is none."""
        return history.held(self._ledger)

    def time_us_at(self, seq: int) -> int | None:
        """Return when the event at `seq` was written, by the ledger's clock; None where there is none."""
        row = self._ledger.row("SELECT time_us FROM events WHERE seq = ?", (seq,))
        return row[0] if row else None

    def read(self, after_seq: int, events_max: int, bytes_max: int) -> Run:
        """Return what follows `after_seq`, up to both limits but at least one event; no bodies where there is none."""
        prev_hash = last_hash = self.hash_at(after_seq) or GENESIS
        bodies: list[bytes] = []
        size = 0
        for body, hash_ in self._ledger.rows(
            "SELECT body, hash FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (after_seq, events_max)
        ):
            size += len(body)
            if bodies and size > bytes_max:
                break
            bodies.append(bytes(body))
            last_hash = bytes(hash_)
        return Run(prev_hash, bodies, last_hash)


def remember_link(ledger: Ledger, *, acked_seq: int, state: str, reason: str, suspects: int) -> None:
    """Keep what the daemon learnt of central. `acked_us` becomes now where central answered.

    Nothing can be written to a ledger that has diverged, until head office is seen to agree with it: to say nothing, or
    to refuse, does not end that. It need not be durable by itself, so no clerk waits for a flush on its account: the
    next answer tells it again.
    """
    ledger.connection.execute("PRAGMA synchronous = NORMAL")
    try:
        with ledger.write() as write:
            answered = state != "unknown"
            write.connection.execute(
                "UPDATE link SET acked_seq = ?1, acked_us = iif(?2, ?3, acked_us), state = ?4, reason = ?5,"
                " suspects = ?6, frozen = CASE ?4 WHEN 'diverged' THEN ?5 WHEN 'up' THEN '' ELSE frozen END",
                (acked_seq, answered, write.now_us, state, reason, suspects),
            )
            write.commit()
    finally:
        ledger.connection.execute("PRAGMA synchronous = FULL")

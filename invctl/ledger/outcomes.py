"""What becomes of reservations, counted from the ledger's events for those who watch a daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.ledger import reads
from invctl.model import events

if TYPE_CHECKING:
    from collections.abc import Mapping

    from invctl.ledger.ledger import Ledger

EVENTS_AT_ONCE = 50_000
"""More than a ledger gets in a second; what a longer pause left is caught up with, a part at each look."""
OUTCOMES = {
    events.RESERVATION_CREATED: "created",
    events.RESERVATION_CONFIRMED: "confirmed",
    events.RESERVATION_CANCELLED: "cancelled",
    events.RESERVATION_EXPIRED: "expired",
}


class Outcomes:
    """Counts the reservations of a ledger, from now on: each look reads only what is new since the last."""

    def __init__(self, ledger: Ledger) -> None:
        """Begin behind the last event that is there."""
        self._ledger = ledger
        self.skip()
        self._counts = dict.fromkeys(OUTCOMES.values(), 0)

    def skip(self) -> None:
        """Leave uncounted what is there: a history that was taken over is no news, and may be shorter than ours was."""
        self._seq = reads.head_seq(self._ledger)

    def count(self) -> Mapping[str, int]:
        """Return how many were made and how many ended, by outcome, since the beginning."""
        upto_seq = min(reads.head_seq(self._ledger), self._seq + EVENTS_AT_ONCE)
        # A daemon may have hundreds of stores, most of them quiet.
        if upto_seq > self._seq:
            found = self._ledger.rows(
                "SELECT type, count(*) FROM events WHERE seq > ? AND seq <= ? GROUP BY type", (self._seq, upto_seq)
            )
            for type_, number in found:
                if outcome := OUTCOMES.get(type_):
                    self._counts[outcome] += number
            self._seq = upto_seq
        return self._counts.copy()

"""What a run of events makes of one store's rows. Pure: the rows come in, and what changed of them goes out.

The store owns its stock: whatever level it reports is taken. What should be impossible is noted as a doubt about the
SKU, which stays until somebody has counted it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from central import doubt
from central.doubt import Doubt
from central.facts import Ledger, Rebased
from invctl.model import events
from invctl.model.projection import Product
from invctl.model.reservation import Reservation
from invctl.model.stock import EMPTY, StockLevel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from central.archive import Moved
    from central.facts import Facts
    from invctl.model.stock import LineChange


class Known(NamedTuple):
    """What has to be known of a reservation before its next event."""

    pending: bool
    clerk: str


class Drift(NamedTuple):
    """A version conflict: central's own row (`had`, None: none) was not what its archive says (`archived`).

    It was rebuilt from the archive in the same transaction. Worth an alert.
    """

    sku: str
    had: StockLevel | None
    archived: StockLevel


class StoreState:
    """The rows of one store that a run of events touches, as they are and as they become."""

    def __init__(self, epoch: int, suspects_before: int = 0) -> None:
        """Begin with nothing known; whoever loads the rows fills `levels`, `suspects`, `known`, `stored`.

        `suspects_before` counts all the SKUs of the store that are in doubt.
        """
        self.epoch = epoch
        self._suspects_before = suspects_before
        self.levels: dict[str, StockLevel] = {}
        self.suspects: set[str] = set()
        self.known: dict[str, Known] = {}
        # The reservations of which the database has a row.
        self.stored: set[str] = set()
        # What changed, by key, with the event that changed it last.
        self.level_seqs: dict[str, int] = {}
        self.products: dict[str, tuple[Product, int]] = {}
        self.reservations: dict[str, Reservation] = {}
        self.marked: dict[str, Doubt] = {}
        # Of those that the database has as suspect.
        self.cleared: set[str] = set()
        self.ledger: Ledger | None = None
        self.rejoined = False
        self.drifts: list[Drift] = []

    @property
    def suspects_now(self) -> int:
        """How many SKUs of the store are in doubt."""
        return self._suspects_before - len(self.cleared) + len(self.marked)

    def misses(self, run: Sequence[Facts]) -> set[str]:
        """Return the SKUs whose first line in a run does not follow from their row."""
        seen: set[str] = set()
        odd: set[str] = set()
        for facts in run:
            for entry in facts.lines:
                if entry.sku in seen:
                    continue
                seen.add(entry.sku)
                before = self.levels.get(entry.sku, EMPTY)
                if before.moved(entry.on_hand_change, entry.reserved_change) != entry.level:
                    odd.add(entry.sku)
        return odd

    def rebuild(self, sku: str, archived: StockLevel) -> None:
        """Take the archive's word for a level, and note where the row said otherwise."""
        had = self.levels.get(sku)
        if (had or EMPTY) != archived:
            self.levels[sku] = archived
            self.drifts.append(Drift(sku, had, archived))

    def amend(self, sku: str, had: StockLevel | None, archived: Moved) -> None:
        """Take the archive's word for a level that no event of this run moves, and note that the row said otherwise."""
        if had is not None:
            self.levels[sku] = had
        self.rebuild(sku, archived.level)
        self.level_seqs[sku] = archived.seq

    def confirm(self, sku: str, level: StockLevel) -> None:
        """Note that the store was seen to have the level that is here. One that is impossible stays in doubt."""
        if level.possible:
            self._clear(sku)

    def disagree(self, sku: str, level: StockLevel | None, seq: int) -> None:
        """Note that the store states another level than its own events come to, which is `level` (None: none)."""
        if level is not None:
            self.levels.setdefault(sku, level)
        self._mark(sku, seq, doubt.CHECKPOINT_DIFFERS)

    def take(self, seq: int, facts: Facts) -> None:
        """Take in the next event."""
        counted = facts.is_count
        for entry in facts.lines:
            self._line(seq, entry, counted=counted)
        for sku in facts.doubted:
            self._mark(sku, seq, facts.doubt)
        stated = facts.stated
        if isinstance(stated, Reservation):
            self._reservation(seq, facts.applies_as, stated)
        elif isinstance(stated, Product):
            self.products[stated.sku] = (stated, seq)
            if stated.sku not in self.levels:
                self._set_level(stated.sku, EMPTY, seq)
        elif isinstance(stated, Ledger):
            self.ledger = stated
        elif isinstance(stated, Rebased):
            self.epoch = stated.epoch
            self.rejoined = True

    def _line(self, seq: int, entry: LineChange, *, counted: bool) -> None:
        before = self.levels.get(entry.sku, EMPTY)
        if not entry.level.possible:
            self._mark(entry.sku, seq, doubt.IMPOSSIBLE_LEVEL)
        elif counted:
            # Somebody saw this level, so it settles every doubt, also about what it follows.
            self._clear(entry.sku)
        elif before.moved(entry.on_hand_change, entry.reserved_change) != entry.level:
            self._mark(entry.sku, seq, doubt.DOES_NOT_FOLLOW)
        self._set_level(entry.sku, entry.level, seq)

    def _set_level(self, sku: str, level: StockLevel, seq: int) -> None:
        self.levels[sku] = level
        self.level_seqs[sku] = seq

    def _reservation(self, seq: int, event_type: str, after: Reservation) -> None:
        before = self.known.get(after.reservation)
        reason = _impossible(event_type, before)
        if reason:
            for entry in after.lines:
                self._mark(entry.sku, seq, reason)
        if before and before.clerk != after.clerk:
            after = after._replace(clerk=before.clerk)
        self.known[after.reservation] = Known(after.pending, after.clerk)
        self.reservations[after.reservation] = after

    def _mark(self, sku: str, seq: int, reason: str) -> None:
        """Put a SKU in doubt. The first reason stands: what follows may well come of it."""
        if sku in self.suspects:
            return
        self.suspects.add(sku)
        self.marked[sku] = Doubt(sku, seq, reason)
        if sku not in self.levels:
            # It is listed with the stock, or nobody would find it.
            self._set_level(sku, EMPTY, seq)

    def _clear(self, sku: str) -> None:
        if sku in self.suspects:
            self.suspects.remove(sku)
            if self.marked.pop(sku, None) is None:
                self.cleared.add(sku)


def _impossible(event_type: str, before: Known | None) -> str:
    """Say why an event cannot befall a reservation that was like this; empty where it can."""
    if event_type == events.RESERVATION_CREATED:
        return doubt.RESERVATION_TWICE if before else ""
    if before is None:
        return doubt.RESERVATION_UNKNOWN
    return "" if before.pending else doubt.RESERVATION_ENDED

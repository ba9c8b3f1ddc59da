"""What a run of events comes to: the state that a ledger, or central, must show, worked out from nothing else."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from invctl.model import checkpoint, events
from invctl.model.reservation import Reservation, after_event
from invctl.model.stock import EMPTY, StockLevel

if TYPE_CHECKING:
    from collections.abc import Callable

    from invctl.model.events import Event

_NAMED_MAX = 5


class Product(NamedTuple):
    """What a store sells. `price` is in minor units of the store's currency, None where it has none."""

    sku: str
    name: str
    price: int | None


class Finding(NamedTuple):
    """Something that a sound history does not contain."""

    seq: int
    what: str


class Projection:
    """Events in, state out. It never refuses an event; what should be impossible goes into `findings`."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.products: dict[str, Product] = {}
        self.levels: dict[str, StockLevel] = {}
        self.reservations: dict[str, Reservation] = {}
        self.movements: defaultdict[str, int] = defaultdict(int)
        self.barcodes: dict[str, str] = {}
        """SKUs by barcode."""
        self.thresholds: dict[str, tuple[int, int]] = {}
        """Reorder point and safety stock by SKU."""
        self.recounts: dict[str, int] = {}
        """What is to be counted, with the seq since which it is."""
        self.findings: list[Finding] = []
        self.disagreements: list[Finding] = []
        """Checkpoints that state other levels. They are no fault of the history: it goes on from its own levels."""
        self._tally = checkpoint.Tally()
        self._by_type: dict[str, Callable[[int, Event], None]] = {
            events.PRODUCT_ADDED: self._product,
            events.PRODUCT_EDITED: self._product,
            events.BARCODE_ASSIGNED: self._barcode,
            events.BARCODE_REMOVED: self._barcode,
            events.THRESHOLDS_SET: self._set_thresholds,
            events.LEDGER_CHECKPOINT: self._checkpoint,
            events.LEDGER_REBASED: self._rebased,
            **dict.fromkeys(events.STATUS_AFTER, self._reservation),
        }
        # What moved since the last checkpoint, and from where: years without one cost nothing.
        self._untallied: dict[str, StockLevel] = {}

    def apply(self, seq: int, event: Event) -> None:
        """Take in the next event."""
        for entry in event.lines:
            before = self.levels.get(entry.sku, EMPTY)
            self._untallied.setdefault(entry.sku, before)
            self.movements[entry.sku] += entry.on_hand_change
            if before.moved(entry.on_hand_change, entry.reserved_change) != entry.level:
                self._find(seq, f"{entry.sku} does not follow: from {before} it moves to {entry.level}")
            if not entry.level.possible:
                self._find(seq, f"{entry.sku} is at an impossible level: {entry.level}")
            self.levels[entry.sku] = entry.level
        self._recounts(seq, event)
        try:
            if take := self._by_type.get(event.type):
                take(seq, event)
        except (KeyError, TypeError, AttributeError) as error:
            self._find(seq, f"{event.type} lacks a field, or has it of another type: {error!r}")

    def close(self) -> list[Finding]:
        """Check what must hold between events, and return all findings."""
        held: defaultdict[str, int] = defaultdict(int)
        for reservation in self.reservations.values():
            if reservation.pending:
                for entry in reservation.lines:
                    held[entry.sku] += entry.quantity
        for sku, level in self.levels.items():
            if level.on_hand != self.movements[sku]:
                self._find(0, f"{sku} has {level.on_hand} on hand, its movements sum to {self.movements[sku]}")
            if level.reserved != held[sku]:
                self._find(0, f"{sku} has {level.reserved} reserved, its pending reservations hold {held[sku]}")
        self.findings += self.disagreements
        return self.findings

    def _find(self, seq: int, what: str) -> None:
        self.findings.append(Finding(seq, what))

    def _recounts(self, seq: int, event: Event) -> None:
        if touched := event.touched:
            for sku in touched:
                if sku in self.levels:
                    self.recounts.setdefault(sku, seq)
        elif event.is_count:
            for entry in event.lines:
                self.recounts.pop(entry.sku, None)

    def _checkpoint(self, seq: int, event: Event) -> None:
        for sku, before in self._untallied.items():
            self._tally.move(sku, before, self.levels[sku])
        self._untallied.clear()
        try:
            stated = checkpoint.read(event.data)
        except (KeyError, TypeError, ValueError) as error:
            self.disagreements.append(Finding(seq, f"the checkpoint cannot be read: {error!r}"))
            return
        if stated is None or self._tally.agrees(stated):
            return
        odd = sorted(self._tally.odd(stated).among(self.levels))
        named = ", ".join(odd[:_NAMED_MAX]) + (f" and {len(odd) - _NAMED_MAX} more" if len(odd) > _NAMED_MAX else "")
        what = f"the checkpoint states other levels than the events come to: look at {named or 'all of them'}"
        self.disagreements.append(Finding(seq, what))

    def _rebased(self, _seq: int, _event: Event) -> None:
        # The ledger worked its levels out anew from its events.
        self.disagreements.clear()

    def _product(self, _seq: int, event: Event) -> None:
        data = event.data
        sku, name, price = data["sku"], data["name"], data.get("price")
        if not isinstance(sku, str) or not isinstance(name, str) or not isinstance(price, int | None):
            raise TypeError(f"{sku!r:.80}, {name!r:.80}, {price!r:.80}")
        self.products[sku] = Product(sku, name, price)
        self.levels.setdefault(sku, EMPTY)

    def _barcode(self, seq: int, event: Event) -> None:
        sku, barcode = event.data["sku"], event.data["barcode"]
        if not isinstance(sku, str) or not isinstance(barcode, str):
            raise TypeError(f"{sku!r:.80}, {barcode!r:.80}")
        if event.type == events.BARCODE_REMOVED:
            if self.barcodes.pop(barcode, None) != sku:
                self._find(seq, f"{barcode} did not stand for {sku}")
        elif sku not in self.products:
            self._find(seq, f"{barcode} stands for {sku}, which is not there")
        else:
            self.barcodes[barcode] = sku

    def _set_thresholds(self, seq: int, event: Event) -> None:
        sku, values = event.data["sku"], (event.data["reorder_point"], event.data["safety_stock"])
        if not isinstance(sku, str) or not all(type(value) is int and value >= 0 for value in values):
            raise TypeError(f"{sku!r:.80}, {values!r:.80}")
        if sku not in self.products:
            self._find(seq, f"{sku} is to be ordered anew, and is not there")
        else:
            self.thresholds[sku] = values

    def _reservation(self, seq: int, event: Event) -> None:
        key = event.data["reservation"]
        before = self.reservations.get(key)
        after = after_event(seq, event, before)
        if event.type == events.RESERVATION_CREATED:
            if before:
                self._find(seq, f"{key} was created twice")
        elif before is None or not before.pending:
            self._find(seq, f"{key} was not pending: {before.status if before else 'unknown'}")
        elif event.type == events.RESERVATION_EXPIRED and event.decided_at < before.expires_at:
            self._find(seq, f"{key} expired early: at {event.decided_at}, due {before.expires_at}")
        elif event.type == events.RESERVATION_CONFIRMED and event.decided_at >= before.expires_at:
            self._find(seq, f"{key} was confirmed at {event.decided_at}, due {before.expires_at}")
        self._units(seq, event, before, after)
        self.reservations[key] = after

    def _units(self, seq: int, event: Event, before: Reservation | None, after: Reservation) -> None:
        """Check that a reservation keeps its units, gives each of them up once, and moves just those."""
        key = after.reservation
        if before and before.quantities != after.quantities:
            self._find(seq, f"{key} holds other units than before")
        if not after.pending and any(
            min(entry.confirmed, entry.released) < 0 or entry.confirmed + entry.released != entry.quantity
            for entry in after.lines
        ):
            self._find(seq, f"{key} ended with units neither confirmed nor released")
        if event.type != events.RESERVATION_EXTENDED:
            sign = 1 if after.pending else -1
            stated = {entry.sku: (-entry.confirmed, sign * entry.quantity) for entry in after.lines}
            if stated != {entry.sku: (entry.on_hand_change, entry.reserved_change) for entry in event.lines}:
                self._find(seq, f"{key} moves other units than it states")

"""What a ledger must do, said once more in dictionaries: the other half of `test_machine`.

A request is a tuple whose first item names the operation; its outcome is None where it was done, else the class of
the error. Nothing here reads the ledger, but for what a rejoin comes to: of that the events are taken at their word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.clock import parse_time
from invctl.errors import (
    InvalidValueError,
    InventoryError,
    NotEnoughStockError,
    NotFoundError,
    RequestReusedError,
    WrongStateError,
)
from invctl.model import events
from invctl.model.projection import Projection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from invctl.model.events import Event

Request = tuple[Any, ...]
Outcome = type[InventoryError] | None

KEPT_US = 30 * 24 * 3600 * 1_000_000
NEW = "the reservation that this request opens"


class Hold(NamedTuple):
    """A reservation: units by SKU, and what of them was confirmed."""

    status: str
    due_us: int
    lines: dict[str, int]
    confirmed: dict[str, int]


class Model:
    """A store in dictionaries."""

    def __init__(self, wall_us: int) -> None:
        """Begin with nothing, at this time."""
        self.wall_us = self._last_us = wall_us
        self.names: dict[str, str] = {}
        self.on_hand: dict[str, int] = {}
        self.holds: dict[str, Hold] = {}
        self.recounts: set[str] = set()
        self._traded = False
        self._remembered: dict[str, tuple[int, Request, Outcome]] = {}

    @property
    def now_us(self) -> int:
        """The ledger's time: it never runs back."""
        return max(self.wall_us, self._last_us)

    def reserved(self, sku: str) -> int:
        """Units of a SKU that are held, by what is not due."""
        return sum(
            hold.lines.get(sku, 0)
            for hold in self.holds.values()
            if hold.status == "pending" and hold.due_us > self.now_us
        )

    def shown(self, key: str) -> str:
        """Return the status that a read shows."""
        hold = self.holds[key]
        return "expired" if hold.status == "pending" and hold.due_us <= self.now_us else hold.status

    def ask(self, request: Request, request_id: str) -> tuple[Outcome, bool]:
        """Decide a request. Returns its outcome, and whether it had been decided before."""
        if request_id in self._remembered:
            at_us, known, outcome = self._remembered[request_id]
            if at_us > self.now_us - KEPT_US:
                return (outcome, True) if known == request else (RequestReusedError, False)
        events_before = self._last_us, len(self.holds), self.on_hand.copy(), self.names.copy(), self.holds.copy()
        outcome = getattr(self, request[0])(*request[1:])
        unchanged = events_before == (self._last_us, len(self.holds), self.on_hand, self.names, self.holds)
        nothing_new = request[0] == "edit" and outcome is None and unchanged
        if request_id and outcome is not InvalidValueError and not nothing_new:
            self._remembered[request_id] = (self.now_us, request, outcome)
        return outcome, False

    def reserve(self, lines: dict[str, int], hold_s: int) -> Outcome:
        """Hold all lines or none."""
        self._expire(lines)
        if unknown := self._unknown(lines):
            return unknown
        if any(self.on_hand[sku] - self.reserved(sku) < quantity for sku, quantity in lines.items()):
            return NotEnoughStockError
        self._happened()
        self.holds[NEW] = Hold("pending", self.now_us + hold_s * 1_000_000, lines, {})
        return None

    def confirm(self, key: str, part: dict[str, int] | None) -> Outcome:
        """Sell what is confirmed, release the rest."""
        if part is not None and not any(part.values()):
            return InvalidValueError
        if refusal := self._ended(key):
            return refusal
        hold = self.holds[key]
        part = hold.lines if part is None else part
        for sku, quantity in part.items():
            if sku not in hold.lines:
                return NotFoundError
            if quantity > hold.lines[sku]:
                return InvalidValueError
        for sku, quantity in part.items():
            self.on_hand[sku] -= quantity
        self._end(key, "confirmed", part)
        return None

    def cancel(self, key: str) -> Outcome:
        """Release everything."""
        if refusal := self._ended(key):
            return refusal
        self._end(key, "cancelled", {})
        return None

    def extend(self, key: str, hold_s: int) -> Outcome:
        """Hold it from now."""
        if refusal := self._ended(key):
            return refusal
        self._happened()
        self.holds[key] = self.holds[key]._replace(due_us=self.now_us + hold_s * 1_000_000)
        return None

    def adjust(self, changes: dict[str, int]) -> Outcome:
        """Change what is on hand."""
        self._expire(changes)
        if unknown := self._unknown(changes):
            return unknown
        if any(self.on_hand[sku] - self.reserved(sku) + change < 0 for sku, change in changes.items()):
            return NotEnoughStockError
        self._happened()
        for sku, change in changes.items():
            self.on_hand[sku] += change
        return None

    def count(self, changes: dict[str, int]) -> Outcome:
        """Find so many more or fewer on hand; whoever wanted a count has one."""
        refusal = self.adjust(changes)
        if not refusal:
            self.recounts -= changes.keys()
        return refusal

    def add(self, sku: str, name: str) -> Outcome:
        """Carry a product."""
        if sku in self.names:
            return WrongStateError
        self._last_us = self.now_us
        self.names[sku] = name
        self.on_hand[sku] = 0
        return None

    def edit(self, sku: str, name: str) -> Outcome:
        """Rename a product."""
        if sku not in self.names:
            return NotFoundError
        if self.names[sku] != name:
            self._last_us = self.now_us
            self.names[sku] = name
        return None

    def sweep(self) -> Outcome:
        """Record what is due."""
        self._expire(self.on_hand)
        return None

    def seed(self, quantities: dict[str, int]) -> Outcome:
        """Have so many on hand, where nothing was traded."""
        if self._traded:
            return WrongStateError
        for sku, quantity in quantities.items():
            self.names.setdefault(sku, sku)
            if self.on_hand.get(sku, 0) != quantity:
                self.recounts.discard(sku)
            if self.on_hand.get(sku) != quantity:
                self._last_us = self.now_us
            self.on_hand[sku] = quantity
        return None

    def reset(self) -> Outcome:
        """End what is open, have nothing on hand, and begin anew."""
        self._expire(self.on_hand)
        for key, hold in self.holds.items():
            if hold.status == "pending":
                self._end(key, "cancelled", {})
        if self._traded or any(self.on_hand.values()):
            self._last_us = self.now_us
        self.recounts -= {sku for sku, quantity in self.on_hand.items() if quantity}
        self.on_hand = dict.fromkeys(self.on_hand, 0)
        self._traded = False
        return None

    def rejoin(self, other: Model, happened: list[Event], taken: Iterable[Event], anew: Iterable[Event]) -> None:
        """Be what all that happened comes to: another's history, of which `taken` was lost here, and ours `anew`."""
        projection = Projection()
        self._traded = False
        for seq, event in enumerate(happened, 1):
            projection.apply(seq, event)
            if event.type == events.STOCK_ADJUSTED and event.data["reason"] != "seed":
                self._traded = event.data["reason"] != "reset"
            self._traded |= event.type in events.STATUS_AFTER
        assert projection.close() == []
        self._last_us = max(self.now_us, other.now_us)
        self.names = {sku: product.name for sku, product in projection.products.items()}
        self.on_hand = {sku: level.on_hand for sku, level in projection.levels.items()}
        self.recounts = set(projection.recounts)
        self.holds = {
            key: Hold(
                entry.status,
                parse_time(entry.expires_at),
                entry.quantities,
                {line.sku: line.confirmed for line in entry.lines if line.confirmed},
            )
            for key, entry in projection.reservations.items()
        }
        theirs = {event.request_id: event for event in taken if event.request_id}
        for event in anew:
            if event.request_id and event.request_id not in theirs:
                self._remember_anew(event, self._remembered[event.request_id][1])
        for request_id, event in theirs.items():
            self._remember_anew(event, other._remembered[request_id][1])

    def _remember_anew(self, event: Event, request: Request) -> None:
        # What no longer fitted was not done, and whoever asks again is told so.
        outcome = WrongStateError if event.type == events.STOCK_DISCREPANCY else None
        self._remembered[event.request_id] = (parse_time(event.time), request, outcome)

    def _unknown(self, skus: dict[str, int]) -> Outcome:
        return None if skus.keys() <= self.on_hand.keys() else NotFoundError

    def _ended(self, key: str) -> Outcome:
        if key not in self.holds:
            return NotFoundError
        hold = self.holds[key]
        if hold.status == "pending" and hold.due_us <= self.now_us:
            self._end(key, "expired", {})
        return None if self.holds[key].status == "pending" else WrongStateError

    def _expire(self, skus: dict[str, int]) -> None:
        for key, hold in self.holds.items():
            if hold.status == "pending" and hold.due_us <= self.now_us and hold.lines.keys() & skus.keys():
                self._end(key, "expired", {})

    def _end(self, key: str, status: str, confirmed: dict[str, int]) -> None:
        self._happened()
        self.holds[key] = self.holds[key]._replace(status=status, confirmed=confirmed)

    def _happened(self) -> None:
        self._last_us = self.now_us
        self._traded = True

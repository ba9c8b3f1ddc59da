"""A store's history, made by hand or at random: real events, chained as a ledger chains them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invctl.clock import format_time, parse_time
from invctl.model import checkpoint, events
from invctl.model.chain import GENESIS, link
from invctl.model.identifiers import new_event_id, new_reservation_id
from invctl.model.stock import EMPTY, StockLevel
from invctl.sync.cursor import Heard, Intake

if TYPE_CHECKING:
    from random import Random

START_US = 1_767_225_600_000_000
HOLD_US = 30 * 60 * 1_000_000


class History:
    """What one store wrote, event by event. Methods return the seq of what they wrote."""

    def __init__(self, chance: Random, store: str = "downtown") -> None:
        self.chance = chance
        self.store = store
        self.now_us = START_US
        self.bodies: list[bytes] = []
        self.hashes: list[bytes] = [GENESIS]
        self.levels: dict[str, StockLevel] = {}
        self.pending: dict[str, dict[str, Any]] = {}

    @property
    def seq(self) -> int:
        return len(self.bodies)

    def raw(self, body: bytes) -> int:
        self.bodies.append(body)
        self.hashes.append(link(self.hashes[-1], self.seq, body))
        return self.seq

    def event(self, type_: str, subject: str, data: dict[str, Any]) -> int:
        self.now_us += 1_000
        return self.raw(
            events.compose(
                id=new_event_id(self.chance),
                type=type_,
                store=self.store,
                time=format_time(self.now_us),
                subject=subject,
                data=data,
            )
        )

    def created(
        self, name: str = "Tech Store Downtown", currency: str = "USD", timezone: str = "America/New_York"
    ) -> int:
        data = {"store": self.store, "name": name, "currency": currency, "timezone": timezone, "epoch": 1}
        return self.event(events.LEDGER_CREATED, self.store, data)

    def product(self, sku: str, name: str = "Thing", price: int | None = 8000) -> int:
        known = sku in self.levels
        self.levels.setdefault(sku, EMPTY)
        type_ = events.PRODUCT_EDITED if known else events.PRODUCT_ADDED
        return self.event(type_, sku, {"sku": sku, "name": name, "price": price})

    def state(self, **other: StockLevel) -> int:
        """Write a checkpoint of the levels, some of which are said to be others."""
        stated = checkpoint.tally({**self.levels, **other}.items()).total()
        return self.event(events.LEDGER_CHECKPOINT, self.store, stated.as_data())

    def moved(self, sku: str, on_hand: int, reserved: int, **more: int) -> dict[str, Any]:
        level = self.levels.get(sku, EMPTY).moved(on_hand, reserved)
        self.levels[sku] = level
        return events.line(sku, on_hand, reserved, level, **more)

    def adjust(self, changes: dict[str, int], reason: str = "received") -> int:
        lines = [self.moved(sku, change, 0) for sku, change in changes.items()]
        return self.event(events.STOCK_ADJUSTED, reason, {"reason": reason, "lines": lines})

    def reserve(self, basket: dict[str, int], order: str = "A-17", clerk: str = "anna") -> str:
        key = new_reservation_id(self.chance, 10)
        self.pending[key] = {
            "reservation": key,
            "order": order,
            "clerk": clerk,
            "created_at": format_time(self.now_us),
            "expires_at": format_time(self.now_us + HOLD_US),
            "basket": basket,
        }
        self._reservation(events.RESERVATION_CREATED, key, [(sku, 0, units, {}) for sku, units in basket.items()])
        return key

    def end(self, key: str, type_: str, confirmed: dict[str, int] | None = None) -> int:
        moves = []
        for sku, units in self.pending[key]["basket"].items():
            sold = (
                0
                if type_ != events.RESERVATION_CONFIRMED
                else (confirmed or {}).get(sku, 0)
                if confirmed is not None
                else units
            )
            moves.append((sku, -sold, -units, {"confirmed": sold, "released": units - sold}))
        seq = self._reservation(type_, key, moves)
        del self.pending[key]
        return seq

    def extend(self, key: str) -> int:
        item = self.pending[key]
        item["expires_at"] = format_time(self.now_us + 2 * HOLD_US)
        holds = [{"sku": sku, "quantity": units} for sku, units in item["basket"].items()]
        data = {name: value for name, value in item.items() if name != "basket"}
        return self.event(events.RESERVATION_EXTENDED, key, {**data, "holds": holds})

    def _reservation(self, type_: str, key: str, moves: list[tuple[str, int, int, dict[str, int]]]) -> int:
        item = self.pending[key]
        lines = [
            self.moved(sku, on_hand, reserved, quantity=item["basket"][sku], **more)
            for sku, on_hand, reserved, more in moves
        ]
        data = {name: value for name, value in item.items() if name != "basket"}
        return self.event(type_, key, {**data, "lines": lines})

    def random_step(self, skus: list[str]) -> None:
        """Write one event that a store may write."""
        chance = self.chance
        due = min((parse_time(item["expires_at"]), key) for key, item in self.pending.items()) if self.pending else None
        if due and due[0] <= self.now_us + 1_000:
            self.end(due[1], events.RESERVATION_EXPIRED)
            return
        key = chance.choice(sorted(self.pending)) if self.pending else ""
        free = [sku for sku in skus if self.levels.get(sku, EMPTY).available > 0]
        kind = chance.randrange(9)
        if kind == 0:
            self.product(chance.choice(skus), f"Thing {chance.randrange(9)}", chance.choice([None, 8000]))
        elif kind == 1 or not free:
            self.adjust({sku: chance.randrange(1, 30) for sku in chance.sample(skus, 2)}, "received")
        elif kind == 2:
            self.adjust({chance.choice(free): -1}, "damaged")
        elif kind == 3 and key:
            self.extend(key)
        elif kind == 4 and key:
            self.end(key, events.RESERVATION_CANCELLED)
        elif kind == 5 and due:
            self.now_us = due[0]
            self.end(due[1], events.RESERVATION_EXPIRED)
        elif kind in {6, 7} and key:
            basket = self.pending[key]["basket"]
            partly = {sku: chance.randrange(units + 1) for sku, units in basket.items()}
            self.end(key, events.RESERVATION_CONFIRMED, chance.choice([None, partly]))
        else:
            basket = chance.sample(free, min(len(free), chance.randrange(1, 4)))
            self.reserve({sku: chance.randrange(1, self.levels[sku].available + 1) for sku in basket})

    def intake(self, after: int = 0, upto: int | None = None) -> Intake:
        end = self.seq if upto is None else upto
        return Intake(self.store, after, self.hashes[after], self.bodies[after:end], self.hashes[after + 1 : end + 1])

    def heard(self, at_us: int = START_US, *, boot: str = "b1", head: int | None = None) -> Heard:
        seq = self.seq if head is None else head
        first = self.hashes[1] if self.seq else GENESIS
        return Heard(self.store, boot, 1, seq, self.hashes[seq], first, at_us)

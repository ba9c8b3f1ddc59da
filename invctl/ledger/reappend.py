"""Append a ledger's own events anew, behind a history that it had lost: what was decided, as far as it still fits.

An event keeps its id, and when and where it was first (`data.reappended`). What no longer fits becomes a discrepancy
under the same id: it lowers what is on hand as far as that goes. Either way the SKUs that it touched want a count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.clock import format_time, parse_time
from invctl.ledger.database import first
from invctl.ledger.writing import Move, Origin, Write
from invctl.model import events
from invctl.model.reservation import Reservation, after_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from invctl.model.events import Event
    from invctl.model.stock import LineChange, StockLevel

_NUMBERS = frozenset({"sku", "on_hand_change", "reserved_change", "on_hand", "reserved", "version"})


class Own(NamedTuple):
    """An event that was set aside, with the seq and the epoch that it had."""

    seq: int
    epoch: int
    event: Event


class _MisfitError(Exception):
    """It does not fit behind what happened meanwhile. The message says why."""


def reappend(write: Write, own: Own) -> bool:
    """Append an event anew. Returns whether it fits; what does not is appended as a discrepancy.

    The caller has left out what the ledger says of itself, and what the chain has already.
    """
    event = own.event
    data = {name: value for name, value in event.data.items() if name != "lines"}
    data.setdefault("reappended", {"seq": own.seq, "epoch": own.epoch, "time": event.time})
    origin = Origin(request_id=event.request_id, trace=event.trace, request_hash=event.request_hash)
    again = _Again(write, event, data, origin)
    fits = not again.was_asked_for
    try:
        if fits:
            _BY_TYPE.get(event.type, _moved)(again)
        else:
            # Whoever asked again has the first outcome, which the chain has, too; the units moved once.
            again.discrepancy(f"request {event.request_id} had been decided", lowers=False)
    except _MisfitError as why:
        again.discrepancy(str(why))
        fits = False
    for sku in event.touched or [entry.sku for entry in event.lines]:
        if again.level(sku) is not None:
            write.connection.execute("INSERT OR IGNORE INTO recounts VALUES (?, ?)", (sku, write.head.seq))
    return fits


class _Again(NamedTuple):
    """One event on its way back. `data` is what it states beside its lines."""

    write: Write
    event: Event
    data: dict[str, Any]
    origin: Origin

    @property
    def was_asked_for(self) -> bool:
        """Whether the chain has an outcome of the same request."""
        wanted = (self.event.request_id, self.event.request_hash)
        known = "SELECT 1 FROM requests WHERE id = ? AND fingerprint = ? AND seq IS NOT NULL"
        return bool(wanted[0] and first(self.write.connection, known, wanted))

    def append(self, moves: list[Move], type_: str = "", data: dict[str, Any] | None = None) -> int:
        event = self.event
        receipt = self.write.append(
            type_ or event.type, event.subject, data or self.data, self.origin, moves, again=event.id
        )
        return receipt.seq

    def level(self, sku: str) -> StockLevel | None:
        """Return a SKU's level now, None where the store does not carry it."""
        row = first(self.write.connection, "SELECT 1 FROM stock WHERE sku = ?", (sku,))
        return self.write.level(sku) if row else None

    def discrepancy(self, why: str, *, lowers: bool = True) -> None:
        """Append what was wanted, and take from the levels what can be taken, where it `lowers` them."""
        event = self.event
        if event.type == events.STOCK_DISCREPANCY:
            data = self.data
        else:
            wanted = [
                {"sku": entry.sku, "on_hand_change": entry.on_hand_change, "reserved_change": entry.reserved_change}
                for entry in event.lines
            ]
            stated = {name: value for name, value in self.data.items() if name != "reappended"}
            data = {"of": event.type, "wanted": wanted, "stated": stated, "reappended": self.data["reappended"]}
        moves = []
        for sku, wanted_change in _wanted(event, data) if lowers else ():
            level = self.level(sku)
            if level is None:
                continue
            change = max(wanted_change, -level.available)
            if change and level.moved(change, 0).possible:
                moves.append(Move(sku, change, 0, {}))
        self.append(moves, events.STOCK_DISCREPANCY, {**data, "why": why})

    def pending(self) -> Reservation:
        """Return the event's reservation as the event leaves it. Raises _MisfitError where it cannot befall it now."""
        after = after_event(0, self.event)
        row = first(
            self.write.connection,
            "SELECT status, expires_us FROM reservations WHERE reservation = ?",
            (after.reservation,),
        )
        if row is None:
            raise _MisfitError(f"{after.reservation} is not there")
        if row[0] != "pending":
            raise _MisfitError(f"{after.reservation} was {row[0]} meanwhile")
        held = {entry.sku: entry.quantity for entry in self.write.reservation_lines(after.reservation)}
        if held != after.quantities:
            raise _MisfitError(f"{after.reservation} holds other units")
        decided_us = parse_time(self.event.decided_at)
        if self.event.type == events.RESERVATION_EXPIRED and decided_us < row[1]:
            raise _MisfitError(f"{after.reservation} was extended meanwhile")
        if self.event.type == events.RESERVATION_CONFIRMED and decided_us >= row[1]:
            raise _MisfitError(f"{after.reservation} was due by then")
        # Whoever was promised the longer time has it.
        due_us = max(row[1], parse_time(after.expires_at))
        self.data["expires_at"] = format_time(due_us if self.event.type == events.RESERVATION_EXTENDED else row[1])
        return after


def _wanted(event: Event, data: dict[str, Any]) -> list[tuple[str, int]]:
    if event.type == events.STOCK_DISCREPANCY:
        return [(entry["sku"], entry["on_hand_change"]) for entry in data["wanted"]]
    return [(entry.sku, entry.on_hand_change) for entry in event.lines]


def _moves(again: _Again, change: Callable[[LineChange, StockLevel], int]) -> list[Move]:
    """Return the event's moves with the changes that they are to make now. Raises _MisfitError."""
    stated = again.event.data.get("lines", [])
    moves = []
    for entry, document in zip(again.event.lines, stated, strict=True):
        level = again.level(entry.sku)
        if level is None:
            raise _MisfitError(f"there is no product {entry.sku}")
        on_hand_change = change(entry, level)
        if not level.moved(on_hand_change, entry.reserved_change).possible:
            raise _MisfitError(f"{entry.sku} has {level.available} available")
        more = {name: value for name, value in document.items() if name not in _NUMBERS}
        moves.append(Move(entry.sku, on_hand_change, entry.reserved_change, more))
    return moves


def _moved(again: _Again) -> None:
    again.append(_moves(again, lambda entry, _: entry.on_hand_change))


def _adjusted(again: _Again) -> None:
    if not again.event.is_count:
        _moved(again)
        return
    # Somebody saw that level: it stands, whatever it was before.
    again.append(_moves(again, lambda entry, level: entry.level.on_hand - level.on_hand))


def _discrepancy(again: _Again) -> None:
    again.discrepancy(str(again.data.get("why", "")))


def _product(again: _Again) -> None:
    sku, name, price = again.data["sku"], again.data["name"], again.data.get("price")
    connection = again.write.connection
    if again.level(sku) is None:
        connection.execute("INSERT INTO products VALUES (?, ?, ?)", (sku, name, price))
        connection.execute("INSERT INTO stock VALUES (?, 0, 0, 0)", (sku,))
        again.append([], events.PRODUCT_ADDED)
    else:
        connection.execute("UPDATE products SET name = ?, price = ? WHERE sku = ?", (name, price, sku))
        again.append([], events.PRODUCT_EDITED)


def _barcode_assigned(again: _Again) -> None:
    sku, barcode = again.data["sku"], again.data["barcode"]
    connection = again.write.connection
    found = first(connection, "SELECT sku FROM barcodes WHERE barcode = ?", (barcode,))
    if again.level(sku) is None:
        raise _MisfitError(f"there is no product {sku}")
    if found and found[0] != sku:
        raise _MisfitError(f"{barcode} stands for {found[0]} meanwhile")
    connection.execute("INSERT OR IGNORE INTO barcodes VALUES (?, ?)", (barcode, sku))
    again.append([])


def _barcode_removed(again: _Again) -> None:
    sku, barcode = again.data["sku"], again.data["barcode"]
    connection = again.write.connection
    found = first(connection, "SELECT sku FROM barcodes WHERE barcode = ?", (barcode,))
    if found is None or found[0] != sku:
        raise _MisfitError(f"{barcode} does not stand for {sku} any more")
    connection.execute("DELETE FROM barcodes WHERE barcode = ?", (barcode,))
    again.append([])


def _thresholds(again: _Again) -> None:
    sku = again.data["sku"]
    if again.level(sku) is None:
        raise _MisfitError(f"there is no product {sku}")
    values = (sku, again.data["reorder_point"], again.data["safety_stock"])
    again.write.connection.execute("INSERT OR REPLACE INTO thresholds VALUES (?, ?, ?)", values)
    again.append([])


def _created(again: _Again) -> None:
    held = after_event(0, again.event)
    connection = again.write.connection
    if first(connection, "SELECT 1 FROM reservations WHERE reservation = ?", (held.reservation,)):
        raise _MisfitError(f"{held.reservation} is there already")
    seq = again.append(_moves(again, lambda entry, _: entry.on_hand_change))
    expires_us = parse_time(held.expires_at)
    connection.execute(
        "INSERT INTO reservations VALUES (?, 'pending', ?, ?, ?, ?, NULL, ?, ?)",
        (held.reservation, held.order, held.clerk, parse_time(held.created_at), expires_us, seq, seq),
    )
    for entry in held.lines:
        connection.execute(
            "INSERT INTO reservation_lines VALUES (?, ?, ?, 0, 0, ?)",
            (held.reservation, entry.sku, entry.quantity, expires_us),
        )


def _extended(again: _Again) -> None:
    after = again.pending()
    expires_us = parse_time(again.data["expires_at"])
    seq = again.append([])
    connection = again.write.connection
    connection.execute(
        "UPDATE reservations SET expires_us = ?, last_seq = ? WHERE reservation = ?",
        (expires_us, seq, after.reservation),
    )
    connection.execute("UPDATE reservation_lines SET due_us = ? WHERE reservation = ?", (expires_us, after.reservation))


def _ended(again: _Again) -> None:
    after = again.pending()
    again.write.end(again.event.type, after.reservation, after.lines, again.data, again.origin, again=again.event.id)


_BY_TYPE: dict[str, Callable[[_Again], None]] = {
    events.PRODUCT_ADDED: _product,
    events.PRODUCT_EDITED: _product,
    events.BARCODE_ASSIGNED: _barcode_assigned,
    events.BARCODE_REMOVED: _barcode_removed,
    events.THRESHOLDS_SET: _thresholds,
    events.STOCK_ADJUSTED: _adjusted,
    events.STOCK_DISCREPANCY: _discrepancy,
    events.RESERVATION_CREATED: _created,
    events.RESERVATION_EXTENDED: _extended,
    events.RESERVATION_CONFIRMED: _ended,
    events.RESERVATION_CANCELLED: _ended,
    events.RESERVATION_EXPIRED: _ended,
}

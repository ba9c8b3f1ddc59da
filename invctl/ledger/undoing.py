"""Undo the last thing that was done here, by an event that compensates it: nothing is edited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.errors import NotEnoughStockError, WrongStateError
from invctl.language import _, marked
from invctl.ledger.checks import check_origin
from invctl.ledger.database import first, rows
from invctl.ledger.shortage import Shortage, not_enough
from invctl.ledger.writing import NOBODY, Move, Origin, Receipt, Write, reservation_data
from invctl.model import events
from invctl.model.reservation import shares

if TYPE_CHECKING:
    from collections.abc import Iterator

    from invctl.ledger.ledger import Ledger
    from invctl.model.events import Event

LOOK_BACK = 200
_BY_THEMSELVES = frozenset({events.RESERVATION_EXPIRED, events.STOCK_LOW})


class Undone(NamedTuple):
    """What was undone, under its seq, and the receipt of the event that did it."""

    seq: int
    event: Event
    receipt: Receipt


def undo(ledger: Ledger, *, clerk: str | None = None, origin: Origin = NOBODY) -> Undone:
    """Undo the last action that was not undone yet; with `clerk`, the last of that clerk's.

    A reservation is cancelled, a sale's units come back, an adjustment is taken back. What the ledger did by itself is
    passed over; of one basket that was sold in one step, all comes back.

    Raises:
        WrongStateError: there is nothing to undo, or the last action is of a kind that is undone by hand.
        NotEnoughStockError: what came in is not available any more.

    """
    check_origin(origin)
    with ledger.write() as write:
        write.expire_due(_held_skus(write))
        seq, event = _last(write, clerk)
        data = {"undoes": event.id}
        if event.type == events.STOCK_ADJUSTED:
            receipt = _take_back(write, event, data, origin)
        elif event.type == events.RESERVATION_CREATED:
            receipt = _cancel(write, event, data, origin)
        elif event.type == events.RESERVATION_CONFIRMED:
            receipt = _come_back(write, event, data, origin)
        elif event.type == events.BARCODE_ASSIGNED:
            receipt = _unassign(write, event, data, origin)
        else:
            raise WrongStateError(
                _(
                    "the last action is {event}: it is not undone by itself",
                    event=event.type.removeprefix("inventory."),
                ),
                hint=_(_BY_HAND.get(event.type, marked("`invctl history` shows what was done"))),
            )
        write.commit()
    return Undone(seq, event, receipt)


_BY_HAND = {
    events.PRODUCT_ADDED: marked("a product stays in the list; `invctl product edit` changes it"),
    events.PRODUCT_EDITED: marked("`invctl product edit` again"),
    events.BARCODE_REMOVED: marked("`invctl barcode add`"),
    events.THRESHOLDS_SET: marked("`invctl product reorder` again"),
    events.RESERVATION_CANCELLED: marked("reserve again: others may have what was released"),
    events.RESERVATION_EXTENDED: marked("`invctl extend` again, for as long as is meant"),
}


def _last(write: Write, clerk: str | None) -> tuple[int, Event]:
    undone: set[str] = set()
    for seq, event in _backwards(write):
        target = event.data.get("undoes")
        if isinstance(target, str):
            undone.add(target)
        elif event.type in _BY_THEMSELVES or event.type.startswith(events.LEDGER_PREFIX) or event.id in undone:
            continue
        elif clerk is None or event.data.get("clerk") == clerk:
            if event.type == events.RESERVATION_CREATED and _ended(write, str(event.data.get("reservation"))):
                # It ended meanwhile, by an event that was undone, or by itself.
                continue
            return seq, event
    whose = _(" of {clerk}", clerk=clerk) if clerk else ""
    raise WrongStateError(
        _("there is nothing to undo{whose}", whose=whose), hint=_("`invctl history` shows what was done")
    )


def _backwards(write: Write) -> Iterator[tuple[int, Event]]:
    found = rows(write.connection, "SELECT seq, body FROM events ORDER BY seq DESC LIMIT ?", (LOOK_BACK,))
    for seq, body in found:
        yield seq, events.parse(body)


def _take_back(write: Write, event: Event, data: dict[str, Any], origin: Origin) -> Receipt:
    if event.is_count:
        raise WrongStateError(_("a count is what somebody saw: it is not undone"), hint=_("count again"))
    moves = [Move(entry.sku, -entry.on_hand_change, 0, {}) for entry in event.lines]
    return _corrected(write, moves, data, origin)


def _come_back(write: Write, event: Event, data: dict[str, Any], origin: Origin) -> Receipt:
    moves = [Move(entry.sku, -entry.on_hand_change, 0, {}) for entry in event.lines if entry.on_hand_change]
    return _corrected(write, moves, {**data, "document": event.subject}, origin)


def _corrected(write: Write, moves: list[Move], data: dict[str, Any], origin: Origin) -> Receipt:
    short = [
        Shortage(move.sku, -move.on_hand_change, write.level(move.sku))
        for move in moves
        if write.level(move.sku).available + move.on_hand_change < 0
    ]
    if short:
        error: NotEnoughStockError = not_enough(write, short)
        raise error
    data = {"reason": "correction", **data} | ({"clerk": origin.clerk} if origin.clerk else {})
    subject = moves[0].sku if len(moves) == 1 else "correction"
    return write.append(events.STOCK_ADJUSTED, subject, data, origin, moves)


def _cancel(write: Write, event: Event, data: dict[str, Any], origin: Origin) -> Receipt:
    key = event.subject
    order, created_us, expires_us = first(
        write.connection,
        "SELECT order_reference, created_us, expires_us FROM reservations WHERE reservation = ?",
        (key,),
    )
    lines = shares(tuple(write.reservation_lines(key)), {})
    stated = reservation_data(key, order, origin.clerk, created_us, expires_us)
    return write.end(events.RESERVATION_CANCELLED, key, lines, {**stated, **data}, origin)


def _unassign(write: Write, event: Event, data: dict[str, Any], origin: Origin) -> Receipt:
    sku, barcode = event.data["sku"], event.data["barcode"]
    if not first(write.connection, "SELECT 1 FROM barcodes WHERE barcode = ? AND sku = ?", (barcode, sku)):
        raise WrongStateError(
            _("{barcode} does not stand for {sku} any more", barcode=barcode, sku=sku), hint="`invctl barcode list`"
        )
    write.connection.execute("DELETE FROM barcodes WHERE barcode = ?", (barcode,))
    data = {"sku": sku, "barcode": barcode, **data} | ({"clerk": origin.clerk} if origin.clerk else {})
    return write.append(events.BARCODE_REMOVED, sku, data, origin)


def _ended(write: Write, key: str) -> bool:
    row = first(write.connection, "SELECT status FROM reservations WHERE reservation = ?", (key,))
    return row is None or row[0] != "pending"


def _held_skus(write: Write) -> list[str]:
    """Return what the reservations hold that are due: they end first, as before any other change."""
    found = rows(
        write.connection,
        "SELECT DISTINCT sku FROM reservation_lines WHERE due_us <= ?",
        (write.now_us,),
    )
    return [sku for (sku,) in found]

"""One transaction on a ledger: the moment it stands for, and the only ways in which it changes things."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.clock import format_time
from invctl.errors import NotFoundError, RefusedError
from invctl.language import _, marked, retold
from invctl.ledger.database import commit, first, rows
from invctl.model import events
from invctl.model.chain import GENESIS, Head, link
from invctl.model.identifiers import new_event_id
from invctl.model.reservation import ReservationLine
from invctl.model.stock import StockLevel

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    import apsw

    from invctl.clock import Clock
    from invctl.model.identifiers import Bits


RESTORED_FROM = marked("this ledger is a backup of {at} that was restored, and head office may hold later events")
FROZEN_BY = (
    RESTORED_FROM,
    # As the daemon writes them down (`invctl.sync.shipper`).
    marked("head office holds an event {seq} that this ledger does not have"),
    marked(
        "head office holds an event {seq} that this ledger does not have, and another machine speaks for this store"
    ),
)
"""Why nothing may be written, as a ledger keeps it: in English."""


class FrozenError(RefusedError):
    """Nothing may be written: head office has a history of this store that the ledger lost."""

    code = "frozen"


class Origin(NamedTuple):
    """Who asks, under which request id, as part of which trace (a W3C traceparent). All may be empty.

    `parent` is the id of the span that the trace was handed over by, 16 hexadecimal digits.
    """

    clerk: str = ""
    request_id: str = ""
    trace: str = ""
    request_hash: str = ""
    parent: str = ""


NOBODY = Origin()
_LEVEL = (
    "SELECT sku, on_hand, reserved, version, (SELECT reorder_point FROM thresholds WHERE sku = stock.sku)"
    " FROM stock WHERE sku "
)
_LEVEL_OF = _LEVEL + "= ?"
_LEVELS_OF = f"{_LEVEL}IN (SELECT value FROM json_each(?))"
_ANY_DUE = "SELECT 1 FROM reservations WHERE status = 'pending' AND expires_us <= ? LIMIT 1"


class Receipt(NamedTuple):
    """What came of an operation: its event, under its seq. `replayed` if the request had been decided before.

    `seq` is 0 where nothing had to change.
    """

    seq: int
    body: bytes
    replayed: bool = False

    @property
    def event(self) -> events.Event:
        """The event as read."""
        return events.parse(self.body)


class Move(NamedTuple):
    """How one SKU's level is to change. `more` goes into the event's line beside it."""

    sku: str
    on_hand_change: int
    reserved_change: int
    more: dict[str, int]


class Write:
    """A write transaction. Its time is the later of now and the last event's, so a ledger's time never runs back."""

    def __init__(self, connection: apsw.Connection, store: str, clock: Clock, chance: Bits) -> None:
        """Begin where the ledger of this store ends; the caller has begun the transaction.

        `settled` is the head after the last expiry: what is due stays expired even where an operation is refused.
        """
        self.connection = connection
        self.store = store
        self.chance = chance
        row = first(
            connection,
            "SELECT seq, hash, time_us, (SELECT frozen FROM link) FROM events ORDER BY seq DESC LIMIT 1",
        )
        last_us = row[2] if row else 0
        self._frozen = row[3] if row else ""
        self.head = Head(row[0], row[1]) if row else Head(0, GENESIS)
        self.now_us = max(clock.now_us(), last_us)
        self.now = format_time(self.now_us)
        self._begun = self.settled = self.head
        self._committed = False
        self._levels: dict[str, StockLevel] = {}
        # Reorder points, and what was available before this transaction, of the SKUs that have one.
        self._watched: dict[str, tuple[int, int]] = {}

    def commit(self) -> None:
        """Make it durable. Raises UncertainError where the disk leaves it open whether it is."""
        self.tell_low()
        commit(self.connection)
        self._committed = True

    @property
    def brought_events(self) -> bool:
        """Whether it was committed and appended events."""
        return self._committed and self.head != self._begun

    def level(self, sku: str) -> StockLevel:
        """Return a SKU's level. Raises NotFoundError where the store does not carry it."""
        return self._levels.get(sku) or self.levels([sku])[sku]

    def levels(self, skus: Collection[str]) -> dict[str, StockLevel]:
        """Return the levels of SKUs, read at once. Raises NotFoundError for the first that the store does not carry."""
        known = self._levels
        if missing := [sku for sku in skus if sku not in known]:
            one = len(missing) == 1
            query, binding = (_LEVEL_OF, missing[0]) if one else (_LEVELS_OF, json.dumps(missing))
            for sku, on_hand, reserved, version, reorder_point in self.connection.execute(query, (binding,)):
                level = known[sku] = StockLevel(on_hand, reserved, version)
                if reorder_point:
                    self._watched[sku] = (reorder_point, level.available)
            for sku in missing:
                if sku not in known:
                    hint = _("`invctl product list` shows what there is, `invctl product add` adds to it")
                    raise NotFoundError(_("no product {sku}", sku=sku), hint=hint, sku=sku)
        return {sku: known[sku] for sku in skus}

    def append(
        self,
        type_: str,
        subject: str,
        data: dict[str, Any],
        origin: Origin,
        moves: Sequence[Move] = (),
        *,
        again: str = "",
    ) -> Receipt:
        """Append one event, with the movements and levels that it states.

        `again` is the id of an event that was set aside and comes anew: that one may be of any size. Raises
        FrozenError where nothing may be written, and RefusedError where the event would be too large.
        """
        if self._frozen:
            hint = _("`invctl status` tells how it stands; it ends by itself once the daemon has what is missing")
            raise FrozenError(_("nothing can be written: {why}", why=retold(self._frozen, *FROZEN_BY)), hint=hint)
        seq = self.head.seq + 1
        if moves:
            after = self._moved(moves)
            lines = [
                events.line(move.sku, move.on_hand_change, move.reserved_change, level, **move.more)
                for move, level in zip(moves, after, strict=True)
            ]
            data = {**data, "lines": lines}
        event_id = again or new_event_id(self.chance)
        body = events.compose(
            id=event_id,
            type=type_,
            store=self.store,
            time=self.now,
            subject=subject,
            data=data,
            trace=origin.trace,
            parent=origin.parent,
            request=(origin.request_id, origin.request_hash) if origin.request_id else None,
        )
        if len(body) > events.EVENT_BYTES_MAX and not again:
            raise RefusedError(
                _("the event would take {size:,} bytes", size=len(body)), hint=_("use fewer lines at once")
            )
        hash_ = link(self.head.hash, seq, body)
        self.connection.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", (seq, event_id, type_, self.now_us, body, hash_)
        )
        if moves:
            self.connection.executemany(
                "INSERT INTO movements VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (move.sku, seq, move.on_hand_change, move.reserved_change, *level)
                    for move, level in zip(moves, after, strict=True)
                ],
            )
        self.head = Head(seq, hash_)
        return Receipt(seq, body)

    def tell_low(self) -> None:
        """Append which items have become low: no more of them is available than their reorder points.

        Once, as a level crosses, and not with each sale below. `commit` does it.
        """
        for sku, (point, available) in self._watched.items():
            level = self._levels[sku]
            if level.available <= point < available:
                self.append_low(sku, point)
        self._watched.clear()

    def append_low(self, sku: str, reorder_point: int) -> None:
        """Append that an item is low."""
        level = self.level(sku)
        data = {"sku": sku, "available": level.available, "on_hand": level.on_hand, "reorder_point": reorder_point}
        self.append(events.STOCK_LOW, sku, data, NOBODY)

    def expire_due(self, skus: Iterable[str]) -> None:
        """Let every reservation expire that is due and holds one of these SKUs."""
        if first(self.connection, _ANY_DUE, (self.now_us,)) is None:
            return
        due: dict[str, None] = {}
        for sku in skus:
            for (reservation,) in rows(
                self.connection,
                "SELECT reservation FROM reservation_lines WHERE sku = ? AND due_us <= ? ORDER BY due_us",
                (sku, self.now_us),
            ):
                due[reservation] = None
        for reservation in due:
            self.expire(reservation)

    def expire(self, reservation: str) -> Receipt:
        """End a reservation that is due."""
        found = first(
            self.connection,
            "SELECT order_reference, clerk, created_us, expires_us FROM reservations WHERE reservation = ?",
            (reservation,),
        )
        order, clerk, created_us, expires_us = found
        lines = [entry._replace(released=entry.quantity) for entry in self.reservation_lines(reservation)]
        data = reservation_data(reservation, order, clerk, created_us, expires_us)
        receipt = self.end(events.RESERVATION_EXPIRED, reservation, lines, data, NOBODY)
        self.settled = self.head
        return receipt

    def end(
        self,
        type_: str,
        reservation: str,
        lines: Sequence[ReservationLine],
        data: dict[str, Any],
        origin: Origin,
        *,
        again: str = "",
    ) -> Receipt:
        """End a pending reservation: what is confirmed of its lines leaves the store, the rest is free again."""
        moves = [
            Move(
                entry.sku,
                -entry.confirmed,
                -entry.quantity,
                {"quantity": entry.quantity, "confirmed": entry.confirmed, "released": entry.released},
            )
            for entry in lines
        ]
        receipt = self.append(type_, reservation, data, origin, moves, again=again)
        self.connection.executemany(
            "UPDATE reservation_lines SET confirmed = ?, released = ?, due_us = NULL WHERE reservation = ? AND sku = ?",
            [(entry.confirmed, entry.released, reservation, entry.sku) for entry in lines],
        )
        self.connection.execute(
            "UPDATE reservations SET status = ?, ended_us = ?, last_seq = ? WHERE reservation = ?",
            (events.STATUS_AFTER[type_], self.now_us, receipt.seq, reservation),
        )
        return receipt

    def reservation_lines(self, reservation: str) -> list[ReservationLine]:
        """Return the lines of a reservation, by SKU."""
        found = rows(
            self.connection,
            "SELECT sku, quantity, confirmed, released FROM reservation_lines WHERE reservation = ? ORDER BY sku",
            (reservation,),
        )
        return [ReservationLine(*row) for row in found]

    def _moved(self, moves: Sequence[Move]) -> list[StockLevel]:
        """Change the levels, and return what each came to."""
        self.levels([move.sku for move in moves])
        known, after, changed = self._levels, [], []
        for move in moves:
            before = known[move.sku]
            level = known[move.sku] = before.moved(move.on_hand_change, move.reserved_change)
            after.append(level)
            changed.append((*level, move.sku, before.version))
        already = self.connection.total_changes()
        self.connection.executemany(
            "UPDATE stock SET on_hand = ?, reserved = ?, version = ? WHERE sku = ? AND version = ?", changed
        )
        if self.connection.total_changes() - already != len(moves):
            skus = ", ".join(move.sku for move in moves)
            raise RefusedError(_("{sku} changed under a transaction that holds the ledger", sku=skus))
        return after


def reservation_data(reservation: str, order: str, clerk: str, created_us: int, expires_us: int) -> dict[str, Any]:
    """Return what every event of a reservation states of it, beside its lines."""
    data = {"reservation": reservation, "created_at": format_time(created_us), "expires_at": format_time(expires_us)}
    if order:
        data["order"] = order
    if clerk:
        data["clerk"] = clerk
    return data

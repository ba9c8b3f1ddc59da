"""Reservations: opened all or nothing, ended once. A second end is told which was first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.clock import format_time
from invctl.errors import InvalidValueError, NotFoundError, RefusedError, WrongStateError
from invctl.language import _, _n, marked
from invctl.ledger.adjustments import NOTE_CHARS_MAX
from invctl.ledger.checks import check_text
from invctl.ledger.database import first, rows
from invctl.ledger.shortage import Shortage, not_enough
from invctl.ledger.writing import NOBODY, Move, Origin, Receipt, Write, reservation_data
from invctl.model import events
from invctl.model.identifiers import (
    RESERVATION_PREFIX,
    RESERVATION_RANDOM_CHARS,
    is_whole_reservation_body,
    new_reservation_id,
    reservation_body,
)
from invctl.model.reservation import shares
from invctl.model.stock import check_quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    import apsw

    from invctl.ledger.ledger import Ledger

HOLD_S = 30 * 60
HOLD_S_MAX = 366 * 24 * 3600
_DRAWS = 8
_DUE = "SELECT reservation FROM reservations WHERE status = 'pending' AND expires_us <= ? ORDER BY expires_us LIMIT ?"


class Held(NamedTuple):
    """A reservation's row, in the order of `COLUMNS`."""

    reservation: str
    status: str
    order: str
    clerk: str
    created_us: int
    expires_us: int
    ended_us: int | None
    first_seq: int
    last_seq: int


COLUMNS = "reservation, status, order_reference, clerk, created_us, expires_us, ended_us, first_seq, last_seq"


def reserve(
    ledger: Ledger, lines: Mapping[str, int], *, order: str = "", hold_s: int = HOLD_S, origin: Origin = NOBODY
) -> Receipt:
    """Hold stock for a customer, all lines or none.

    Args:
        ledger: the store's.
        lines: units by SKU, each at least 1.
        order: the customer's reference.
        hold_s: for how many seconds.
        origin: who asks.

    Raises:
        NotFoundError: the store does not carry a SKU.
        NotEnoughStockError: at least one line is short; it tells of every short line.
        InvalidValueError: a value is out of range.
        RefusedError: there are more lines than one event can carry, or the disk is low.

    """
    check_hold(hold_s)
    lines = _checked(lines, order)

    def body(write: Write, origin: Origin) -> Receipt:
        _refuse_short(write, lines)
        return _open(write, lines, order, hold_s, origin)

    arguments = {"lines": list(lines.items()), "order": order, "hold_s": hold_s}
    return ledger.decide("reservation.create", arguments, origin, lines, body, grows=True)


def sell(ledger: Ledger, lines: Mapping[str, int], *, order: str = "", origin: Origin = NOBODY) -> Receipt:
    """Reserve and confirm in one step, all lines or none. Returns the receipt of the confirmation.

    There is a reservation all the same, with its two events: what is sold has an id, and a story.

    Args and raises as for `reserve`.
    """
    lines = _checked(lines, order)

    def body(write: Write, origin: Origin) -> Receipt:
        _refuse_short(write, lines)
        # The request's outcome is the sale, so that event alone bears its id.
        opened = _open(write, lines, order, HOLD_S, origin._replace(request_id="", request_hash=""))
        key = opened.event.subject
        sold = shares(tuple(write.reservation_lines(key)), None)
        data = reservation_data(key, order, origin.clerk, write.now_us, write.now_us + HOLD_S * 1_000_000)
        return write.end(events.RESERVATION_CONFIRMED, key, sold, data, origin)

    arguments = {"lines": list(lines.items()), "order": order}
    return ledger.decide("reservation.sell", arguments, origin, lines, body, grows=True)


def confirm(
    ledger: Ledger, reservation: str, quantities: Mapping[str, int] | None = None, *, origin: Origin = NOBODY
) -> Receipt:
    """Post the sale of a reservation, whole or in part; the rest of a part is released with it.

    Args:
        ledger: the store's.
        reservation: its id, or the beginning of an open one's.
        quantities: units by SKU to confirm; None confirms all.
        origin: who asks.

    Raises:
        NotFoundError: no such reservation, or a SKU that it does not hold.
        WrongStateError: it has ended, or it is due.
        InvalidValueError: more would be confirmed than is held, or nothing, or the id's beginning fits several.

    """
    if quantities is not None and not any(quantities.values()):
        raise InvalidValueError(
            _("nothing to confirm"), hint=_("`invctl cancel {reservation}` releases it", reservation=reservation)
        )
    return _end(ledger, events.RESERVATION_CONFIRMED, reservation, quantities, origin)


def cancel(ledger: Ledger, reservation: str, *, origin: Origin = NOBODY) -> Receipt:
    """Release a reservation. Raises as `confirm` does."""
    return _end(ledger, events.RESERVATION_CANCELLED, reservation, {}, origin)


def extend(ledger: Ledger, reservation: str, hold_s: int = HOLD_S, *, origin: Origin = NOBODY) -> Receipt:
    """Hold a reservation for `hold_s` seconds from now. Raises as `confirm` does."""
    check_hold(hold_s)

    def body(write: Write, origin: Origin) -> Receipt:
        held = _pending(write, reservation)
        expires_us = write.now_us + hold_s * 1_000_000
        lines = write.reservation_lines(held.reservation)
        data = reservation_data(held.reservation, held.order, origin.clerk, held.created_us, expires_us)
        data["expired_before_at"] = format_time(held.expires_us)
        data["holds"] = [{"sku": entry.sku, "quantity": entry.quantity} for entry in lines]
        receipt = write.append(events.RESERVATION_EXTENDED, held.reservation, data, origin)
        write.connection.execute(
            "UPDATE reservations SET expires_us = ?, last_seq = ? WHERE reservation = ?",
            (expires_us, receipt.seq, held.reservation),
        )
        write.connection.execute(
            "UPDATE reservation_lines SET due_us = ? WHERE reservation = ?", (expires_us, held.reservation)
        )
        return receipt

    arguments = {"reservation": reservation_body(reservation), "hold_s": hold_s}
    return ledger.decide("reservation.extend", arguments, origin, (), body)


def any_due(ledger: Ledger) -> bool:
    """Say whether a reservation waits to be ended as expired."""
    return ledger.row(_DUE, (ledger.now_us(), 1)) is not None


def expire(ledger: Ledger, at_most: int = 100) -> int:
    """Let reservations expire that are due, the longest due first. Returns how many; bounded by `at_most`."""
    if not any_due(ledger):
        return 0
    with ledger.write() as write:
        found = rows(write.connection, _DUE, (write.now_us, at_most))
        for (reservation,) in found:
            write.expire(reservation)
        write.commit()
    return len(found)


def find(connection: apsw.Connection, text: str, now_us: int) -> Held:
    """Return the reservation with this id, or the one that is open at `now_us` and whose id begins so.

    Raises NotFoundError, or InvalidValueError where the beginning fits several.
    """
    body = reservation_body(text)
    wanted = RESERVATION_PREFIX + body
    select = f"SELECT {COLUMNS} FROM reservations WHERE "
    row = first(connection, select + "reservation = ?", (wanted,))
    if row:
        return Held(*row)
    found = rows(
        connection,
        select + "reservation > ? AND reservation < ? AND status = 'pending' AND expires_us > ? LIMIT 4",
        (wanted, wanted + "~", now_us),
    )
    if len(found) == 1:
        return Held(*found[0])
    if found:
        several = ", ".join(row[0] for row in found[:3]) + (_(" and more") if len(found) > 3 else "")
        raise InvalidValueError(
            _("{wanted} is the beginning of {several}", wanted=wanted, several=several),
            hint=_("type one character more"),
        )
    if len(body) > RESERVATION_RANDOM_CHARS and not is_whole_reservation_body(body):
        hint = _("its check character does not fit: a character was mistyped")
    else:
        hint = _("`invctl reservations` lists the open ones; one that has ended is found by its whole id")
    raise NotFoundError(_("no reservation {wanted}", wanted=wanted), hint=hint, reservation=wanted)


def _checked(lines: Mapping[str, int], order: str) -> dict[str, int]:
    """Return the lines of a new reservation by SKU, as the tables keep them, where an event can carry them."""
    check_text(order, marked("order reference"), NOTE_CHARS_MAX)
    if not lines:
        raise InvalidValueError(_("nothing to reserve"), hint=_("name a SKU, or SKU=QUANTITY"))
    checked = {sku: check_quantity(quantity) for sku, quantity in sorted(lines.items())}
    # An end must fit, too: it states more of each line than the beginning.
    if (size := events.size_bound(list(checked))) > events.EVENT_BYTES_MAX:
        raise RefusedError(
            _n(
                "{n:,} line may take {size:,} bytes as an event",
                "{n:,} lines may take {size:,} bytes as an event",
                len(checked),
                size=size,
            ),
            hint=_("split the basket"),
        )
    return checked


def _refuse_short(write: Write, lines: Mapping[str, int]) -> None:
    """Raise NotEnoughStockError, which tells of every short line, where there is one."""
    levels = write.levels(lines)
    short = [
        Shortage(sku, quantity, levels[sku]) for sku, quantity in lines.items() if levels[sku].available < quantity
    ]
    if short:
        raise not_enough(write, short)


def _open(write: Write, lines: Mapping[str, int], order: str, hold_s: int, origin: Origin) -> Receipt:
    reservation = _draw(write)
    expires_us = write.now_us + hold_s * 1_000_000
    data = reservation_data(reservation, order, origin.clerk, write.now_us, expires_us)
    moves = [Move(sku, 0, quantity, {"quantity": quantity}) for sku, quantity in lines.items()]
    receipt = write.append(events.RESERVATION_CREATED, reservation, data, origin, moves)
    write.connection.execute(
        "INSERT INTO reservations VALUES (?, 'pending', ?, ?, ?, ?, NULL, ?, ?)",
        (reservation, order, origin.clerk, write.now_us, expires_us, receipt.seq, receipt.seq),
    )
    write.connection.executemany(
        "INSERT INTO reservation_lines VALUES (?, ?, ?, 0, 0, ?)",
        [(reservation, sku, quantity, expires_us) for sku, quantity in lines.items()],
    )
    return receipt


def _draw(write: Write) -> str:
    """Draw an id that is free. Where short ones are getting scarce, a longer one is drawn."""
    for attempt in range(_DRAWS):
        reservation = new_reservation_id(write.chance, random_chars=5 + attempt // 2)
        if not write.connection.execute("SELECT 1 FROM reservations WHERE reservation = ?", (reservation,)).fetchone():
            return reservation
    raise RefusedError(_("no free reservation id was found"), hint=_("the source of chance repeats itself"))


def _end(ledger: Ledger, type_: str, reservation: str, quantities: Mapping[str, int] | None, origin: Origin) -> Receipt:
    def body(write: Write, origin: Origin) -> Receipt:
        held = _pending(write, reservation)
        wanted = None if quantities is None else dict(quantities)
        lines = shares(tuple(write.reservation_lines(held.reservation)), wanted)
        data = reservation_data(held.reservation, held.order, origin.clerk, held.created_us, held.expires_us)
        return write.end(type_, held.reservation, lines, data, origin)

    arguments: dict[str, Any] = {
        "reservation": reservation_body(reservation),
        "quantities": None if quantities is None else sorted(quantities.items()),
    }
    return ledger.decide(type_, arguments, origin, (), body)


def _pending(write: Write, text: str) -> Held:
    """Return a reservation that may still end. One that is due ends here, as expired."""
    held = find(write.connection, text, write.now_us)
    if held.status == "pending" and held.expires_us <= write.now_us:
        write.expire(held.reservation)
        held = held._replace(status="expired")
    if held.status == "expired":
        # It ended when it was due, whenever that was written down.
        raise WrongStateError(
            _("{reservation} expired at {time}Z", reservation=held.reservation, time=format_time(held.expires_us)[:19]),
            hint=_("reserve again"),
            reservation=held.reservation,
            status="expired",
            ended_at=format_time(held.expires_us),
        )
    if held.status != "pending":
        assert held.ended_us is not None
        raise WrongStateError(
            _(
                "{reservation} was already {status}, at {time}Z",
                reservation=held.reservation,
                status=_(held.status),
                time=format_time(held.ended_us)[:19],
            ),
            hint=_("`invctl show {reservation}` tells its story", reservation=held.reservation),
            reservation=held.reservation,
            status=held.status,
            ended_at=format_time(held.ended_us),
        )
    return held


def check_hold(hold_s: int, said: str = "") -> int:
    """Return a number of seconds to hold stock for. Raises InvalidValueError; `said` is how it was put."""
    if not 1 <= hold_s <= HOLD_S_MAX:
        raise InvalidValueError(
            _("{time} is not a time to hold stock", time=said or f"{hold_s} s"),
            hint=_("1 second to {days} days", days=HOLD_S_MAX // 86_400),
        )
    return hold_s

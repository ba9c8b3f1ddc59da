"""What a ledger shows. A read writes nothing: a reservation that is due no longer counts, recorded or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.clock import format_time
from invctl.errors import NotFoundError
from invctl.language import _
from invctl.ledger.reservations import COLUMNS, Held, find
from invctl.model import events
from invctl.model.reservation import Reservation, ReservationLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from invctl.ledger.ledger import Ledger

STOCK = """
SELECT sku, name, price, on_hand, reserved - due, version FROM (
    SELECT sku, name, price, on_hand, reserved, version,
        coalesce((SELECT sum(quantity) FROM reservation_lines AS line
                  WHERE line.sku = stock.sku AND line.due_us <= ?), 0) AS due
    FROM products JOIN stock USING (sku))
"""
HELD = f"SELECT {COLUMNS} FROM reservations"


class StockRow(NamedTuple):
    """What the store has of one SKU. `price` is in minor units, None where there is none."""

    sku: str
    name: str
    price: int | None
    on_hand: int
    reserved: int
    available: int
    version: int


class PastRow(NamedTuple):
    """What the store had of one SKU, as event `as_of_seq` left it."""

    sku: str
    name: str
    on_hand: int
    reserved: int
    available: int
    version: int
    as_of_seq: int


class HistoryRow(NamedTuple):
    """One event, as the story of an item or a reservation tells it."""

    seq: int
    time: str
    event: str
    sku: str | None
    on_hand_change: int
    reserved_change: int
    on_hand: int | None
    reserved: int | None
    reservation: str | None
    reason: str | None
    order: str | None
    clerk: str | None
    note: str | None
    document: str | None
    expires_at: str | None
    undoes: str | None


class LinkRow(NamedTuple):
    """What the daemon last learnt of central. `acked_us` is 0 where it never answered."""

    acked_seq: int
    acked_us: int
    state: str
    reason: str
    suspects: int


class Status(NamedTuple):
    """The ledger in a few numbers. `oldest_pending_us` is 0 where central has acknowledged everything."""

    head_seq: int
    last_event_us: int
    products: int
    open_reservations: int
    link: LinkRow
    oldest_pending_us: int


def stock(ledger: Ledger, sku: str | None = None) -> tuple[list[StockRow], int]:
    """Return the levels, by SKU, and the seq that they are as of. Raises NotFoundError for an unknown SKU."""
    with ledger.read():
        where = " WHERE sku = ?" if sku else ""
        found = ledger.rows(STOCK + where + " ORDER BY sku", [ledger.now_us(), *([sku] if sku else [])])
        seq = head_seq(ledger)
    if sku and not found:
        raise _not_carried(sku)
    rows = [as_level(*row) for row in found]
    return rows, seq


def stock_at(ledger: Ledger, at_us: int, sku: str | None = None) -> list[PastRow]:
    """Return the levels as the events up to a moment left them, by SKU: of what the store carried then.

    What was due by then and not yet ended counts as reserved, as the ledger had it. Raises NotFoundError for an unknown
    SKU.
    """
    with ledger.read():
        if sku:
            _check_carried(ledger, sku)
        found = ledger.row("SELECT seq FROM events WHERE time_us <= ? ORDER BY seq DESC LIMIT 1", (at_us,))
        as_of = found[0] if found else 0
        where = "WHERE sku = ?" if sku else ""
        rows = ledger.rows(
            f"SELECT sku, name, on_hand, reserved, version, seq FROM movements JOIN products USING (sku)"
            f" JOIN (SELECT sku, max(seq) AS seq FROM movements WHERE seq <= ? GROUP BY sku) USING (sku, seq)"
            f" {where} ORDER BY sku",
            [as_of, *([sku] if sku else [])],
        )
    return [
        PastRow(sku_, name, on_hand, reserved, on_hand - reserved, version, seq)
        for sku_, name, on_hand, reserved, version, seq in rows
    ]


def as_level(sku: str, name: str, price: int | None, on_hand: int, reserved: int, version: int) -> StockRow:
    """Return a row of `STOCK`."""
    return StockRow(sku, name, price, on_hand, reserved, on_hand - reserved, version)


def requested(ledger: Ledger, request_id: str | None) -> bool:
    """Say whether there is an outcome under this request id."""
    return bool(request_id and ledger.row("SELECT 1 FROM requests WHERE id = ?", (request_id,)))


def head_seq(ledger: Ledger) -> int:
    """Return the seq of the last event."""
    return int(ledger.row("SELECT max(seq) FROM events")[0])


def reservations(
    ledger: Ledger,
    *,
    status: str | None = "pending",
    sku: str | None = None,
    order: str | None = None,
    limit: int = 1000,
) -> list[Reservation]:
    """Return reservations, those next to expire first when they are pending, else the newest first.

    Args:
        ledger: the store's.
        status: only those in it; None for all.
        sku: only those with a line of it.
        order: only those of this customer's reference.
        limit: at most so many.

    Raises NotFoundError for an unknown SKU.

    """
    with ledger.read():
        if sku:
            _check_carried(ledger, sku)
        now = ledger.now_us()
        where, bindings = ["1"], list[Any]()
        if status == "pending":
            where.append("status = 'pending' AND expires_us > ?")
            bindings.append(now)
        elif status == "expired":
            where.append("(status = 'expired' OR (status = 'pending' AND expires_us <= ?))")
            bindings.append(now)
        elif status:
            where.append("status = ?")
            bindings.append(status)
        if sku:
            # Only lines that hold stock are indexed by SKU.
            held = " AND due_us IS NOT NULL" if status == "pending" else ""
            where.append(f"reservation IN (SELECT reservation FROM reservation_lines WHERE sku = ?{held})")
            bindings.append(sku)
        if order:
            where.append("order_reference = ?")
            bindings.append(order)
        by = "expires_us" if status == "pending" else "created_us DESC"
        sql = f"{HELD} WHERE {' AND '.join(where)} ORDER BY {by}, reservation LIMIT ?"
        return [as_reservation(ledger, Held(*row), now) for row in ledger.rows(sql, [*bindings, limit])]


def reservation(ledger: Ledger, text: str) -> Reservation:
    """Return one reservation, by its id or the beginning of an open one's. Raises as `reservations.find` does."""
    with ledger.read():
        now = ledger.now_us()
        return as_reservation(ledger, find(ledger.connection, text, now), now)


def history(ledger: Ledger, sku: str | None = None, *, limit: int = 50) -> list[HistoryRow]:
    """Return the last rows of a SKU's history, or of the whole store's, oldest first: an event has one for each item.

    Raises NotFoundError for an unknown SKU.
    """
    with ledger.read():
        if sku is None:
            found = ledger.rows("SELECT seq, body FROM events ORDER BY seq DESC LIMIT ?", (limit,))
        else:
            _check_carried(ledger, sku)
            found = ledger.rows(
                "SELECT seq, body FROM movements JOIN events USING (seq) WHERE movements.sku = ?"
                " ORDER BY movements.seq DESC LIMIT ?",
                (sku, limit),
            )
        # Every event has a row at least; of the first there may be some too many.
        return [row for seq, body in reversed(found) for row in told(seq, events.parse(body), sku)][-limit:]


def story(ledger: Ledger, text: str) -> list[HistoryRow]:
    """Return every event of one reservation, and what came back of it later, oldest first.

    Raises as `reservation` does.
    """
    with ledger.read():
        held = find(ledger.connection, text, ledger.now_us())
        found = ledger.rows(
            "SELECT seq, body FROM events WHERE seq BETWEEN ? AND ? AND type LIKE 'inventory.reservation.%'"
            " AND json_extract(CAST(body AS TEXT), '$.data.reservation') = ? ORDER BY seq",
            (held.first_seq, held.last_seq, held.reservation),
        )
        # What was taken back names the reservation as its document.
        found += ledger.rows(
            "SELECT seq, body FROM events WHERE seq IN (SELECT seq FROM movements JOIN reservation_lines USING (sku)"
            " WHERE reservation_lines.reservation = ? AND seq > ?) AND type = ?"
            " AND json_extract(CAST(body AS TEXT), '$.data.document') = ? ORDER BY seq",
            (held.reservation, held.last_seq, events.STOCK_ADJUSTED, held.reservation),
        )
        return [row for seq, body in found for row in told(seq, events.parse(body), None)]


def link(ledger: Ledger) -> LinkRow:
    """Return what the daemon last learnt of central."""
    return LinkRow(*ledger.row("SELECT acked_seq, acked_us, state, reason, suspects FROM link"))


def recounts(ledger: Ledger) -> list[str]:
    """Return the SKUs that are to be counted: what came anew behind a history that was lost has touched them."""
    return [sku for (sku,) in ledger.rows("SELECT sku FROM recounts ORDER BY sku")]


def status(ledger: Ledger) -> Status:
    """Return the ledger in a few numbers."""
    with ledger.read():
        last = ledger.row("SELECT seq, time_us FROM events ORDER BY seq DESC LIMIT 1")
        (products,) = ledger.row("SELECT count(*) FROM products")
        (open_,) = ledger.row(
            "SELECT count(*) FROM reservations WHERE status = 'pending' AND expires_us > ?", (ledger.now_us(),)
        )
        known = link(ledger)
        pending = ledger.row("SELECT time_us FROM events WHERE seq = ?", (known.acked_seq + 1,))
        return Status(last[0], last[1], products, open_, known, pending[0] if pending else 0)


def as_reservation(ledger: Ledger, held: Held, now: int) -> Reservation:
    """Return a row of `HELD` with its lines, as it stands at a time, in microseconds."""
    found = ledger.rows(
        "SELECT sku, quantity, confirmed, released FROM reservation_lines WHERE reservation = ? ORDER BY sku",
        (held.reservation,),
    )
    lines = [ReservationLine(*entry) for entry in found]
    if held.status == "pending" and held.expires_us <= now:
        held = held._replace(status="expired")
        lines = [entry._replace(released=entry.quantity) for entry in lines]
    if held.status == "expired":
        # It ended when it was due; the row has when that was written down, as the event does.
        held = held._replace(ended_us=held.expires_us)
    return Reservation(
        reservation=held.reservation,
        status=held.status,
        order=held.order,
        clerk=held.clerk,
        created_at=format_time(held.created_us),
        expires_at=format_time(held.expires_us),
        ended_at=format_time(held.ended_us) if held.ended_us else "",
        seq=held.last_seq,
        lines=tuple(lines),
    )


def _check_carried(ledger: Ledger, sku: str) -> None:
    """Raise NotFoundError where the store does not carry a SKU."""
    if not ledger.row("SELECT 1 FROM products WHERE sku = ?", (sku,)):
        raise _not_carried(sku)


def _not_carried(sku: str) -> NotFoundError:
    return NotFoundError(_("no product {sku}", sku=sku), hint=_("`invctl product list` shows what there is"), sku=sku)


def told(seq: int, event: events.Event, sku: str | None) -> Iterator[HistoryRow]:
    """Yield an event's rows: one for each item that it moves, or for this one alone, and one where there is none."""
    data = event.data
    # An expiry is told as of when it was due, and nobody did it: the event's clerk is the one who had reserved.
    by_itself = event.type == events.RESERVATION_EXPIRED
    common: dict[str, Any] = {
        "seq": seq,
        "time": data.get("expires_at", event.time) if by_itself else event.time,
        "event": event.type.removeprefix("inventory."),
        "reservation": data.get("reservation"),
        "reason": data.get("reason"),
        "order": data.get("order"),
        "clerk": None if by_itself else data.get("clerk"),
        "note": data.get("note"),
        "document": data.get("document"),
        "expires_at": data.get("expires_at"),
        "undoes": data.get("undoes"),
    }
    lines = [entry for entry in event.lines if sku in (None, entry.sku)]
    for entry in lines:
        yield HistoryRow(
            sku=entry.sku,
            on_hand_change=entry.on_hand_change,
            reserved_change=entry.reserved_change,
            on_hand=entry.level.on_hand,
            reserved=entry.level.reserved,
            **common,
        )
    if not lines:
        yield HistoryRow(
            sku=data.get("sku"), on_hand_change=0, reserved_change=0, on_hand=None, reserved=None, **common
        )

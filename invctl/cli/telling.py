"""Events in words: what a line of an item's or a reservation's history says to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invctl.cli.words import called
from invctl.console.output import Column
from invctl.language import _, marked, number
from invctl.ledger.reads import HistoryRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invctl.cli.times import StoreTime
    from invctl.model.reservation import Reservation

COLUMNS = [Column(key) for key in HistoryRow._fields]
_WORDS = {
    "ledger.created": marked("opened"),
    "ledger.restored": marked("restored"),
    "ledger.checkpoint": marked("checkpoint"),
    "product.added": marked("product added"),
    "product.edited": marked("product edited"),
    "product.barcode_assigned": marked("barcode assigned"),
    "product.barcode_removed": marked("barcode removed"),
    "product.thresholds_set": marked("reorder point set"),
    "stock.low": marked("low"),
    "reservation.created": marked("reserved"),
    "reservation.extended": marked("extended"),
    "reservation.confirmed": marked("confirmed"),
    "reservation.cancelled": marked("cancelled"),
    "reservation.expired": marked("expired"),
}

_HOLDS = ("reservation.created", "reservation.extended")


def table(rows: Sequence[HistoryRow], when: StoreTime) -> tuple[list[Column], list[dict[str, Any]]]:
    """Return the columns and the records of the table for people. The zone of the times stands above them."""
    zone = when.shared_zone(row.time for row in rows)
    columns = [
        Column("seq", show=str, style="dim", drop=1),
        Column("time", _("Time {zone}", zone=zone).strip()),
        Column("event"),
        Column("sku", "SKU", style="cyan"),
        Column("on_hand"),
        Column("reserved", drop=2),
        Column("available", drop=3),
        Column("about", folds=True),
    ]
    return columns, [_for_people(row, when.exact(row.time, named=not zone)) for row in rows]


def _for_people(row: HistoryRow, time: str) -> dict[str, Any]:
    """Return a row for the table: levels with their change, and what else there is to say in one column."""
    # Of a change of level the reason says more; which order it is for is said once, where it is reserved.
    event = _what(row)
    order = _("order {order}", order=row.order) if row.order and row.event == "reservation.created" else None
    paper = row.document and _("document {document}", document=row.document)
    about = [row.reservation, order, row.clerk and _("by {clerk}", clerk=row.clerk), paper, row.note]
    return {
        "seq": row.seq,
        "time": time,
        "event": event,
        "sku": row.sku,
        "on_hand": _level(row.on_hand, row.on_hand_change),
        "reserved": _level(row.reserved, row.reserved_change),
        "available": _available(row),
        "about": ", ".join(part for part in about if part),
    }


def steps(rows: Sequence[HistoryRow], when: StoreTime) -> list[str]:
    """Return a reservation's story, a line for each of its events."""
    told: dict[int, list[HistoryRow]] = {}
    for row in rows:
        told.setdefault(row.seq, []).append(row)
    return [_step(lines, when) for lines in told.values()]


def expiry(reservation: Reservation, when: StoreTime) -> str:
    """Return the end of the story of one that has expired, where no event says so yet."""
    released = ", ".join(
        _("{released:,} {sku} released", released=entry.released, sku=entry.sku) for entry in reservation.lines
    )
    return _(
        "{time}  expired: {released}  (its event is to come)",
        time=when.exact(reservation.expires_at),
        released=released,
    )


def _step(lines: list[HistoryRow], when: StoreTime) -> str:
    row = lines[0]
    moved = ", ".join(_moved(line) for line in lines if line.sku)
    by = _(" by {clerk}", clerk=row.clerk) if row.clerk else ""
    until = ""
    if row.event in _HOLDS and row.expires_at:
        until = _(" until {time}", time=when.exact(row.expires_at))
    note = f", {row.note}" if row.note else ""
    event = _("(event {seq})", seq=row.seq)
    return f"{when.exact(row.time)}  {_what(row)}{by}{until}{': ' if moved else ''}{moved}{note}  {event}"


def _what(row: HistoryRow) -> str:
    what = called(row.reason) if row.reason else _(_WORDS.get(row.event, row.event))
    return _("{what} (undo)", what=what) if row.undoes else what


def _moved(row: HistoryRow) -> str:
    left = ""
    if row.on_hand is not None:
        left = _(" (then {on_hand:,} on hand, {available:,} available)", on_hand=row.on_hand, available=_available(row))
    if row.reserved_change > 0:
        return f"{number(row.reserved_change)} {row.sku}{left}"
    if row.on_hand_change > 0:
        return _("{units:,} {sku} back in stock", units=row.on_hand_change, sku=row.sku) + left
    sold, released = -row.on_hand_change, row.on_hand_change - row.reserved_change
    parts = [
        _("{sold:,} {sku} sold", sold=sold, sku=row.sku) if sold else "",
        _("{released:,} {sku} released", released=released, sku=row.sku) if released else "",
    ]
    return ", ".join(part for part in parts if part) + left


def _available(row: HistoryRow) -> int | None:
    return None if row.on_hand is None or row.reserved is None else row.on_hand - row.reserved


def _level(level: int | None, change: int) -> str | None:
    if level is None:
        return None
    return f"{number(level)} ({number(change, '+,')})" if change else number(level)

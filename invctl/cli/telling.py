"""Events in words: what a line of an item's or a reservation's history says to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invctl.console.output import Column
from invctl.ledger.reads import HistoryRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invctl.cli.times import StoreTime
    from invctl.model.reservation import Reservation

COLUMNS = [Column(key) for key in HistoryRow._fields]
_WORDS = {
    "ledger.created": "opened",
    "ledger.restored": "restored",
    "ledger.checkpoint": "checkpoint",
    "product.added": "product added",
    "product.edited": "product edited",
    "product.barcode_assigned": "barcode assigned",
    "product.barcode_removed": "barcode removed",
    "product.thresholds_set": "reorder point set",
    "stock.low": "low",
    "reservation.created": "reserved",
    "reservation.extended": "extended",
    "reservation.confirmed": "confirmed",
    "reservation.cancelled": "cancelled",
    "reservation.expired": "expired",
}

_HOLDS = ("reservation.created", "reservation.extended")


def table(rows: Sequence[HistoryRow], when: StoreTime) -> tuple[list[Column], list[dict[str, Any]]]:
    """Return the columns and the records of the table for people. The zone of the times stands above them."""
    zone = when.shared_zone(row.time for row in rows)
    columns = [
        Column("seq", style="dim", drop=1),
        Column("time", f"Time {zone}".strip()),
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
    order = f"order {row.order}" if row.order and row.event == "reservation.created" else None
    paper = row.document and f"document {row.document}"
    about = [row.reservation, order, row.clerk and f"by {row.clerk}", paper, row.note]
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
    released = ", ".join(f"{entry.released} {entry.sku} released" for entry in reservation.lines)
    return f"{when.exact(reservation.expires_at)}  expired: {released}  (its event is to come)"


def _step(lines: list[HistoryRow], when: StoreTime) -> str:
    row = lines[0]
    moved = ", ".join(_moved(line) for line in lines if line.sku)
    by = f" by {row.clerk}" if row.clerk else ""
    until = f" until {when.exact(row.expires_at)}" if row.event in _HOLDS and row.expires_at else ""
    note = f", {row.note}" if row.note else ""
    return f"{when.exact(row.time)}  {_what(row)}{by}{until}{': ' if moved else ''}{moved}{note}  (event {row.seq})"


def _what(row: HistoryRow) -> str:
    what = row.reason.replace("_", " ") if row.reason else _WORDS.get(row.event, row.event)
    return f"{what} (undo)" if row.undoes else what


def _moved(row: HistoryRow) -> str:
    left = "" if row.on_hand is None else f" (then {row.on_hand} on hand, {_available(row)} available)"
    if row.reserved_change > 0:
        return f"{row.reserved_change} {row.sku}{left}"
    if row.on_hand_change > 0:
        return f"{row.on_hand_change} {row.sku} back in stock{left}"
    sold, released = -row.on_hand_change, row.on_hand_change - row.reserved_change
    parts = [f"{sold} {row.sku} sold" if sold else "", f"{released} {row.sku} released" if released else ""]
    return ", ".join(part for part in parts if part) + left


def _available(row: HistoryRow) -> int | None:
    return None if row.on_hand is None or row.reserved is None else row.on_hand - row.reserved


def _level(level: int | None, change: int) -> str | None:
    if level is None:
        return None
    return f"{level} ({change:+d})" if change else str(level)

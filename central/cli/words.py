"""What central knows, in words: events, levels, freshness, durations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.clock import parse_time
from invctl.errors import InvalidValueError
from invctl.model import events

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from central.freshness import Freshness
    from central.tail import TailEvent
    from central.views import StoreRow

LISTED_MAX = 5
OTHER_LEDGER_TOLD_S = 86_400
"""For a day: a machine that still speaks is refused again within seconds, but it may be switched off over night."""
_PREFIX = "inventory."
_UNITS_S = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


class Told(NamedTuple):
    """An event, told: what was done and to which lines, and how it stands afterwards."""

    verb: str
    style: str
    what: str
    about: str


def describe(event: TailEvent) -> str:
    """Say what an event did, in one line of plain text: `reserved 2 MOUSE-001 (R-7K4QMQ, order A-17)`."""
    told = tell(event)
    about = f" ({told.about})" if told.about else ""
    return f"{told.verb} {told.what}".rstrip() + about


def tell(event: TailEvent) -> Told:
    """Say what an event did. One that nobody understands is told by its type, or by its size."""
    if event.event is None:
        return Told("unreadable", "bold red", f"{len(event.body)} bytes", "kept as they came")
    teller = _TELLERS.get(event.type or "", _other)
    return teller(event, event.event["data"])


def levels_after(event: TailEvent) -> str:
    """Say to which levels an event brought its SKUs: `MOUSE-001 98 on hand, 4 reserved`."""
    lines = _lines(event.event["data"] if event.event else {})
    return listed([f"{line['sku']} {line['on_hand']} on hand, {line['reserved']} reserved" for line in lines], "; ")


def lacking(fresh: Freshness) -> str:
    """Say that a store's ledger lacks what head office has of it, or nothing."""
    return f"lacks event {fresh.lacks_seq}" if fresh.lacks_seq else ""


def divergence(store: str, fresh: Freshness) -> str:
    """Say what it means that a store's ledger lacks an event. For a store of which that is known."""
    return f"{store}: its ledger {lacking(fresh)}, which head office has: a restored backup, or a copy of it"


def other_ledger(row: StoreRow, now_us: int) -> str:
    """Say when another ledger was last refused under a store's id, or nothing where that was more than a day ago."""
    if row.other_ledger_us is None:
        return ""
    # After the clock was set back, that moment may be still to come.
    ago_s = max(now_us - row.other_ledger_us, 0) / 1_000_000
    if ago_s >= OTHER_LEDGER_TOLD_S:
        return ""
    return f"another ledger under this id was refused, last {duration(ago_s)} ago"


def troubles(row: StoreRow, now_us: int) -> list[str]:
    """Say what an operator has to see to at a store."""
    refused = other_ledger(row, now_us)
    return [
        *([divergence(row.store, row.fresh)] if row.fresh.lacks_seq else []),
        *([f"{row.store}: {refused}"] if refused else []),
    ]


def bare_age(fresh: Freshness) -> str:
    """Say up to how long ago a store's numbers are proved complete: `0.4s`, `never`."""
    return "never" if fresh.age_s is None else duration(fresh.age_s)


def doubts(fresh: Freshness, suspect: str | None = None) -> str:
    """Say why a number may not be the store's, or nothing: `may have moved, 3 behind`."""
    counted_again = f"{suspect.replace('_', ' ')}: count it" if suspect else ""
    return _joined(lacking(fresh), counted_again, gap(fresh), "may have moved" if fresh.silent else "")


def gap(fresh: Freshness) -> str:
    """Say what central is known to lack of a store: `3 behind`, or nothing."""
    return f"{fresh.head_seq - fresh.as_of_seq} behind" if fresh.gap else ""


def duration(seconds: float) -> str:
    """Write a duration in its two largest units: `0.4s`, `12s`, `3m5s`, `2d1h`."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    parts: list[str] = []
    rest = int(seconds)
    for size, name in _UNITS_S:
        amount, rest = divmod(rest, size)
        if amount or parts:
            parts.append(f"{amount}{name}")
    return "".join(part for part in parts[:2] if part[0] != "0")


def milliseconds(ms: float) -> str:
    """Write milliseconds, as a duration where they are many: `4.1ms`, `2.5s`."""
    return f"{ms:.1f}ms" if ms < 1000 else duration(ms / 1000)


def counted(count: int, noun: str) -> str:
    """Return `1 event`, `2 events`, `12,345 events`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def shards(numbers: Sequence[str]) -> str:
    """Return `shard 0`, or `8 shards (0, 1, 2, 3, 4, and 3 more)`."""
    if len(numbers) == 1:
        return f"shard {numbers[0]}"
    return f"{counted(len(numbers), 'shard')} ({listed(numbers)})"


def units(lines: Iterable[tuple[str, int]]) -> str:
    """Return `2 MOUSE-001, 1 LAPTOP-001`; lines of nothing are left out, and of many the first are shown."""
    return listed([f"{quantity} {sku}" for sku, quantity in lines if quantity])


def reserved_lines(lines: Iterable[Mapping[str, Any]]) -> str:
    """Return `2 MOUSE-001`, and where only a part was sold `1 of 2 MOUSE-001`."""
    told = []
    for line in lines:
        quantity, confirmed = line["quantity"], line["confirmed"]
        part = f"{confirmed} of " if 0 < confirmed < quantity else ""
        told.append(f"{part}{quantity} {line['sku']}")
    return listed(told)


def listed(items: Sequence[str], separator: str = ", ") -> str:
    """Join items; of many the first are shown, and the others counted."""
    shown = list(items[:LISTED_MAX])
    if len(items) > len(shown):
        shown.append(f"and {len(items) - len(shown)} more")
    return separator.join(shown)


def _reserved(_: TailEvent, data: dict[str, Any]) -> Told:
    return Told("reserved", "cyan", _quantities(_lines(data), "quantity"), _whose(data))


def _extended(event: TailEvent, data: dict[str, Any]) -> Told:
    holds = data.get("holds")
    quantities = _quantities(holds if isinstance(holds, list) else [], "quantity")
    return Told("extended", "cyan", quantities, _joined(_whose(data), _held_for(event, data)))


def _sold(_: TailEvent, data: dict[str, Any]) -> Told:
    released = _quantities(_lines(data), "released")
    about = _joined(_whose(data), f"released {released}" if released else "")
    return Told("sold", "green", _quantities(_lines(data), "confirmed"), about)


def _cancelled(_: TailEvent, data: dict[str, Any]) -> Told:
    return Told("cancelled", "yellow", _quantities(_lines(data), "released"), _whose(data))


def _expired(_: TailEvent, data: dict[str, Any]) -> Told:
    # It names the clerk who reserved; nobody lets it expire.
    return Told("expired", "yellow", _quantities(_lines(data), "released"), _whose({**data, "clerk": None}))


def _adjusted(_: TailEvent, data: dict[str, Any]) -> Told:
    reason = _text(data.get("reason")).replace("_", " ")
    return Told("adjusted", "yellow", _changes(data), _joined(reason, _text(data.get("note")), _by(data)))


def _added(_: TailEvent, data: dict[str, Any]) -> Told:
    return Told("added", "blue", _text(data.get("sku")), _joined(_text(data.get("name")), _by(data)))


def _edited(event: TailEvent, data: dict[str, Any]) -> Told:
    return _added(event, data)._replace(verb="edited")


def _opened(_: TailEvent, data: dict[str, Any]) -> Told:
    return Told("opened", "blue", "the ledger", _text(data.get("name")))


def _restored(_: TailEvent, data: dict[str, Any]) -> Told:
    trade = "trades before it has heard from here" if data.get("trade") else ""
    at = _text(data.get("taken_at"))
    return Told("restored", "magenta", "the ledger", _joined(f"a backup of {at}" if at else "", trade, _by(data)))


def _stated(_: TailEvent, data: dict[str, Any]) -> Told:
    skus = data.get("skus")
    return Told("stated", "blue", "its levels", counted(skus, "SKU") if type(skus) is int else "")


def _other(event: TailEvent, data: dict[str, Any]) -> Told:
    return Told((event.type or "").removeprefix(_PREFIX), "magenta", _changes(data), "")


VERBS = {
    "opened": "ledger.created",
    "restored": "ledger.restored",
    "stated": "ledger.checkpoint",
    "added": "product.added",
    "edited": "product.edited",
    "adjusted": "stock.adjusted",
    "reserved": "reservation.created",
    "extended": "reservation.extended",
    "sold": "reservation.confirmed",
    "cancelled": "reservation.cancelled",
    "expired": "reservation.expired",
}
"""The types of event by the words that are printed for them."""

_TELLERS = {
    events.LEDGER_CREATED: _opened,
    events.LEDGER_RESTORED: _restored,
    events.LEDGER_CHECKPOINT: _stated,
    events.PRODUCT_ADDED: _added,
    events.PRODUCT_EDITED: _edited,
    events.STOCK_ADJUSTED: _adjusted,
    events.RESERVATION_CREATED: _reserved,
    events.RESERVATION_EXTENDED: _extended,
    events.RESERVATION_CONFIRMED: _sold,
    events.RESERVATION_CANCELLED: _cancelled,
    events.RESERVATION_EXPIRED: _expired,
}

TYPES = (*_TELLERS, events.LEDGER_REBASED)
"""Every type of event that this central knows."""


def _whose(data: dict[str, Any]) -> str:
    order = _text(data.get("order"))
    return _joined(_text(data.get("reservation")), f"order {order}" if order else "", _by(data))


def _held_for(event: TailEvent, data: dict[str, Any]) -> str:
    try:
        expires_us = parse_time(_text(data.get("expires_at")))
    except InvalidValueError:
        return ""
    return f"for {duration((expires_us - event.time_us) / 1_000_000)}" if event.time_us is not None else ""


def _quantities(lines: Sequence[Any], key: str) -> str:
    return units(
        (_text(line.get("sku")), amount)
        for line in lines
        if isinstance(line, dict) and isinstance(amount := line.get(key), int)
    )


def _changes(data: dict[str, Any]) -> str:
    changes = []
    for line in _lines(data):
        on_hand, reserved = line.get("on_hand_change"), line.get("reserved_change")
        sku = _text(line.get("sku"))
        changes.append(f"{on_hand:+d} {sku}" + (f" ({reserved:+d} reserved)" if reserved else ""))
    return listed(changes)


def _lines(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Return an event's lines, whose form `invctl.model.events.parse` has checked."""
    lines: list[dict[str, Any]] = data.get("lines", [])
    return lines


def _by(data: dict[str, Any]) -> str:
    clerk = _text(data.get("clerk"))
    return f"by {clerk}" if clerk else ""


def _text(value: Any) -> str:
    """Return text as it is. What a store wrote in its place, against the format, is shown too, and breaks nothing."""
    return value if isinstance(value, str) else "" if value is None else repr(value)


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)

"""Read an event's bytes as what central can apply of them. It takes any bytes whatever, and never fails.

What is malformed, or could never be stored, keeps its lines as far as they can be read; the SKUs that it names are
then in doubt. Both databases are held to the same, whichever runs: PostgreSQL takes no U+0000 in a text, neither
takes half a surrogate pair, and an index takes no key of any length.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from msgspec import UNSET

from central.documents import NOT_DECODED, Document, Line, decode, event_of
from central.doubt import UNREADABLE, UNSTORABLE
from invctl.clock import parse_time
from invctl.errors import InvalidValueError
from invctl.model import checkpoint, events
from invctl.model.checkpoint import Checkpoint
from invctl.model.events import Event
from invctl.model.projection import Product
from invctl.model.reservation import Reservation, ReservationLine, after_event
from invctl.model.stock import LineChange, StockLevel

if TYPE_CHECKING:
    from collections.abc import Sequence

# A page of a PostgreSQL index holds a key of 2704 bytes at the most, and a character takes up to four.
KEY_CHARS_MAX = 255
_WHOLE_MAX = 2**63 - 1
# The type of an event of which only the lines are applied.
LINES_ONLY = ""
_PRODUCT_EVENTS = frozenset({events.PRODUCT_ADDED, events.PRODUCT_EDITED})
# What these say beside their lines is looked at one by one.
_OTHERS = _PRODUCT_EVENTS | {
    events.RESERVATION_EXTENDED,
    events.LEDGER_CREATED,
    events.LEDGER_REBASED,
    events.LEDGER_CHECKPOINT,
}
_NUMBERS = ("on_hand_change", "reserved_change", "on_hand", "reserved", "version")


class Ledger(NamedTuple):
    """What `ledger.created` says of the store; None where it says nothing."""

    name: str | None
    currency: str | None
    timezone: str | None


class Rebased(NamedTuple):
    """What `ledger.rebased` says: from here on the ledger counts another epoch."""

    epoch: int


Stated = Reservation | Product | Ledger | Rebased | Checkpoint


class Facts(NamedTuple):
    """What central can apply of one event.

    `applies_as` is the event's type, LINES_ONLY where its lines are all that can be applied. `event_id`, `type` and
    `time_us` are for the archive, None where they cannot be read. `stated` is what an event of a known type says
    beside its lines. `doubt` says why the SKUs in `doubted` are in doubt, if they are. `is_count` says that it states
    levels that somebody saw.
    """

    applies_as: str
    lines: Sequence[LineChange]
    event_id: str | None
    type: str | None
    time_us: int | None
    stated: Stated | None = None
    is_count: bool = False
    doubt: str = ""
    doubted: frozenset[str] = frozenset()


class _UnstorableError(ValueError):
    """No database takes this."""


def read(seq: int, body: bytes) -> Facts:
    """Read the event with this `seq`."""
    try:
        document = decode(body)
    except NOT_DECODED:
        return _salvage(body)
    if not document.source.startswith(events.STORES):
        return _salvage(body)
    try:
        lines = [
            LineChange(
                _key(line.sku) if len(line.sku) > KEY_CHARS_MAX else line.sku,
                line.on_hand_change,
                line.reserved_change,
                StockLevel(line.on_hand, line.reserved, line.version),
            )
            for line in document.data.lines or ()
        ]
        stated = _stated(seq, document, body)
        if events.has_escapes(body):
            _check_texts(document, stated)
    except _UnstorableError:
        return _lines_only(event_of(body), UNSTORABLE)
    except (KeyError, TypeError, AttributeError, ValueError, InvalidValueError):
        return _lines_only(event_of(body), UNREADABLE)
    type_, reason = document.type, document.data.reason
    is_count = type_ == events.STOCK_ADJUSTED and isinstance(reason, str) and reason in events.COUNTED_REASONS
    return Facts(type_, lines, document.id, type_, _instant_or_none(document.time), stated, is_count)


def as_applied(item: Facts, body: bytes) -> Event:
    """Return the event that was read as `item`, as far as it is applied."""
    if item.doubt:
        return Event("", LINES_ONLY, "", "", "", "", "", "", {}, list(item.lines))
    return event_of(body)


def _stated(seq: int, document: Document, body: bytes) -> Stated | None:
    """Read what the event's type says beside its lines. Raises what a field that is missing or wrong may raise."""
    if document.type in _OTHERS:
        return _stated_otherwise(seq, event_of(body))
    status = events.STATUS_AFTER.get(document.type)
    if status is None:
        return None
    data = document.data
    key, order, clerk, created_at, expires_at = (
        *(data.reservation, data.order, data.clerk),
        *(data.created_at, data.expires_at),
    )
    if not (type(key) is type(order) is type(clerk) is type(created_at) is type(expires_at) is str):
        raise TypeError
    if len(key) > KEY_CHARS_MAX:
        raise _UnstorableError
    ended_at = "" if document.type == events.RESERVATION_CREATED else document.time
    parse_time(created_at)
    parse_time(expires_at)
    if ended_at:
        parse_time(ended_at)
    if data.lines is UNSET:
        raise KeyError
    lines = tuple([_held(line) for line in data.lines])
    return Reservation(key, status, order, clerk, created_at, expires_at, ended_at, seq, lines)


def _held(line: Line) -> ReservationLine:
    quantity, confirmed, released = line.quantity, line.confirmed, line.released
    # Not isinstance: True is no number of units.
    if type(quantity) is type(confirmed) is type(released) is int and (
        0 <= quantity <= _WHOLE_MAX and 0 <= confirmed <= _WHOLE_MAX and 0 <= released <= _WHOLE_MAX
    ):
        return ReservationLine(line.sku, quantity, confirmed, released)
    raise TypeError


def _stated_otherwise(seq: int, event: Event) -> Stated | None:
    """Read the same of an event of the rarer types."""
    data = event.data
    if event.type == events.RESERVATION_EXTENDED:
        return _extended(after_event(seq, event))
    if event.type in _PRODUCT_EVENTS:
        price = data.get("price")
        return Product(_key(data["sku"]), _text(data["name"]), None if price is None else _whole(price))
    if event.type == events.LEDGER_CREATED:
        return Ledger(*(_text_or_none(data.get(name)) for name in Ledger._fields))
    if event.type == events.LEDGER_REBASED:
        return Rebased(_whole(data["epoch"]))
    return checkpoint.read(data)


def _extended(reservation: Reservation) -> Reservation:
    """Return a reservation of which every field has its type, and can be stored. Its lines are none of its event's."""
    _key(reservation.reservation)
    parse_time(reservation.created_at)
    parse_time(reservation.expires_at)
    for entry in reservation.lines:
        _key(entry.sku)
        _whole(entry.quantity)
        _whole(entry.confirmed)
        _whole(entry.released)
    return reservation


def _check_texts(document: Document, stated: Stated | None) -> None:
    """Look at every text that would be stored and was not looked at yet. Raises _UnstorableError."""
    texts = [document.id, document.type, *(entry.sku for entry in document.data.lines or ())]
    if isinstance(stated, Reservation):
        texts += [stated.reservation, stated.order, stated.clerk]
    for text in texts:
        _text(text)


def _lines_only(event: Event, doubt: str) -> Facts:
    """Keep of an event the lines that can be stored. A product's event has none, but names its SKU."""
    lines = [entry for entry in event.lines if _is_key(entry.sku)]
    doubted = {entry.sku for entry in lines} | _product_of(event.type, event.data)
    return Facts(
        LINES_ONLY,
        lines,
        event.id if _is_storable(event.id) else None,
        event.type if _is_storable(event.type) else None,
        _instant_or_none(event.time),
        doubt=doubt,
        doubted=frozenset(doubted),
    )


def _salvage(body: bytes) -> Facts:
    """Read what can be read of an event that is malformed."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        document = {}
    event_id, event_type, time = document.get("id"), document.get("type"), document.get("time")
    data = document.get("data")
    if not isinstance(data, dict):
        data = {}
    entries = data.get("lines")
    lines: list[LineChange] = []
    doubted = _product_of(event_type, data)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and _is_key(entry.get("sku")):
            doubted.add(entry["sku"])
            lines += _whole_lines(entry)
    return Facts(
        LINES_ONLY,
        lines,
        event_id if _is_storable(event_id) else None,
        event_type if _is_storable(event_type) else None,
        _instant_or_none(time),
        doubt=UNREADABLE,
        doubted=frozenset(doubted),
    )


def _product_of(event_type: object, data: dict[str, Any]) -> set[str]:
    """Return the SKU that a product's event names outside of lines."""
    sku = data.get("sku")
    is_product = isinstance(event_type, str) and event_type in _PRODUCT_EVENTS
    return {sku} if is_product and _is_key(sku) else set()


def _whole_lines(entry: dict[str, Any]) -> list[LineChange]:
    """Return a line of a malformed event where the line itself is sound."""
    bare = {name: entry.get(name) for name in ("sku", *_NUMBERS)}
    try:
        alone = events.compose(id="", type="", store="", time="", subject="", data={"lines": [bare]})
        return events.parse(alone).lines
    except ValueError:
        return []


def _is_storable(value: object) -> TypeGuard[str]:
    """Say whether this is a text that a database takes."""
    if not isinstance(value, str) or "\0" in value:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_key(value: object) -> TypeGuard[str]:
    return _is_storable(value) and len(value) <= KEY_CHARS_MAX


def _text(value: object) -> str:
    if _is_storable(value):
        return value
    if isinstance(value, str):
        raise _UnstorableError
    raise TypeError


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _key(value: object) -> str:
    if _is_key(value):
        return value
    if isinstance(value, str):
        raise _UnstorableError
    raise TypeError


def _whole(value: object) -> int:
    # Not isinstance: True is no quantity.
    if type(value) is int and 0 <= value <= _WHOLE_MAX:
        return value
    raise ValueError


def _instant_or_none(time: object) -> int | None:
    try:
        return parse_time(time) if isinstance(time, str) else None
    except InvalidValueError:
        return None

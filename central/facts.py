"""Read an event's bytes as what central can apply of them. It takes any bytes whatever, and never fails.

What is malformed, or could never be stored, keeps its lines as far as they can be read; the SKUs that it names are
then in doubt. Both databases are held to the same, whichever runs: PostgreSQL takes no U+0000 in a text, neither
takes half a surrogate pair, and an index takes no key of any length.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from central.doubt import UNREADABLE, UNSTORABLE
from invctl.clock import parse_time
from invctl.errors import InvalidValueError
from invctl.model import checkpoint, events
from invctl.model.checkpoint import Checkpoint
from invctl.model.events import Event, MalformedEventError
from invctl.model.projection import Product
from invctl.model.reservation import Reservation, after_event

if TYPE_CHECKING:
    from invctl.model.stock import LineChange

# A page of a PostgreSQL index holds a key of 2704 bytes at the most, and a character takes up to four.
KEY_CHARS_MAX = 255
_WHOLE_MAX = 2**63 - 1
# The type of an event of which only the lines are applied.
LINES_ONLY = ""
_PRODUCT_EVENTS = frozenset({events.PRODUCT_ADDED, events.PRODUCT_EDITED})
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

    `event` has the type LINES_ONLY where its lines are all that can be applied. `event_id`, `type` and `time_us` are
    for the archive, None where they cannot be read. `stated` is what an event of a known type says beside its lines.
    `doubt` says why the SKUs in `doubted` are in doubt, if they are.
    """

    event: Event
    event_id: str | None
    type: str | None
    time_us: int | None
    stated: Stated | None = None
    doubt: str = ""
    doubted: frozenset[str] = frozenset()

    @property
    def is_count(self) -> bool:
        """Whether the event states levels that somebody saw."""
        reason = self.event.data.get("reason")
        return self.event.type == events.STOCK_ADJUSTED and isinstance(reason, str) and reason in events.COUNTED_REASONS


class _UnstorableError(ValueError):
    """No database takes this."""


def read(seq: int, body: bytes) -> Facts:
    """Read the event with this `seq`."""
    try:
        event = events.parse(body)
    except MalformedEventError:
        return _salvage(body)
    try:
        _text(event.id)
        _text(event.type)
        for entry in event.lines:
            _key(entry.sku)
        return Facts(event, event.id, event.type, _instant_or_none(event.time), _stated(seq, event))
    except _UnstorableError:
        return _lines_only(event, UNSTORABLE)
    except (KeyError, TypeError, AttributeError, ValueError, InvalidValueError):
        return _lines_only(event, UNREADABLE)


def _stated(seq: int, event: Event) -> Stated | None:
    """Read what the event's type says beside its lines. Raises what a field that is missing or wrong may raise."""
    data = event.data
    if event.type in events.STATUS_AFTER:
        return _checked(event, after_event(seq, event))
    if event.type in _PRODUCT_EVENTS:
        price = data.get("price")
        return Product(_key(data["sku"]), _text(data["name"]), None if price is None else _whole(price))
    if event.type == events.LEDGER_CREATED:
        return Ledger(*(_text_or_none(data.get(name)) for name in Ledger._fields))
    if event.type == events.LEDGER_REBASED:
        return Rebased(_whole(data["epoch"]))
    if event.type == events.LEDGER_CHECKPOINT:
        return checkpoint.read(data)
    return None


def _checked(event: Event, reservation: Reservation) -> Reservation:
    """Return a reservation of which every field has its type, and can be stored."""
    _key(reservation.reservation)
    _text(reservation.order)
    _text(reservation.clerk)
    parse_time(reservation.created_at)
    parse_time(reservation.expires_at)
    if reservation.ended_at:
        parse_time(reservation.ended_at)
    for entry in reservation.lines:
        _whole(entry.quantity)
        _whole(entry.confirmed)
        _whole(entry.released)
    if event.type == events.RESERVATION_EXTENDED:
        # Its lines are none of the event's, which were looked at already.
        for entry in reservation.lines:
            _key(entry.sku)
    return reservation


def _lines_only(event: Event, doubt: str) -> Facts:
    """Keep of an event the lines that can be stored. A product's event has none, but names its SKU."""
    lines = [entry for entry in event.lines if _is_key(entry.sku)]
    doubted = {entry.sku for entry in lines} | _product_of(event.type, event.data)
    return Facts(
        event._replace(type=LINES_ONLY, lines=lines),
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
        Event("", LINES_ONLY, "", "", "", "", "", "", {}, lines),
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

"""Events: one for each fact, as CloudEvents 1.0 in JSON (https://github.com/cloudevents/spec).

The canonical bytes (sorted keys, no spaces, UTF-8, no floats) are what is stored, hashed, sent and archived;
nobody re-serialises them. `seq` is not among them: an event keeps its bytes if it has to be appended again.

Where an event moves stock, `data.lines` has one entry for each SKU, with `on_hand_change` and `reserved_change`
and the resulting `on_hand`, `reserved` and `version`. So a reader that does not know an event's type can still
follow the levels.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from invctl.model.stock import LEVEL_MAX, LineChange, StockLevel

EVENT_BYTES_MAX = 64 * 1024
# What an event takes beside its lines, and a line beside its SKU, with every field at its longest.
_ENVELOPE_BYTES_MAX = 4096
_LINE_BYTES_MAX = 260

_PREFIX = "inventory."
LEDGER_CREATED = _PREFIX + "ledger.created"
LEDGER_CHECKPOINT = _PREFIX + "ledger.checkpoint"
LEDGER_REBASED = _PREFIX + "ledger.rebased"
LEDGER_RESTORED = _PREFIX + "ledger.restored"
PRODUCT_ADDED = _PREFIX + "product.added"
PRODUCT_EDITED = _PREFIX + "product.edited"
BARCODE_ASSIGNED = _PREFIX + "product.barcode_assigned"
BARCODE_REMOVED = _PREFIX + "product.barcode_removed"
THRESHOLDS_SET = _PREFIX + "product.thresholds_set"
STOCK_LOW = _PREFIX + "stock.low"
STOCK_ADJUSTED = _PREFIX + "stock.adjusted"
STOCK_DISCREPANCY = _PREFIX + "stock.discrepancy"
RESERVATION_CREATED = _PREFIX + "reservation.created"
RESERVATION_EXTENDED = _PREFIX + "reservation.extended"
RESERVATION_CONFIRMED = _PREFIX + "reservation.confirmed"
RESERVATION_CANCELLED = _PREFIX + "reservation.cancelled"
RESERVATION_EXPIRED = _PREFIX + "reservation.expired"

STATUS_AFTER = {
    RESERVATION_CREATED: "pending",
    RESERVATION_EXTENDED: "pending",
    RESERVATION_CONFIRMED: "confirmed",
    RESERVATION_CANCELLED: "cancelled",
    RESERVATION_EXPIRED: "expired",
}

REASONS = (
    "received",
    "correction",
    "cycle_count",
    "damaged",
    "shrinkage",
    "restock",
    "returned",
    "promotion",
    "transfer_out",
    "transfer_in",
    "seed",
    "reset",
)
# These state a level that somebody saw, so they settle a doubt about it.
COUNTED_REASONS = frozenset({"cycle_count", "seed", "reset"})


LEDGER_PREFIX = _PREFIX + "ledger."
"""What a ledger says of itself. It is never appended anew."""


STORES = "/stores/"
TRACE_VENDOR = "invctl"
"""Whose entry of a W3C tracestate holds the parent of an event's span."""
_TEXTS = ("source", "id", "type", "time", "subject", "traceparent", "requestid", "requesthash")
_OPTIONAL = frozenset({"subject", "traceparent", "requestid", "requesthash"})
_NUMBERS = ("on_hand_change", "reserved_change", "on_hand", "reserved", "version")


class MalformedEventError(ValueError):
    """These bytes are not an event of ours. The message says why."""


def _no_float(text: str) -> Any:
    raise MalformedEventError(f"{text} is not a whole number")


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_float=_no_float, parse_constant=_no_float)


class Event(NamedTuple):
    """An event as read. `data` is the document's own; `lines` are its stock movements."""

    id: str
    type: str
    store: str
    time: str
    subject: str
    trace: str
    request_id: str
    request_hash: str
    data: dict[str, Any]
    lines: list[LineChange]

    @property
    def decided_at(self) -> str:
        """When it was decided: for an event that was appended anew, when it was first."""
        anew = self.data.get("reappended")
        at = anew.get("time") if isinstance(anew, dict) else None
        return at if isinstance(at, str) else self.time

    @property
    def touched(self) -> list[str]:
        """The SKUs that an event which was appended anew leaves to be counted; none of any other."""
        if not isinstance(self.data.get("reappended"), dict):
            return []
        wanted = self.data.get("wanted", [])
        named = [entry.get("sku") for entry in wanted if isinstance(entry, dict)] if isinstance(wanted, list) else []
        return [*(entry.sku for entry in self.lines), *(sku for sku in named if isinstance(sku, str))]

    @property
    def is_count(self) -> bool:
        """Whether it states levels that somebody saw, just then."""
        reason = self.data.get("reason")
        return self.type == STOCK_ADJUSTED and isinstance(reason, str) and reason in COUNTED_REASONS


def canonical(document: dict[str, Any]) -> bytes:
    """Return the canonical bytes of a JSON document. Text that UTF-8 cannot carry raises UnicodeEncodeError."""
    return _ENCODER.encode(document).encode()


def compose(
    *,
    id: str,  # noqa: A002 - CloudEvents' own names
    type: str,  # noqa: A002
    store: str,
    time: str,
    subject: str,
    data: dict[str, Any],
    trace: str = "",
    parent: str = "",
    request: tuple[str, str] | None = None,
) -> bytes:
    """Return the canonical bytes of a new event.

    `time` is RFC 3339, `trace` a W3C traceparent, `parent` the id of the span that it is a step of, `request` a
    request's id and fingerprint.
    """
    document: dict[str, Any] = {
        "specversion": "1.0",
        "id": id,
        "source": f"/stores/{store}",
        "type": type,
        "subject": subject,
        "time": time,
        "data": data,
    }
    if trace:
        document["traceparent"] = trace
        if parent:
            document["tracestate"] = f"{TRACE_VENDOR}={parent}"
    if request:
        document["requestid"], document["requesthash"] = request
    return canonical(document)


def line(sku: str, on_hand_change: int, reserved_change: int, level: StockLevel, **more: int) -> dict[str, Any]:
    """Return one entry of `data.lines`."""
    return {
        "sku": sku,
        "on_hand_change": on_hand_change,
        "reserved_change": reserved_change,
        "on_hand": level.on_hand,
        "reserved": level.reserved,
        "version": level.version,
        **more,
    }


def size_bound(skus: list[str]) -> int:
    """Return how many bytes an event with one line for each of these SKUs takes at the most."""
    return _ENVELOPE_BYTES_MAX + sum(len(sku) + _LINE_BYTES_MAX for sku in skus)


def split_by_size(skus: list[str]) -> list[list[str]]:
    """Divide SKUs into runs of which each fits into one event."""
    runs: list[list[str]] = []
    room = 0
    for sku in skus:
        need = len(sku) + _LINE_BYTES_MAX
        if need > room:
            runs.append([])
            room = EVENT_BYTES_MAX - _ENVELOPE_BYTES_MAX
        runs[-1].append(sku)
        room -= need
    return runs


def parse(body: bytes) -> Event:
    """Read an event from its stored bytes. Raises MalformedEventError; takes any bytes whatever."""
    try:
        document = _DECODER.decode(body.decode())
        if has_escapes(body):
            # One can name half a character, which neither a database nor a frame could take.
            canonical(document)
    except (RecursionError, ValueError) as error:
        raise MalformedEventError(f"not JSON in Unicode: {error}") from None
    return of_document(document)


def of_document(document: Any) -> Event:
    """Read an event from its JSON as decoded. Raises MalformedEventError."""
    if not isinstance(document, dict):
        raise MalformedEventError("not a JSON object")
    # Each field by its name, and its type rather than what it is an instance of: this is read more than anything.
    get = document.get
    source, ident, type_, time = get("source"), get("id"), get("type"), get("time")
    subject, trace = get("subject", ""), get("traceparent", "")
    request_id, request_hash = get("requestid", ""), get("requesthash", "")
    if not (
        type(source) is type(ident) is type(type_) is type(time) is str
        and type(subject) is type(trace) is type(request_id) is type(request_hash) is str
    ):
        raise _no_text(document)
    if not source.startswith(STORES):
        raise MalformedEventError("its source is no store")
    data = get("data")
    if type(data) is not dict:
        raise MalformedEventError("data is not an object")
    store = source[len(STORES) :]
    return Event(ident, type_, store, time, subject, trace, request_id, request_hash, data, _lines(data))


def has_escapes(body: bytes) -> bool:
    """Say whether a text in it may be other than what its bytes are in UTF-8: only an escape names U+0000, say."""
    # To look for one byte first is ten times as fast.
    return b"\\" in body and b"\\u" in body


def _no_text(document: dict[str, Any]) -> MalformedEventError:
    odd = (name for name in _TEXTS if not isinstance(document.get(name, "" if name in _OPTIONAL else None), str))
    return MalformedEventError(f"{next(odd)} is not text")


def _lines(data: dict[str, Any]) -> list[LineChange]:
    entries = data.get("lines", [])
    if not isinstance(entries, list):
        raise MalformedEventError("lines is not an array")
    lines = []
    for entry in entries:
        if type(entry) is not dict:
            raise MalformedEventError("a line is not an object")
        get = entry.get
        sku, on_hand_change, reserved_change = get("sku"), get("on_hand_change"), get("reserved_change")
        on_hand, reserved, version = get("on_hand"), get("reserved"), get("version")
        if type(sku) is not str:
            raise MalformedEventError("sku is not text")
        if not (
            type(on_hand_change) is type(reserved_change) is type(on_hand) is type(reserved) is type(version) is int
            and -LEVEL_MAX <= on_hand_change <= LEVEL_MAX
            and -LEVEL_MAX <= reserved_change <= LEVEL_MAX
            and -LEVEL_MAX <= on_hand <= LEVEL_MAX
            and -LEVEL_MAX <= reserved <= LEVEL_MAX
            and -LEVEL_MAX <= version <= LEVEL_MAX
        ):
            raise _no_whole(entry)
        lines.append(LineChange(sku, on_hand_change, reserved_change, StockLevel(on_hand, reserved, version)))
    return lines


def _no_whole(entry: dict[str, Any]) -> MalformedEventError:
    values = ((name, entry.get(name)) for name in _NUMBERS)
    # True is no number of units.
    odd = (name for name, value in values if type(value) is not int or not -LEVEL_MAX <= value <= LEVEL_MAX)
    return MalformedEventError(f"{next(odd)} of a line is not a whole number in range")

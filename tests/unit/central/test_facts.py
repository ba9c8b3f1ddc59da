"""Any bytes are read as far as they go, and what is read can be stored in either database."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central import facts
from central.documents import event_of
from central.doubt import UNREADABLE, UNSTORABLE
from central.facts import KEY_CHARS_MAX, LINES_ONLY, Facts, Ledger, Rebased
from invctl.model import events
from invctl.model.projection import Product
from invctl.model.reservation import Reservation, ReservationLine, after_event
from invctl.model.stock import LineChange, StockLevel

LINE = events.line("MOUSE-001", -1, 0, StockLevel(9, 2, 4))
CHANGE = LineChange("MOUSE-001", -1, 0, StockLevel(9, 2, 4))
HELD: dict[str, Any] = {
    "reservation": "R-7K4QM2",
    "order": "A-17",
    "clerk": "anna",
    "created_at": "2026-01-01T00:00:00.000000Z",
    "expires_at": "2026-01-01T00:30:00.000000Z",
    "lines": [{**LINE, "quantity": 3}],
}
PRODUCT: dict[str, Any] = {"sku": "MOUSE-001", "name": "Mouse", "price": 8000}


def body(type_: str, data: dict[str, Any], **more: Any) -> bytes:
    document = {
        "specversion": "1.0",
        "id": "e1",
        "source": "/stores/downtown",
        "type": type_,
        "subject": "",
        "time": "2026-01-01T00:00:01Z",
        "data": data,
    }
    return json.dumps(document | more).encode()


def test_an_event_of_stock() -> None:
    read = facts.read(7, body(events.STOCK_ADJUSTED, {"reason": "damaged", "lines": [LINE]}))
    assert (read.event_id, read.type, read.time_us) == ("e1", events.STOCK_ADJUSTED, 1_767_225_601_000_000)
    assert list(read.lines) == [CHANGE]
    assert (read.stated, read.doubt, read.doubted, read.is_count) == (None, "", frozenset(), False)


def test_a_reservation() -> None:
    read = facts.read(7, body(events.RESERVATION_CREATED, HELD))
    assert read.stated == Reservation(
        "R-7K4QM2",
        "pending",
        "A-17",
        "anna",
        HELD["created_at"],
        HELD["expires_at"],
        "",
        7,
        (ReservationLine("MOUSE-001", 3),),
    )
    assert list(read.lines) == [CHANGE]


def test_a_product() -> None:
    assert facts.read(1, body(events.PRODUCT_ADDED, PRODUCT)).stated == Product("MOUSE-001", "Mouse", 8000)
    free = facts.read(1, body(events.PRODUCT_EDITED, {"sku": "MOUSE-001", "name": "Mouse"}))
    assert free.stated == Product("MOUSE-001", "Mouse", None)


def test_a_ledger() -> None:
    created = body(events.LEDGER_CREATED, {"name": "Downtown", "currency": "USD", "epoch": 1})
    assert facts.read(1, created).stated == Ledger("Downtown", "USD", None)
    assert facts.read(9, body(events.LEDGER_REBASED, {"epoch": 3})).stated == Rebased(3)
    assert facts.read(9, body(events.LEDGER_CHECKPOINT, {"digest": "00"})).stated is None


@pytest.mark.parametrize("reason", sorted(events.COUNTED_REASONS))
def test_a_count(reason: str) -> None:
    assert facts.read(1, body(events.STOCK_ADJUSTED, {"reason": reason, "lines": []})).is_count
    assert not facts.read(1, body("inventory.stock.guessed", {"reason": reason, "lines": []})).is_count


@pytest.mark.parametrize("time", ["", "yesterday", "2026-01-01T00:00:00", "9999-99-99T00:00:00Z"])
def test_a_time_that_cannot_be_read_is_none(time: str) -> None:
    read = facts.read(1, body(events.STOCK_ADJUSTED, {"reason": "damaged", "lines": [LINE]}, time=time))
    assert (read.time_us, read.doubt) == (None, "")


@pytest.mark.parametrize(
    ("type_", "data", "doubt"),
    [
        (events.RESERVATION_CREATED, HELD | {"order": "\0"}, UNSTORABLE),
        (events.RESERVATION_CREATED, HELD | {"clerk": "\0"}, UNSTORABLE),
        (events.RESERVATION_CREATED, HELD | {"reservation": "R" * (KEY_CHARS_MAX + 1)}, UNSTORABLE),
        (events.RESERVATION_CREATED, HELD | {"reservation": None}, UNREADABLE),
        (events.RESERVATION_CREATED, HELD | {"created_at": "today"}, UNREADABLE),
        (events.RESERVATION_CREATED, HELD | {"expires_at": 7}, UNREADABLE),
        (events.RESERVATION_CONFIRMED, {"lines": [LINE]}, UNREADABLE),
        (events.RESERVATION_CREATED, HELD | {"lines": [LINE]}, UNREADABLE),
        (events.RESERVATION_CREATED, HELD | {"lines": [{**LINE, "quantity": "3"}]}, UNREADABLE),
        (events.RESERVATION_CREATED, HELD | {"lines": [{**LINE, "quantity": True}]}, UNREADABLE),
        (events.RESERVATION_CREATED, HELD | {"lines": [{**LINE, "quantity": -3}]}, UNREADABLE),
        (events.RESERVATION_CREATED, HELD | {"lines": [{**LINE, "quantity": 10**30}]}, UNREADABLE),
        (events.RESERVATION_CONFIRMED, HELD | {"lines": [{**LINE, "quantity": 1, "released": None}]}, UNREADABLE),
        (events.PRODUCT_ADDED, PRODUCT | {"name": "\0", "lines": [LINE]}, UNSTORABLE),
        (events.PRODUCT_ADDED, PRODUCT | {"name": 7, "lines": [LINE]}, UNREADABLE),
        (events.PRODUCT_ADDED, PRODUCT | {"price": "8", "lines": [LINE]}, UNREADABLE),
        (events.PRODUCT_ADDED, PRODUCT | {"price": -1, "lines": [LINE]}, UNREADABLE),
        (events.PRODUCT_ADDED, PRODUCT | {"price": True, "lines": [LINE]}, UNREADABLE),
        (events.PRODUCT_EDITED, PRODUCT | {"price": 2**63}, UNREADABLE),
        (events.LEDGER_CREATED, {"name": "\0", "lines": [LINE]}, UNSTORABLE),
        (events.LEDGER_CREATED, {"currency": 7, "lines": [LINE]}, UNREADABLE),
        (events.LEDGER_REBASED, {"lines": [LINE]}, UNREADABLE),
        (events.LEDGER_REBASED, {"epoch": "4", "lines": [LINE]}, UNREADABLE),
    ],
)
def test_what_cannot_be_taken_leaves_its_lines(type_: str, data: dict[str, Any], doubt: str) -> None:
    read = facts.read(7, body(type_, data))
    assert (read.doubt, read.doubted) == (doubt, frozenset({"MOUSE-001"}))
    assert read.stated is None
    assert read.applies_as == LINES_ONLY
    assert list(read.lines) == ([CHANGE] if "lines" in data else [])
    assert (read.event_id, read.type) == ("e1", type_)


def test_an_extension_states_its_lines_elsewhere() -> None:
    extended = {name: value for name, value in HELD.items() if name != "lines"}
    holds = [{"sku": "X" * 300, "quantity": 1}]
    read = facts.read(7, body(events.RESERVATION_EXTENDED, extended | {"holds": holds}))
    assert (read.doubt, read.stated, read.doubted) == (UNSTORABLE, None, frozenset())


@pytest.mark.parametrize("field", ["id", "type"])
def test_an_envelope_that_cannot_be_stored_is_none(field: str) -> None:
    read = facts.read(1, body(events.STOCK_ADJUSTED, {"reason": "damaged", "lines": [LINE]}, **{field: "a\0b"}))
    assert read.doubt == UNSTORABLE
    assert {"id": read.event_id, "type": read.type}[field] is None
    assert list(read.lines) == [CHANGE]


def test_of_a_malformed_event_the_sound_lines_are_taken() -> None:
    lines = [LINE, {"sku": "LAPTOP-001"}, {**LINE, "sku": "DESK-001", "version": 1.5}, {"sku": 7}, None]
    read = facts.read(1, body(events.STOCK_ADJUSTED, {"lines": lines}))
    assert list(read.lines) == [CHANGE]
    assert (read.doubt, read.doubted) == (UNREADABLE, frozenset({"MOUSE-001", "LAPTOP-001", "DESK-001"}))
    assert (read.event_id, read.type) == ("e1", events.STOCK_ADJUSTED)
    # What else such a line says does not make it less sound.
    read = facts.read(1, body(events.STOCK_ADJUSTED, {"lines": [{**LINE, "weight": 0.5}]}))
    assert list(read.lines) == [CHANGE]


@pytest.mark.parametrize(
    "unread", [b"", b"\xff", b"7", b"[]", b"null", b'"x"', b"{}", b'{"data":7}', b"[" * 100_000, b"9" * 5000]
)
def test_what_is_nothing_is_taken_as_nothing(unread: bytes) -> None:
    read = facts.read(1, unread)
    assert (read.doubt, read.doubted, list(read.lines)) == (UNREADABLE, frozenset(), [])
    assert (read.event_id, read.type, read.time_us) == (None, None, None)


def storable(text: str | None, chars_max: int | None = None) -> bool:
    if text is None:
        return True
    text.encode()
    return "\0" not in text and (chars_max is None or len(text) <= chars_max)


def check(read: Facts) -> None:
    """Every value that would go into a column is one that both databases take."""
    assert storable(read.event_id)
    assert storable(read.type)
    keys = [entry.sku for entry in list(read.lines)] + list(read.doubted)
    numbers = [read.time_us or 0]
    stated = read.stated
    if isinstance(stated, Reservation):
        keys += [stated.reservation, *(entry.sku for entry in stated.lines)]
        numbers += [number for entry in stated.lines for number in entry[1:]]
        assert all(storable(text) for text in (stated.order, stated.clerk))
    elif isinstance(stated, Product):
        keys.append(stated.sku)
        numbers.append(stated.price or 0)
        assert storable(stated.name)
    elif isinstance(stated, Ledger):
        assert all(storable(text) for text in stated)
    elif isinstance(stated, Rebased):
        numbers.append(stated.epoch)
    assert all(storable(key, KEY_CHARS_MAX) for key in keys)
    assert all(type(number) is int and -(2**63) <= number < 2**63 for number in numbers)


texts = st.text(st.characters(), max_size=8) | st.sampled_from(["MOUSE-001", "\0", "X" * 300, "cycle_count", "é"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
lines = st.fixed_dictionaries(
    {},
    optional={
        name: scalars | st.integers(0, 9)
        for name in ("sku", "on_hand", "reserved", "version", "on_hand_change", "reserved_change", "quantity")
    },
)
datas = st.fixed_dictionaries(
    {},
    optional={
        "lines": st.lists(st.just(LINE) | lines, max_size=3) | values,
        "holds": st.lists(lines, max_size=2) | values,
        **{
            name: st.sampled_from([HELD.get(name, PRODUCT.get(name))]) | scalars
            for name in (
                *("reservation", "order", "clerk", "created_at", "expires_at"),
                *("sku", "name", "price", "currency", "epoch", "reason"),
            )
        },
    },
)
types = st.sampled_from([*events.STATUS_AFTER, events.PRODUCT_ADDED, events.LEDGER_CREATED, events.LEDGER_REBASED])


@pytest.mark.fault_tolerance
@given(
    type_=types | texts, data=datas | values, more=st.dictionaries(st.sampled_from(["id", "time", "source"]), scalars)
)
def test_any_document_is_read_as_something_that_can_be_stored(type_: str, data: Any, more: dict[str, Any]) -> None:
    check(facts.read(1, body(type_, data, **more)))


@pytest.mark.fault_tolerance
@given(
    type_=types | texts, data=datas | values, more=st.dictionaries(st.sampled_from(["id", "time", "source"]), scalars)
)
def test_what_is_in_no_doubt_is_read_as_the_model_reads_it(type_: str, data: Any, more: dict[str, Any]) -> None:
    unread = body(type_, data, **more)
    read = facts.read(7, unread)
    if read.doubt:
        return
    event = event_of(unread)
    assert (read.applies_as, read.event_id, list(read.lines)) == (event.type, event.id, event.lines)
    assert read.is_count == (event.type == events.STOCK_ADJUSTED and event.is_count)
    if event.type in events.STATUS_AFTER:
        assert read.stated == after_event(7, event)


@pytest.mark.fault_tolerance
@given(st.binary(max_size=200))
def test_any_bytes_are_read_as_something_that_can_be_stored(unread: bytes) -> None:
    check(facts.read(1, unread))

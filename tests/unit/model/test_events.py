from __future__ import annotations

import json
import re
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invctl.clock import parse_time
from invctl.ledger.adjustments import NOTE_CHARS_MAX
from invctl.ledger.checks import CLERK_CHARS_MAX
from invctl.ledger.products import NAME_CHARS_MAX
from invctl.model import events
from invctl.model.events import MalformedEventError
from invctl.model.identifiers import parse_sku
from invctl.model.stock import LEVEL_MAX, QUANTITY_MAX, LineChange, StockLevel

GOLDEN = (
    b'{"data":{"clerk":"ann","created_at":"2026-11-24T09:00:00.000000Z","expires_at":"2026-11-24T09:30:00.000000Z",'
    b'"lines":[{"on_hand":100,"on_hand_change":0,"quantity":2,"reserved":2,"reserved_change":2,"sku":"MOUSE-001",'
    b'"version":3}],"order":"A-17 \xe2\x82\xac","reservation":"R-7K4QM2"},"id":"0123456789abcdef0123456789abcdef",'
    b'"requesthash":"00112233445566778899aabbccddeeff","requestid":"till-1","source":"/stores/downtown",'
    b'"specversion":"1.0","subject":"R-7K4QM2","time":"2026-11-24T09:00:00.000000Z",'
    b'"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",'
    b'"type":"inventory.reservation.created"}'
)
SOUND = {"id": "1", "source": "/stores/downtown", "type": "t", "time": "2026-11-24T09:00:00.000000Z", "data": {}}
LINE = {"sku": "A", "on_hand_change": 1, "reserved_change": 0, "on_hand": 1, "reserved": 0, "version": 1}


def golden() -> bytes:
    return events.compose(
        id="0123456789abcdef0123456789abcdef",
        type=events.RESERVATION_CREATED,
        store="downtown",
        time="2026-11-24T09:00:00.000000Z",
        subject="R-7K4QM2",
        data={
            "reservation": "R-7K4QM2",
            "order": "A-17 \u20ac",
            "clerk": "ann",
            "created_at": "2026-11-24T09:00:00.000000Z",
            "expires_at": "2026-11-24T09:30:00.000000Z",
            "lines": [events.line("MOUSE-001", 0, 2, StockLevel(100, 2, 3), quantity=2)],
        },
        trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        request=("till-1", "00112233445566778899aabbccddeeff"),
    )


def parsed(document: Any) -> events.Event:
    return events.parse(json.dumps(document).encode())


def test_the_canonical_bytes_are_frozen() -> None:
    # Ledgers and archives hold such bytes for ever, and hashes lie over them.
    assert golden() == GOLDEN


def test_an_event_reads_back_as_it_was_composed() -> None:
    event = events.parse(golden())
    assert event[:8] == (
        "0123456789abcdef0123456789abcdef",
        "inventory.reservation.created",
        "downtown",
        "2026-11-24T09:00:00.000000Z",
        "R-7K4QM2",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "till-1",
        "00112233445566778899aabbccddeeff",
    )
    assert event.data["order"] == "A-17 \u20ac"
    assert event.lines == [LineChange("MOUSE-001", 0, 2, StockLevel(100, 2, 3))]


def test_it_is_a_cloudevent() -> None:
    # https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#context-attributes
    document = json.loads(golden())
    assert document["specversion"] == "1.0"
    for name in ("id", "source", "type"):
        assert isinstance(document[name], str)
        assert document[name]
    assert parse_time(document["time"]) == parse_time("2026-11-24T10:00:00+01:00")
    assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in document)
    assert set(document) - {"traceparent", "requestid", "requesthash"} == {
        *("specversion", "id", "source", "type", "subject", "time", "data"),
    }


def test_what_is_not_known_is_left_out() -> None:
    body = events.compose(id="1", type="t", store="a", time="now", subject="s", data={})
    assert (
        body == b'{"data":{},"id":"1","source":"/stores/a","specversion":"1.0","subject":"s","time":"now","type":"t"}'
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc\u00e9\u0000", max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc\u00e9", max_size=3), json_values, max_size=4))
def test_canonical_bytes_do_not_depend_on_the_order_of_keys(document: dict[str, Any]) -> None:
    body = events.canonical(document)
    assert json.loads(body) == document
    assert events.canonical(dict(reversed(document.items()))) == body
    assert events.canonical(json.loads(body)) == body


def test_text_that_utf8_cannot_carry_is_not_composed() -> None:
    with pytest.raises(UnicodeEncodeError):
        events.canonical({"order": "\ud800"})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_no_number_beyond_json_is_composed(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        events.canonical({"price": value})


@pytest.mark.fault_tolerance
@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode(errors="surrogatepass")))
def test_hostile_bytes_are_malformed_and_nothing_else(body: bytes) -> None:
    with pytest.raises(MalformedEventError):
        events.parse(body)


@pytest.mark.fault_tolerance
@given(json_values)
def test_hostile_json_is_malformed_and_nothing_else(document: Any) -> None:
    with pytest.raises(MalformedEventError):
        events.parse(json.dumps(document).encode())


@pytest.mark.fault_tolerance
@given(st.sampled_from([*SOUND, "subject", "traceparent", "requestid", "requesthash"]), json_values)
def test_a_field_of_another_type_is_malformed_and_nothing_else(name: str, value: Any) -> None:
    expected = dict if name == "data" else str
    if isinstance(value, expected):
        value = [value]
    with pytest.raises(MalformedEventError):
        parsed({**SOUND, name: value})


@pytest.mark.parametrize("name", SOUND)
def test_a_missing_field_is_malformed(name: str) -> None:
    with pytest.raises(MalformedEventError, match=name):
        parsed({key: value for key, value in SOUND.items() if key != name})


def test_fields_that_are_not_known_are_left_alone() -> None:
    event = parsed({**SOUND, "later": [1], "data": {"later": {"deep": None}, "lines": [{**LINE, "later": "x"}]}})
    assert event.data["later"] == {"deep": None}
    assert event.lines == [LineChange("A", 1, 0, StockLevel(1, 0, 1))]


@pytest.mark.parametrize("source", ["", "downtown", "/shops/downtown", "http://stores/downtown"])
def test_a_source_that_is_no_store_is_malformed(source: str) -> None:
    with pytest.raises(MalformedEventError, match="source"):
        parsed({**SOUND, "source": source})


@pytest.mark.parametrize("number", ["1.0", "1e3", "-0.0", "NaN", "Infinity", "-Infinity", "9" * 4301])
def test_a_number_that_is_not_whole_or_has_no_end_is_malformed(number: str) -> None:
    body = json.dumps({**SOUND, "data": {"price": 0}}).replace('"price": 0', f'"price": {number}').encode()
    with pytest.raises(MalformedEventError):
        events.parse(body)
    assert events.parse(body.replace(number.encode(), b"7")).data == {"price": 7}


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("depth", [10, 400, 990, 20_000])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_never_overflows(depth: int, opens: str, closes: str) -> None:
    deep = opens * depth + ("1" if closes == "}" else "") + closes * depth
    body = json.dumps({**SOUND, "data": {"x": 0, "e": "\u0001"}}).replace('"x": 0', f'"x": {deep}').encode()
    try:
        event = events.parse(body)
    except MalformedEventError:
        assert depth >= 400
    else:
        assert depth < 20_000
        assert list(event.data) == ["x", "e"]


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("place", ["id", "type", "time", "subject"])
@pytest.mark.parametrize("half", ["\ud800", "x\udfff", "\udc00\ud800"])
def test_half_a_character_is_malformed_as_nothing_could_store_it(place: str, half: str) -> None:
    with pytest.raises(MalformedEventError, match="Unicode"):
        parsed({**SOUND, place: half})
    with pytest.raises(MalformedEventError, match="Unicode"):
        parsed({**SOUND, "data": {"name": half}})
    with pytest.raises(MalformedEventError, match="Unicode"):
        parsed({**SOUND, "data": {half: 1}})


def test_a_whole_character_written_as_two_halves_is_read() -> None:
    body = json.dumps({**SOUND, "data": {"name": "\U0001f600\u0000"}}).encode()
    assert b"\\ud83d\\ude00" in body
    assert events.parse(body).data == {"name": "\U0001f600\u0000"}


@pytest.mark.parametrize("lines", [None, {}, "x", 1, [1], [None], [[]], [LINE, "x"]])
def test_lines_that_are_no_array_of_objects_are_malformed(lines: Any) -> None:
    with pytest.raises(MalformedEventError, match="line"):
        parsed({**SOUND, "data": {"lines": lines}})


@pytest.mark.parametrize("name", [name for name in LINE if name != "sku"])
@pytest.mark.parametrize("value", [None, True, "1", [], LEVEL_MAX + 1, -LEVEL_MAX - 1, 2**63, 10**400])
def test_a_number_of_a_line_out_of_range_is_malformed(name: str, value: Any) -> None:
    with pytest.raises(MalformedEventError, match=f"^{name} of a line"):
        parsed({**SOUND, "data": {"lines": [{**LINE, name: value}]}})


@pytest.mark.parametrize("value", [None, 1, ["A"], {}])
def test_a_sku_that_is_no_text_is_malformed(value: Any) -> None:
    with pytest.raises(MalformedEventError, match="sku"):
        parsed({**SOUND, "data": {"lines": [{**LINE, "sku": value}]}})


def test_the_largest_numbers_of_a_line_are_read() -> None:
    line = {**LINE, "on_hand": LEVEL_MAX, "on_hand_change": -LEVEL_MAX, "reserved": -LEVEL_MAX}
    assert parsed({**SOUND, "data": {"lines": [line]}}).lines[0].level == StockLevel(LEVEL_MAX, -LEVEL_MAX, 1)


skus = st.from_regex("[A-Z0-9][A-Z0-9._/+-]{0,63}", fullmatch=True)
levels = st.integers(-LEVEL_MAX, LEVEL_MAX) | st.sampled_from([LEVEL_MAX, -LEVEL_MAX])
quantities = st.integers(0, QUANTITY_MAX) | st.just(QUANTITY_MAX)
# What is printable takes at most four bytes, or two where JSON escapes it.
notes = st.text(st.sampled_from(["\U0001f600", '"', "\\", "a", "\u20ac"]), max_size=NOTE_CHARS_MAX)


@given(skus, levels, levels, levels, quantities)
def test_no_line_is_longer_than_the_bound_says(sku: str, change: int, level: int, version: int, share: int) -> None:
    more = {"quantity": share, "confirmed": share, "released": share}
    line = events.line(sku, change, change, StockLevel(level, level, version), **more)
    assert len(events.canonical(line)) + 1 <= events.size_bound([sku]) - events.size_bound([])


def test_a_bound_is_for_the_longest_line_and_not_far_above_it() -> None:
    sku = parse_sku("X" * 64)
    most = StockLevel(-LEVEL_MAX, -LEVEL_MAX, -LEVEL_MAX)
    line = events.line(
        sku, -LEVEL_MAX, -LEVEL_MAX, most, quantity=QUANTITY_MAX, confirmed=QUANTITY_MAX, released=QUANTITY_MAX
    )
    longest = len(events.canonical(line)) + 1
    assert longest <= events.size_bound([sku]) - events.size_bound([]) <= longest + 50


@given(st.lists(skus, min_size=1, max_size=12, unique=True), notes, notes, st.sampled_from(list(events.STATUS_AFTER)))
def test_no_reservation_event_is_larger_than_the_bound_says(
    basket: list[str], order: str, clerk: str, type_: str
) -> None:
    worst = StockLevel(-LEVEL_MAX, -LEVEL_MAX, -LEVEL_MAX)
    more = {"quantity": QUANTITY_MAX, "confirmed": QUANTITY_MAX, "released": QUANTITY_MAX}
    data: dict[str, Any] = {
        "reservation": "R-7K4QM2ABCDE",
        "order": order,
        "clerk": clerk[:CLERK_CHARS_MAX],
        "created_at": "2026-11-24T09:00:00.000000Z",
        "expires_at": "2026-11-24T09:30:00.000000Z",
    }
    if type_ == events.RESERVATION_EXTENDED:
        data["expired_before_at"] = data["created_at"]
        data["holds"] = [{"sku": sku, "quantity": QUANTITY_MAX} for sku in basket]
    else:
        data["lines"] = [events.line(sku, -LEVEL_MAX, -LEVEL_MAX, worst, **more) for sku in basket]
    assert len(largest(type_, "R-7K4QM2ABCDE", data)) <= events.size_bound(basket)


@given(st.lists(skus, min_size=1, max_size=12, unique=True), notes, notes)
def test_no_adjustment_is_larger_than_the_bound_says(basket: list[str], note: str, clerk: str) -> None:
    worst = StockLevel(LEVEL_MAX, LEVEL_MAX, LEVEL_MAX)
    lines = [events.line(sku, -LEVEL_MAX, -LEVEL_MAX, worst) for sku in basket]
    longest_reason = max(events.REASONS, key=len)
    data = {"reason": longest_reason, "note": note, "clerk": clerk[:CLERK_CHARS_MAX], "lines": lines}
    assert len(largest(events.STOCK_ADJUSTED, "X" * 64, data)) <= events.size_bound(basket)


@given(st.text(st.just("\U0001f600"), max_size=NAME_CHARS_MAX), notes)
def test_no_product_event_is_larger_than_the_bound_says(name: str, clerk: str) -> None:
    data = {"sku": "X" * 64, "name": name, "price": LEVEL_MAX, "clerk": clerk[:CLERK_CHARS_MAX]}
    assert len(largest(events.PRODUCT_EDITED, "X" * 64, data)) <= events.size_bound([])


def largest(type_: str, subject: str, data: dict[str, Any]) -> bytes:
    """Compose with every attribute at its longest."""
    return events.compose(
        id="f" * 32,
        type=type_,
        store="s" * 32,
        time="2026-11-24T09:00:00.000000Z",
        subject=subject,
        data=data,
        trace="00-" + "f" * 32 + "-" + "f" * 16 + "-01",
        request=('"' * 128, "f" * 32),
    )


@given(st.integers(0, 1000), st.integers(0, 2**32))
def test_runs_split_by_size_are_the_whole_in_order_and_each_fits(count: int, seed: int) -> None:
    chance = Random(seed)
    basket = [f"{number}".ljust(chance.randint(4, 64), "X") for number in range(count)]
    runs = events.split_by_size(basket)
    assert [sku for run in runs for sku in run] == basket
    assert all(runs)
    assert all(events.size_bound(run) <= events.EVENT_BYTES_MAX for run in runs)


def test_a_run_is_filled_before_the_next_begins() -> None:
    basket = [f"SKU-{number:05}" for number in range(1000)]
    runs = events.split_by_size(basket)
    assert len(runs) > 3
    for run, following in pairwise(runs):
        assert events.size_bound([*run, following[0]]) > events.EVENT_BYTES_MAX


def test_every_reservation_event_leaves_a_status_and_every_counted_reason_is_a_reason() -> None:
    named = {name: value for name, value in vars(events).items() if name.startswith("RESERVATION_")}
    assert set(named.values()) == set(events.STATUS_AFTER)
    assert set(events.REASONS) >= events.COUNTED_REASONS
    assert len(set(events.REASONS)) == len(events.REASONS)

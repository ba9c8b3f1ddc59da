from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invctl.model.chain import links
from invctl.model.events import EVENT_BYTES_MAX
from invctl.sync import frames
from invctl.sync.frames import Ack, CentralHello, Events, FrameError, Hello, Refused
from tests.unit.sync.parties import bent, sealed

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD, PREV, LAST, FIRST = (bytes([value]) * 32 for value in (1, 2, 3, 4))

HELLO = Hello("downtown", 1, "b00b1e5b00b1e500", 7, "1234.5f.2", 9, HEAD, 8, FIRST)
EVENTS = Events(
    *("downtown", 2, "b00b1e5b00b1e500", 8, "", 9, HEAD, 8, PREV, LAST),
    [b'{"data":{},"id":"1"}', '{"name":"\u20ac \\"5\\""}'.encode()],
)
ACK = Ack("downtown", 1, "b00b1e5b00b1e500", 8, "1234.60.3", 7, PREV, 8, 2)
REFUSED = Refused("downtown", 1, "b00b1e5b00b1e500", 8, "1234.60.4", frames.NOT_ADMITTED)
GREETING = CentralHello("downtown", 3)

H = {name: value.hex() for name, value in (("HEAD", HEAD), ("PREV", PREV), ("LAST", LAST), ("FIRST", FIRST))}
GOLDEN = {
    HELLO: '{"v":1,"kind":"hello","store":"downtown","epoch":1,"boot":"b00b1e5b00b1e500","n":7,"echo":"1234.5f.2",'
    f'"head_seq":9,"head_hash":"{H["HEAD"]}","acked_seq":8,"first_hash":"{H["FIRST"]}"',
    ACK: '{"v":1,"kind":"ack","store":"downtown","epoch":1,"boot":"b00b1e5b00b1e500","n":8,"token":"1234.60.3",'
    f'"applied_seq":7,"applied_hash":"{H["PREV"]}","want_from":8,"suspects":2',
    ACK._replace(want_from=None): '{"v":1,"kind":"ack","store":"downtown","epoch":1,"boot":"b00b1e5b00b1e500","n":8,'
    f'"token":"1234.60.3","applied_seq":7,"applied_hash":"{H["PREV"]}","suspects":2',
    REFUSED: '{"v":1,"kind":"refused","store":"downtown","epoch":1,"boot":"b00b1e5b00b1e500","n":8,'
    '"token":"1234.60.4","reason":"not_admitted"',
    GREETING: '{"v":1,"kind":"hello","store":"downtown","epoch":3',
}
GOLDEN_EVENTS = (
    '{"v":1,"kind":"events","store":"downtown","epoch":2,"boot":"b00b1e5b00b1e500","n":8,"echo":"","head_seq":9,'
    f'"head_hash":"{H["HEAD"]}","first_seq":8,"prev_hash":"{H["PREV"]}","last_hash":"{H["LAST"]}",'
    '"events":["{\\"data\\":{},\\"id\\":\\"1\\"}","{\\"name\\":\\"\u20ac \\\\\\"5\\\\\\"\\"}"]'
)
UP: list[Hello | Events] = [HELLO, EVENTS]
DOWN: list[Ack | Refused | CentralHello] = [ACK, ACK._replace(want_from=None), REFUSED, GREETING]


@pytest.mark.parametrize("frame", GOLDEN, ids=lambda frame: type(frame).__name__)
def test_the_bytes_of_a_frame_are_frozen(frame: Any) -> None:
    # The other side may run another version of this program.
    assert frames.encode(frame) == sealed(GOLDEN[frame])


def test_the_bytes_of_an_events_frame_are_frozen() -> None:
    assert frames.encode(EVENTS) == sealed(GOLDEN_EVENTS)
    assert frames.encode(EVENTS).endswith(b',"sum":"6153d337bb374320"}')


@pytest.mark.parametrize("frame", UP, ids=lambda frame: type(frame).__name__)
def test_an_up_frame_reads_back(frame: Hello | Events) -> None:
    assert frames.decode_up(frames.encode(frame)) == frame


@pytest.mark.parametrize("frame", DOWN, ids=lambda frame: type(frame).__name__)
def test_a_down_frame_reads_back(frame: Ack | Refused | CentralHello) -> None:
    assert frames.decode_down(frames.encode(frame)) == frame


words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64)
wholes = st.integers(0, 2**63 - 1)
hashes = st.binary(min_size=32, max_size=32)
bodies = st.lists(st.text(st.characters(exclude_categories=["Cs"])).map(str.encode), min_size=1, max_size=5)


@given(words, wholes, wholes, hashes, bodies)
def test_whatever_an_events_frame_carries_reads_back(
    boot: str, n: int, head_seq: int, hash_: bytes, events: list[bytes]
) -> None:
    frame = EVENTS._replace(boot=boot, n=n + 1 if n < 2**63 - 1 else n, echo=boot, head_seq=head_seq)
    frame = frame._replace(prev_hash=hash_, events=events)
    assert frames.decode_up(frames.encode(frame)) == frame


def test_the_last_seq_of_events_is_that_of_the_last_event() -> None:
    assert EVENTS.last_seq == 9


DECODERS: dict[str, Callable[[bytes], Any]] = {"up": frames.decode_up, "down": frames.decode_down}
EVERY = [("up", frame) for frame in UP] + [("down", frame) for frame in DOWN]
every_frame = pytest.mark.parametrize(("way", "frame"), EVERY, ids=[f"{w}-{type(f).__name__}" for w, f in EVERY])


@pytest.mark.fault_tolerance
@every_frame
def test_every_damage_to_a_single_bit_is_found(way: str, frame: Any) -> None:
    payload = frames.encode(frame)
    for at in range(len(payload)):
        for bit in range(8):
            damaged = payload[:at] + bytes([payload[at] ^ 1 << bit]) + payload[at + 1 :]
            with pytest.raises(FrameError):
                DECODERS[way](damaged)


@pytest.mark.fault_tolerance
@every_frame
def test_every_truncation_is_found_and_every_addition(way: str, frame: Any) -> None:
    payload = frames.encode(frame)
    for length in range(len(payload)):
        with pytest.raises(FrameError):
            DECODERS[way](payload[:length])
        with pytest.raises(FrameError):
            DECODERS[way](payload[length:] if length else payload + b" ")


@pytest.mark.fault_tolerance
@given(st.sampled_from(EVERY), st.data())
def test_every_wrong_byte_and_every_two_swapped_are_found(case: tuple[str, Any], data: st.DataObject) -> None:
    way, frame = case
    payload = bytearray(frames.encode(frame))
    at = data.draw(st.integers(0, len(payload) - 1))
    other = data.draw(st.integers(0, len(payload) - 1))
    if payload[at] == payload[other]:
        payload[at] ^= data.draw(st.integers(1, 255))
    else:
        payload[at], payload[other] = payload[other], payload[at]
    with pytest.raises(FrameError):
        DECODERS[way](bytes(payload))


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("way", DECODERS)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_frame_error_and_nothing_else(way: str, payload: bytes) -> None:
    with pytest.raises(FrameError):
        DECODERS[way](payload)
    with pytest.raises(FrameError):
        DECODERS[way](sealed(payload))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.fault_tolerance
@given(st.sampled_from(EVERY), st.data())
def test_any_value_in_any_field_is_a_frame_or_a_frame_error(case: tuple[str, Any], data: st.DataObject) -> None:
    way, frame = case
    name = data.draw(st.sampled_from(["v", "kind", *frame._fields]))
    payload = bent(frame, **{name: data.draw(json_values)})
    try:
        read = DECODERS[way](payload)
    except FrameError:
        return
    # What was read can be written, as an answer carries parts of it back.
    assert DECODERS[way](frames.encode(read)) == read


WORD = ["", "x" * 65, "a b", "\u00e9", "\x00", "\ud800", 1, [], {}, True]
WHOLE = [-1, 2**63, 10**400, 1.0, True, "1", [], {}]
HASH = [
    "",
    " ".join(["00"] * 32),
    "00" * 31,
    "00" * 33,
    "zz" * 32,
    " " + "00" * 31 + " ",
    "\u0661" * 64,
    1,
    [],
    {},
    True,
]
STORE = ["", "A", "a" * 33, "a:b", "\ud800", 1, [], {}, True]
EVENT_LISTS = [[], ["x"] * 257, "x", [1], [["x"]], ["\ud800"], [True], {}, 1, True]
FIELDS: dict[str, list[Any]] = {
    "kind": ["", "history", 1, [], {}, True],
    "store": STORE,
    "epoch": WHOLE,
    "boot": WORD,
    "n": WHOLE,
    "echo": [value for value in WORD if value != ""],
    "token": WORD,
    "reason": WORD,
    "events": EVENT_LISTS,
    **dict.fromkeys(("head_seq", "acked_seq", "first_seq", "applied_seq", "want_from", "suspects"), WHOLE),
    **dict.fromkeys(("head_hash", "prev_hash", "last_hash", "first_hash", "applied_hash"), HASH),
}


@pytest.mark.fault_tolerance
@every_frame
def test_every_field_is_checked(way: str, frame: Any) -> None:
    for name in ("kind", *frame._fields):
        if getattr(frame, name, "") is None:
            continue
        for wrong in FIELDS[name]:
            with pytest.raises(FrameError):
                DECODERS[way](bent(frame, **{name: wrong}))
        if name != "want_from":
            with pytest.raises(FrameError):
                DECODERS[way](bent(frame, **{name: None}))


@pytest.mark.parametrize(
    ("way", "frame", "name"),
    [("up", HELLO, "epoch"), ("up", HELLO, "n"), ("up", EVENTS, "first_seq"), ("down", ACK, "want_from")],
)
def test_what_counts_from_one_is_not_zero(way: str, frame: Any, name: str) -> None:
    with pytest.raises(FrameError):
        DECODERS[way](bent(frame, **{name: 0}))
    assert DECODERS[way](bent(frame, **{name: 1}))[frame._fields.index(name)] == 1


def test_the_largest_number_and_the_most_events_are_read() -> None:
    most = 2**63 - 1
    assert frames.decode_up(bent(HELLO, epoch=most, n=most, head_seq=most, acked_seq=most)) == HELLO._replace(
        epoch=most, n=most, head_seq=most, acked_seq=most
    )
    assert frames.decode_up(bent(EVENTS, events=["{}"] * 256)) == EVENTS._replace(events=[b"{}"] * 256)


@pytest.mark.parametrize("frame", DOWN, ids=lambda frame: type(frame).__name__)
def test_a_down_frame_is_no_up_frame(frame: Any) -> None:
    with pytest.raises(FrameError):
        frames.decode_up(frames.encode(frame))


@every_frame
def test_unknown_fields_are_ignored(way: str, frame: Any) -> None:
    assert DECODERS[way](bent(frame, key_id="k1", sig="ab", later={"deep": [1.5]})) == frame


@pytest.mark.parametrize("version", [0, 2, 1.0, True, "1", [1], {"v": 1}, -1, 10**300])
def test_another_version_is_told_apart_with_its_sender(version: Any) -> None:
    with pytest.raises(FrameError) as caught:
        frames.decode_up(bent(HELLO, v=version, acked_seq="in a form of its own"))
    assert (caught.value.reason, caught.value.boot, caught.value.n) == (frames.UNKNOWN_VERSION, HELLO.boot, HELLO.n)


def test_a_missing_version_is_another_version() -> None:
    with pytest.raises(FrameError) as caught:
        frames.decode_up(bent(HELLO, v=None))
    assert caught.value.reason == frames.UNKNOWN_VERSION


@pytest.mark.parametrize("changes", [{"kind": "history"}, {"head_hash": "x"}, {"first_hash": None}, {"store": "A"}])
def test_an_unreadable_frame_still_names_its_sender(changes: dict[str, Any]) -> None:
    with pytest.raises(FrameError) as caught:
        frames.decode_up(bent(HELLO, **changes))
    assert (caught.value.reason, caught.value.boot, caught.value.n) == (frames.UNREADABLE, HELLO.boot, HELLO.n)


@pytest.mark.parametrize("changes", [{"boot": "\ud800"}, {"boot": None}, {"n": "7"}, {"n": -1}, {"boot": ""}])
@pytest.mark.parametrize("version", [1, 2])
def test_a_sender_that_cannot_be_read_is_not_named(changes: dict[str, Any], version: int) -> None:
    with pytest.raises(FrameError) as caught:
        frames.decode_up(bent(HELLO, v=version, **changes))
    assert (caught.value.boot, caught.value.n) == ("", 0)


def test_a_wrong_checksum_names_nobody() -> None:
    with pytest.raises(FrameError) as caught:
        frames.decode_up(frames.encode(HELLO).replace(b'"n":7', b'"n":9'))
    assert (caught.value.reason, caught.value.boot, caught.value.n) == (frames.UNREADABLE, "", 0)


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("way", DECODERS)
def test_a_frame_beyond_the_limit_is_not_even_read(way: str) -> None:
    frame = HELLO if way == "up" else ACK
    room = frames.FRAME_BYTES_MAX - len(bent(frame, padding=""))
    assert DECODERS[way](bent(frame, padding="x" * room)) == frame
    for size in (room + 1, 10 * 1024 * 1024):
        with pytest.raises(FrameError, match="bytes"):
            DECODERS[way](bent(frame, padding="x" * size))


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("way", DECODERS)
@pytest.mark.parametrize("name", ["v", "kind", "boot", "events", "later"])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_never_overflows(way: str, name: str, opens: str, closes: str) -> None:
    template = bent(EVENTS if way == "up" else ACK, **{name: "HERE"})
    content = template[: template.index(b',"sum"')]
    for depth in (300, 900, 990, 100_000):
        deep = opens * depth + ("1" if closes == "}" else "") + closes * depth
        payload = sealed(content.replace(b'"HERE"', deep.encode()))
        try:
            read = DECODERS[way](payload)
        except FrameError:
            continue
        assert name in ("later", "boot", "events")
        assert depth < 100_000
        assert read in (EVENTS, ACK)


@pytest.mark.fault_tolerance
def test_a_number_without_end_is_a_frame_error() -> None:
    for digits in (20, 4300, 4301, 100_000):
        payload = sealed(frames.encode(HELLO).partition(b',"sum"')[0].replace(b'"n":7', b'"n":' + b"9" * digits))
        with pytest.raises(FrameError):
            frames.decode_up(payload)


def test_a_full_batch_of_the_worst_text_fits_into_a_frame() -> None:
    # Every byte doubled by its escape is the most that JSON text can grow by.
    body = b'"' * EVENT_BYTES_MAX
    events = [body] * (frames.BATCH_BYTES_MAX // EVENT_BYTES_MAX)
    payload = frames.encode(EVENTS._replace(events=events))
    assert len(payload) <= frames.FRAME_BYTES_MAX
    read = frames.decode_up(payload)
    assert isinstance(read, Events)
    assert read.events == events


@pytest.mark.fault_tolerance
def test_a_damaged_ledgers_bytes_are_sent_and_do_not_hash() -> None:
    events = [b"{}", b'{"id":"\xff\xfe"}']
    last_hash = links(PREV, 8, events)[-1]
    frame = EVENTS._replace(events=events, last_hash=last_hash)
    read = frames.decode_up(frames.encode(frame))
    assert isinstance(read, Events)
    assert links(PREV, 8, read.events)[-1] != last_hash

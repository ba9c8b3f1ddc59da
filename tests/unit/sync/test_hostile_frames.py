"""Both sides against frames that nobody meant: any bytes, any change to a real one, truly sealed or not."""

from __future__ import annotations

import json
from copy import deepcopy
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invctl.model.chain import links
from invctl.sync import frames
from invctl.sync.cursor import Page
from invctl.sync.frames import Ack, CentralHello, Events, FrameError, Hello, History, Refused
from invctl.sync.shipper import Kept, Link, Rejoin, Shipper
from tests.simulation.outbox import MemoryOutbox
from tests.unit.sync.parties import HeadOffice, bodies, sealed

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.fault_tolerance

STORE = "downtown"
EVENTS = 6
SUM_CHARS = len(',"sum":"0123456789abcdef"}')


def ledger(events: int = EVENTS, mark: str = "") -> MemoryOutbox:
    outbox = MemoryOutbox(STORE)
    outbox.append(*bodies(1, events, mark))
    return outbox


WHOLE = ledger()
OTHER = ledger(mark="other")


def up(outbox: MemoryOutbox, n: int) -> list[Hello | Events]:
    """Each kind of frame of a store's, as it would send them."""
    head = outbox.head()
    header = (STORE, 1, "boot-a", n, "1234.5f.2", *head)
    hello = Hello(*header, 0, outbox.first_hash)
    return [
        hello,
        hello._replace(held_seq=2, held_hash=outbox.hashes[2]),
        Events(*header, 1, outbox.hashes[0], outbox.hashes[3], outbox.bodies[:3]),
        Events(*header, 3, outbox.hashes[2], outbox.hashes[6], outbox.bodies[2:]),
    ]


def down(outbox: MemoryOutbox, boot: str, n: int) -> list[Ack | Refused | History | CentralHello]:
    """Each kind of frame of head office's."""
    header = (STORE, 1, boot, n, "1234.60.3")
    ack = Ack(*header, 3, outbox.hashes[3], None, 0)
    page = History(*header, 2, *outbox.head(), 1, outbox.hashes[0], outbox.hashes[6], outbox.bodies)
    return [
        ack,
        ack._replace(applied_seq=5, applied_hash=outbox.hashes[5], want_from=4, suspects=2, copies=1),
        ack._replace(applied_seq=0, applied_hash=outbox.hashes[0]),
        page,
        page._replace(first_seq=3, prev_hash=outbox.hashes[2], events=outbox.bodies[2:]),
        page._replace(first_seq=7, prev_hash=outbox.hashes[6], events=[]),
        Refused(*header, frames.NOT_ADMITTED),
        CentralHello(STORE, 3),
    ]


DECODERS: dict[str, Callable[[bytes], Any]] = {"up": frames.decode_up, "down": frames.decode_down}
REAL = [("up", frame) for frame in up(WHOLE, 7)] + [("down", frame) for frame in down(WHOLE, "boot-a", 7)]

numbers = st.sampled_from([-1, 0, 1, 2, 3, 5, 6, 7, 255, 2**31, 2**63 - 1, 2**63, 10**30])
hashes = st.sampled_from([*WHOLE.hashes, *OTHER.hashes]).map(bytes.hex)
words = st.sampled_from(
    ["", "boot-a", "boot-b", "1234.5f.2", "x" * 64, "x" * 65, "\ud800", "\x00", "downtown", "midtown"]
)
texts = st.sampled_from([*(body.decode() for body in (*WHOLE.bodies, *OTHER.bodies)), "\ud800", "\udfff"]) | st.text(
    max_size=5
)
values = (
    numbers
    | hashes
    | words
    | st.none()
    | st.booleans()
    | st.floats()
    | st.lists(texts, max_size=3)
    | st.dictionaries(words, numbers, max_size=2)
)
NAMES = sorted({"v", "kind", "sum", "later", *(name for _, frame in REAL for name in frame._fields)})
names = st.sampled_from(NAMES)
pieces = st.sampled_from(
    [b"", b",", b"{", b"}", b"[", b'"', b"\\ud800", b"\\", b"\x00", b"\xff", b"1e400", b"NaN", b"9" * 30]
)


def fitting(name: str) -> st.SearchStrategy[Any]:
    """Values of the kind that a field has."""
    if name == "events":
        return st.lists(texts, max_size=4)
    return hashes if name.endswith("hash") else numbers if name.endswith(("seq", "n", "epoch")) else words


@st.composite
def bent_bytes(draw: st.DrawFn, payload: bytes) -> bytes:
    """A real frame with some of its fields changed, taken out or put in, and some of its bytes; often truly sealed."""
    document = json.loads(payload)
    del document["sum"]
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from([*document]) | names) if document else draw(names)
        if draw(st.integers(0, 3)):
            document[name] = draw(fitting(name) | values)
        else:
            document.pop(name, None)
    content = json.dumps(document)[:-1].encode()
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(pieces | st.binary(max_size=3)) + content[at + draw(st.integers(0, 4)) :]
    whole = sealed(content)
    if draw(st.integers(0, 9)):
        return whole
    return whole[: draw(st.integers(0, len(whole)))]


def any_of(real: list[Any]) -> st.SearchStrategy[bytes]:
    """Real frames, bent ones, and bytes that never were any."""
    whole = st.sampled_from([frames.encode(frame) for frame in real])
    return st.one_of(
        whole, whole, whole.flatmap(bent_bytes), whole.flatmap(bent_bytes), st.binary(max_size=60).map(sealed)
    )


def read_by(decode: Callable[[bytes], Any], payload: bytes) -> Any:
    try:
        return decode(payload)
    except FrameError as error:
        return error


@settings(max_examples=300)
@given(st.sampled_from(REAL), st.data())
def test_whatever_became_of_a_real_frame_it_is_a_frame_or_a_frame_error(
    case: tuple[str, Any], data: st.DataObject
) -> None:
    payload = data.draw(bent_bytes(frames.encode(case[1])))
    for decode in DECODERS.values():
        read = read_by(decode, payload)
        if isinstance(read, FrameError):
            # Whoever is named is answered.
            assert read.reason in (frames.UNREADABLE, frames.UNKNOWN_VERSION)
            assert bool(read.boot) or read.n == 0
            frames.encode(Refused(STORE, 1, read.boot or "-", read.n, "-", read.reason))
            continue
        assert decode(frames.encode(read)) == read
        # What it says again is what it said, byte for byte.
        assert frames.encode(decode(frames.encode(read))) == frames.encode(read)


@pytest.mark.parametrize(("way", "frame"), REAL, ids=[f"{way}-{type(frame).__name__}" for way, frame in REAL])
def test_what_is_bent_was_real(way: str, frame: Any) -> None:
    assert DECODERS[way](frames.encode(frame)) == frame


UP = [frame for outbox in (WHOLE, OTHER) for frame in up(outbox, 5)]
channels = st.sampled_from([*[STORE] * 6, "midtown", "\ud800"])


@settings(max_examples=200)
@given(st.lists(st.tuples(any_of(UP), st.booleans(), channels), min_size=4, max_size=12))
def test_whatever_a_receiver_hears_it_takes_only_what_hashes_from_where_it_was(
    heard: list[tuple[bytes, bool, str]],
) -> None:
    office = HeadOffice(STORE, "midtown")
    for payload, ends_round, channel in heard:
        before = office.receiver.cursor(STORE)
        office.hear(payload, store=channel)
        # What was not committed is not acknowledged, and moves nothing.
        assert office.receiver.cursor(STORE) == before
        if ends_round:
            finish(office)
    finish(office)


def finish(office: HeadOffice) -> None:
    for intake in office.commit():
        assert links(intake.prev_hash, intake.first_seq, intake.bodies) == intake.hashes
    for lost in office.receiver.lost(office.now_us):
        office.receiver.send(lost, Page(1, WHOLE.hashes[0], WHOLE.bodies[:2], WHOLE.hashes[2]))
    for answer in office.answers():
        cursor = office.receiver.cursor(answer.store)
        assert cursor is not None
        archive = office.archive.get(answer.store, [])
        assert cursor.applied_seq == len(archive)
        if isinstance(answer, Ack):
            assert (answer.applied_seq, answer.applied_hash) == (cursor.applied_seq, cursor.applied_hash)


@given(st.data(), st.integers(0, EVENTS), st.integers(0, EVENTS))
def test_whatever_a_shipper_hears_it_believes_only_hashes_that_its_ledger_has(
    data: st.DataObject, held: int, acked_seq: int
) -> None:
    outbox = deepcopy(WHOLE)
    outbox.cut_back(held)
    shipper = Shipper(outbox, acked_seq=min(acked_seq, held), chance=Random(1), now_s=0.0)
    now_s = 0.0
    for _ in range(data.draw(st.integers(1, 8))):
        now_s += data.draw(st.sampled_from([0.0, 0.5, 2.5, 7.0]))
        sent = [frames.decode_up(payload) for payload in shipper.poll(now_s)]
        n = max([frame.n for frame in sent], default=1)
        payload = data.draw(any_of([*down(WHOLE, shipper.boot, n), *down(OTHER, shipper.boot, n)]))
        before = shipper.state.acked_seq
        shipper.receive(payload, now_s)
        state = shipper.state
        if state.acked_seq != before:
            said = frames.decode_down(payload)
            assert isinstance(said, Ack)
            assert (said.store, said.boot) == (STORE, shipper.boot)
            assert state.acked_seq == said.applied_seq
            assert outbox.hash_at(said.applied_seq) == said.applied_hash
        for effect in shipper.take_effects():
            # Only who was told twice that history is lost takes any, and only what hashes.
            assert state.link is Link.DIVERGED
            keep(outbox, effect)


def keep(outbox: MemoryOutbox, effect: Kept | Rejoin) -> None:
    if isinstance(effect, Rejoin):
        assert effect.upto == outbox.kept
        return
    known = (effect.first_seq - 1, effect.prev_hash)
    assert known in (outbox.kept, (known[0], outbox.hash_at(known[0])))
    hashes = links(effect.prev_hash, effect.first_seq, effect.bodies)
    outbox.kept = outbox.head()._replace(seq=effect.first_seq + len(effect.bodies) - 1, hash=hashes[-1])

"""What is told of frames and of the traces in them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invctl.model.chain import GENESIS
from invctl.model.traces import trace_id, trace_ids
from invctl.sync import frames
from invctl.sync.telling import describe, trace_of, traces

TRACES = [f"{number:032x}" for number in (1, 2)]


def body(trace: str, note: str = "") -> bytes:
    document = {"data": {"note": note}, "id": "1", "time": "now", "type": "x"}
    if trace:
        document["traceparent"] = f"00-{trace}-b7ad6b7169203331-01"
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def events(*bodies: bytes) -> bytes:
    return frames.encode(
        frames.Events("downtown", 1, "boot", 3, "", 9, GENESIS, 5, GENESIS, GENESIS, list(bodies)),
    )


def test_the_traces_of_a_run_are_told_each_once() -> None:
    first, second = TRACES
    run = [body(first), body(second), body(""), body(first), body(second)]
    assert [trace_id(each) for each in run] == [first, second, None, first, second]
    assert trace_ids(run) == TRACES
    assert traces(run) == {"trace": second, "traces": TRACES}
    assert traces(run[:1]) == {"trace": first}
    assert traces([body("")]) == {}


@pytest.mark.parametrize("told", [True, False])
def test_a_frame_is_told_by_its_last_trace(*, told: bool) -> None:
    payload = events(body(TRACES[0]), body(TRACES[1] if told else ""))
    assert trace_of(payload) == TRACES[1 if told else 0]


def test_a_note_that_looks_like_a_trace_is_none() -> None:
    note = f'"traceparent":"00-{TRACES[0]}-b7ad6b7169203331-01"'
    assert trace_id(body("", note)) is None
    assert trace_of(events(body("", note))) is None
    assert trace_id(body(TRACES[1], note)) == TRACES[1]
    assert trace_of(events(body(TRACES[1], note))) == TRACES[1]


@given(st.binary(max_size=200))
def test_any_bytes_will_do(payload: bytes) -> None:
    assert trace_of(payload) is None
    assert trace_id(payload) is None
    assert set(describe(payload)) == {"unreadable"}


def test_each_kind_of_frame_is_told_by_what_matters() -> None:
    head = ("downtown", 1, "boot", 3, "", 9, GENESIS)
    reply = ("downtown", 1, "boot", 3, "token")
    told = [
        describe(frames.encode(frame))
        for frame in (
            frames.Hello(*head, acked_seq=4, first_hash=GENESIS),
            frames.Ack(*reply, 7, GENESIS, None, 0),
            frames.Ack(*reply, 7, GENESIS, 8, 0),
            frames.Refused(*reply, "not_admitted"),
            frames.CentralHello("downtown", 1),
        )
    ]
    known = {"store": "downtown", "n": 3}
    assert told == [
        {**known, "kind": "hello", "seq": 9, "acked_seq": 4},
        {**known, "kind": "ack", "seq": 7},
        {**known, "kind": "ack", "seq": 7, "want_from": 8},
        {**known, "kind": "refused", "reason": "not_admitted"},
        {"store": "downtown", "kind": "hello"},
    ]
    assert describe(events(body(TRACES[0]))) == {**known, "kind": "events", "seq": 5, "events": 1, "trace": TRACES[0]}

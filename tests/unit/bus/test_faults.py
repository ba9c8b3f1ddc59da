"""The line with faults: each does what it says, and nothing else."""

from __future__ import annotations

import random
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invctl.bus.faults import Delivery, Faults, FaultyWire
from invctl.errors import InvalidValueError

pytestmark = pytest.mark.fault_tolerance

ALL = Faults(drop=0.2, double=0.2, delay=0.2, reorder=0.2, truncate=0.2, flip=0.2, latency_s=0.01)


def sent(faults: Faults, count: int = 200, seed: int = 1) -> list[Delivery]:
    """What arrives of messages that are sent one a millisecond on one channel, in the order of arrival."""
    wire = FaultyWire(faults, random.Random(seed))
    arrives = [delivery for number in range(count) for delivery in wire.send(number / 1000, "c", b"%04d" % number)]
    return sorted(arrives, key=lambda delivery: delivery.due_s)


def test_without_faults_everything_arrives_at_once_and_in_order() -> None:
    assert sent(Faults()) == [Delivery(number / 1000, "c", b"%04d" % number) for number in range(200)]


def test_the_same_seed_gives_the_same_faults_and_another_seed_others() -> None:
    assert sent(ALL) == sent(ALL)
    assert sent(ALL) != sent(ALL, seed=2)


def test_latency_delays_everything_alike() -> None:
    assert [delivery.due_s for delivery in sent(Faults(latency_s=0.25), 3)] == [0.25, 0.251, 0.252]


def test_drop_loses_its_share() -> None:
    assert sent(Faults(drop=1.0)) == []
    assert 60 <= len(sent(Faults(drop=0.5))) <= 140


def test_double_gives_two_of_each() -> None:
    arrived = sorted(delivery.payload for delivery in sent(Faults(double=1.0), 50))
    assert arrived == sorted([b"%04d" % number for number in range(50)] * 2)


@given(st.integers(0, 2**32), st.lists(st.tuples(st.floats(0, 1), st.sampled_from("ab")), max_size=50))
def test_delay_holds_up_a_channel_and_keeps_its_order(seed: int, gaps: list[tuple[float, str]]) -> None:
    faults = Faults(delay=0.5, delay_max_s=3.0, latency_s=0.1)
    wire = FaultyWire(faults, random.Random(seed))
    now_s, last_s = 0.0, {"a": 0.0, "b": 0.0}
    for gap_s, channel in gaps:
        now_s += gap_s
        (delivery,) = wire.send(now_s, channel, b"x")
        assert now_s + 0.1 <= delivery.due_s
        assert last_s[channel] <= delivery.due_s <= max(now_s + 0.1 + 3.0, last_s[channel])
        last_s[channel] = delivery.due_s


def test_a_held_up_channel_does_not_hold_up_another() -> None:
    wire = FaultyWire(Faults(delay=1.0), random.Random(1))
    (held,) = wire.send(0.0, "a", b"x")
    wire.faults = Faults()
    assert wire.send(0.0, "a", b"y")[0].due_s == held.due_s > 0
    assert wire.send(0.0, "b", b"z")[0].due_s == 0.0


def test_reorder_lets_others_overtake_and_loses_nothing() -> None:
    arrived = [delivery.payload for delivery in sent(Faults(reorder=0.5, reorder_max_s=0.05))]
    assert arrived != sorted(arrived)
    assert sorted(arrived) == [b"%04d" % number for number in range(200)]


@given(st.integers(0, 2**32), st.binary(min_size=1, max_size=40))
def test_flip_turns_exactly_one_bit(seed: int, payload: bytes) -> None:
    (delivery,) = FaultyWire(Faults(flip=1.0), random.Random(seed)).send(0.0, "c", payload)
    difference = int.from_bytes(payload) ^ int.from_bytes(delivery.payload)
    assert len(delivery.payload) == len(payload)
    assert difference.bit_count() == 1


@given(st.integers(0, 2**32), st.binary(min_size=1, max_size=40))
def test_truncate_cuts_off_the_end(seed: int, payload: bytes) -> None:
    (delivery,) = FaultyWire(Faults(truncate=1.0), random.Random(seed)).send(0.0, "c", payload)
    assert len(delivery.payload) < len(payload)
    assert payload.startswith(delivery.payload)


def test_an_empty_payload_cannot_be_damaged() -> None:
    wire = FaultyWire(Faults(truncate=1.0, flip=1.0), random.Random(1))
    assert wire.send(0.0, "c", b"") == [Delivery(0.0, "c", b"")]


def test_only_faults_that_reorder_make_a_line_unordered() -> None:
    assert Faults(drop=1, delay=1, truncate=1, flip=1, latency_s=1).ordered
    assert not Faults(reorder=0.1).ordered
    assert not Faults(double=0.1).ordered


@pytest.mark.parametrize("name", [field.name for field in fields(Faults)])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_rate_or_time_that_makes_no_sense_is_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidValueError, match=name):
        Faults(**{name: value})


@pytest.mark.parametrize("name", ["drop", "double", "delay", "reorder", "truncate", "flip"])
def test_a_rate_is_at_most_one(name: str) -> None:
    with pytest.raises(InvalidValueError, match=name):
        Faults(**{name: 1.1})

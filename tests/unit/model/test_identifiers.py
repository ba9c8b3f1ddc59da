from __future__ import annotations

from random import Random
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invctl.errors import InvalidValueError
from invctl.model import identifiers

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
bodies = st.text(alphabet=CROCKFORD, min_size=5, max_size=12)


@given(bodies, st.data())
def test_every_single_wrong_character_of_a_reservation_id_is_found(body: str, data: st.DataObject) -> None:
    whole = body + identifiers._check_character(body)
    assert identifiers.is_whole_reservation_body(whole)
    at = data.draw(st.integers(0, len(whole) - 1))
    for wrong in CROCKFORD.replace(whole[at], ""):
        assert not identifiers.is_whole_reservation_body(whole[:at] + wrong + whole[at + 1 :])


def test_swapped_neighbours_are_found_except_the_two_that_luhn_cannot_tell_apart() -> None:
    unseen = set()
    for left in CROCKFORD:
        for right in CROCKFORD:
            body = f"7K{left}{right}Q"
            swapped = f"7K{right}{left}Q" + identifiers._check_character(body)
            if left != right and identifiers.is_whole_reservation_body(swapped):
                unseen.add(left + right)
    assert unseen == {"0Z", "Z0"}


def test_a_check_character_is_what_the_algorithm_says() -> None:
    # By hand, from the right, every other doubled: Q 23 -> 46 -> 1+14; 4; K 19 -> 38 -> 1+6; 7; R 24 -> 48 -> 1+16.
    assert (15 + 4 + 7 + 7 + 17) % 32 == 18
    assert identifiers._check_character("R7K4Q") == CROCKFORD[32 - 18]


@given(st.integers(0, 2**32), st.integers(5, 12))
def test_a_new_reservation_id_is_whole_and_reads_back(seed: int, random_chars: int) -> None:
    drawn = identifiers.new_reservation_id(Random(seed), random_chars)
    body = identifiers.reservation_body(drawn)
    assert drawn == f"R-{body}"
    assert len(body) == random_chars + 1
    assert identifiers.is_whole_reservation_body(body)


def test_new_reservation_ids_use_every_character_in_every_place() -> None:
    chance = Random(1)
    drawn = [identifiers.new_reservation_id(chance)[2:] for _ in range(2000)]
    assert [set(column) for column in zip(*drawn, strict=True)] == [set(CROCKFORD)] * 6


@pytest.mark.parametrize(
    ("typed", "body"),
    [
        ("R-7K4QM2", "7K4QM2"),
        ("r-7k4qm2", "7K4QM2"),
        ("7k4qm2", "7K4QM2"),
        ("  R-7K4 ", "7K4"),
        ("R-OIL", "011"),
        ("r-oil", "011"),
        ("RRR", "RRR"),
    ],
)
def test_a_typed_reservation_id_reads_as_crockford_does(typed: str, body: str) -> None:
    assert identifiers.reservation_body(typed) == body


@pytest.mark.parametrize(
    "typed", ["", "R-", "R-7K", "7K", "R-7K4U", "R-7K4-QM2", "R-7K4 QM2", "R-7K\u00df", "7K\u0664", "R-\uff17K4"]
)
def test_what_is_no_reservation_id_is_refused(typed: str) -> None:
    with pytest.raises(InvalidValueError, match="not a reservation id") as caught:
        identifiers.reservation_body(typed)
    assert "R-7K4QMQ" in caught.value.hint


def test_a_prefix_is_not_taken_for_a_whole_id() -> None:
    body = identifiers.reservation_body(identifiers.new_reservation_id(Random(5)))
    assert not any(identifiers.is_whole_reservation_body(body[:length]) for length in range(3, 6))


@pytest.mark.parametrize("store", ["a", "0", "downtown", "store-117", "a" * 32, "a-"])
def test_a_store_id_is_taken_as_it_is(store: str) -> None:
    assert identifiers.check_store(store) == store
    assert identifiers.is_store(store)


@pytest.mark.parametrize(
    "store", ["", "-a", "A", "down town", "a" * 33, "a:b", "a*", "a\n", "\u00e9", "a_b", "a.b", "\u0661"]
)
def test_what_is_no_store_id_is_refused(store: str) -> None:
    with pytest.raises(InvalidValueError, match="not a store id"):
        identifiers.check_store(store)
    assert not identifiers.is_store(store)


@pytest.mark.parametrize("value", [None, 1, b"downtown", ["downtown"], True])
def test_what_is_no_text_is_no_store(value: object) -> None:
    assert not identifiers.is_store(value)


def test_the_slot_of_a_store_is_frozen() -> None:
    # Channels, leases and shards go by it: it may never change.
    slots = {store: identifiers.slot_of(store) for store in ("downtown", "midtown", "brooklyn")}
    assert slots == {"downtown": 9, "midtown": 60, "brooklyn": 24}
    assert slots == {store: crc32(store.encode()) % 64 for store in slots}
    assert {identifiers.slot_of(f"store-{number}") for number in range(2000)} == set(range(64))


@pytest.mark.parametrize(
    ("typed", "sku"),
    [
        ("MOUSE-001", "MOUSE-001"),
        (" mouse-001 ", "MOUSE-001"),
        ("0", "0"),
        ("A.B_C/D+E-F", "A.B_C/D+E-F"),
        ("a" * 64, "A" * 64),
    ],
)
def test_a_sku_is_kept_in_upper_case(typed: str, sku: str) -> None:
    assert identifiers.parse_sku(typed) == sku


@pytest.mark.parametrize("typed", ["", " ", "-A", "A B", "A" * 65, "A=2", "A\nB", "A*", "\u00c4", "A\u0000"])
def test_what_is_no_sku_is_refused(typed: str) -> None:
    with pytest.raises(InvalidValueError, match="not a SKU"):
        identifiers.parse_sku(typed)


@pytest.mark.parametrize("typed", ["ma\u00df", "\u017f1", "\ufb01", "\u0131"])
def test_a_letter_whose_upper_case_is_ascii_is_not_another_sku(typed: str) -> None:
    assert typed.upper().isascii()
    with pytest.raises(InvalidValueError):
        identifiers.parse_sku(typed)
    with pytest.raises(InvalidValueError):
        identifiers.reservation_body("R-7K4QM" + typed)


@pytest.mark.parametrize("request_id", ["1", "a" * 128, "till-3/2026-11-24#17", "~!"])
def test_a_request_id_is_taken_as_it_is(request_id: str) -> None:
    assert identifiers.check_request_id(request_id) == request_id


@pytest.mark.parametrize("request_id", ["", "a" * 129, "a b", "a\n", "\u00e9", "\x7f"])
def test_what_is_no_request_id_is_refused(request_id: str) -> None:
    with pytest.raises(InvalidValueError, match="not a request id"):
        identifiers.check_request_id(request_id)


def test_an_event_id_keeps_its_leading_zeros() -> None:
    class Least:
        def getrandbits(self, k: int, /) -> int:
            assert k == 128
            return 1

    assert identifiers.new_event_id(Least()) == "0" * 31 + "1"

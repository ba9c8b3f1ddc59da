from __future__ import annotations

from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from invctl.model.chain import GENESIS, HASH_BYTES, link, links

bodies = st.lists(st.binary(max_size=40), min_size=1, max_size=6)


def test_the_hash_of_a_first_event_is_frozen() -> None:
    # Every ledger and every archive depends on it: it may never change.
    first = link(GENESIS, 1, b'{"a":1}')
    assert first.hex() == "061ecbd61bb75b3a48957923c24a016f4dd32ccd61a75d434b9634dbf023a98a"
    assert link(first, 2, b"").hex() == "c63e9df4c1d6d7b6c2187dd734ed6b24750c2056f67b10fa00191f23bda8d486"


def test_the_hash_is_blake2b_over_the_one_before_the_seq_and_the_bytes() -> None:
    plain = bytes(32) + bytes.fromhex("0000000000000001") + b"body"
    assert link(GENESIS, 1, b"body") == blake2b(plain, digest_size=32).digest()
    assert (GENESIS.hex(), HASH_BYTES) == ("00" * 32, 32)


@given(bodies, st.integers(1, 2**40))
def test_a_run_of_hashes_is_the_links_one_by_one(run: list[bytes], first_seq: int) -> None:
    by_hand = []
    last = GENESIS
    for offset, body in enumerate(run):
        last = link(last, first_seq + offset, body)
        by_hand.append(last)
    assert links(GENESIS, first_seq, run) == by_hand


@given(bodies, st.data())
def test_any_other_history_has_another_hash(run: list[bytes], data: st.DataObject) -> None:
    whole = links(GENESIS, 1, run)[-1]
    at = data.draw(st.integers(0, len(run) - 1))
    others = [
        [*run[:at], run[at] + b"\0", *run[at + 1 :]],
        [*run[:at], b"", *run[at:]],
        run[:at] + run[at + 1 :],
        [b"".join(run)] if len(run) > 1 else [run[0], b""],
    ]
    for other in others:
        assert links(GENESIS, 1, other)[-1:] != [whole]
    assert links(GENESIS, 2, run)[-1] != whole
    assert links(whole, 1, run)[-1] != whole


def test_seqs_up_to_the_largest_have_a_hash() -> None:
    assert link(GENESIS, 2**64 - 1, b"") != link(GENESIS, 2**63, b"")
    assert links(GENESIS, 1, []) == []

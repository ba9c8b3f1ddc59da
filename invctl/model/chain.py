"""The hash chain over a store's events: two ledgers with the same hash at the same seq are equal up to there.

`hash = blake2b-256(prev_hash || seq as 8 bytes big-endian || bytes)`; the first `prev_hash` is 32 zero bytes.
"""

from __future__ import annotations

# hashlib's own blake2b; hashlib itself loads OpenSSL, which costs a clerk's command 3 ms.
from _blake2 import blake2b
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

HASH_BYTES = 32
GENESIS = bytes(HASH_BYTES)


class Head(NamedTuple):
    """The last event of a ledger: its seq and its hash (seq 0 and zeros where there is none)."""

    seq: int
    hash: bytes


class Run(NamedTuple):
    """Consecutive events after some seq, with the hashes before the first and after the last of them."""

    prev_hash: bytes
    bodies: list[bytes]
    last_hash: bytes


def link(prev_hash: bytes, seq: int, body: bytes) -> bytes:
    """Return the hash of the event with this `seq` and these stored bytes, after `prev_hash`."""
    return blake2b(prev_hash + seq.to_bytes(8, "big") + body, digest_size=HASH_BYTES).digest()


def links(prev_hash: bytes, first_seq: int, bodies: Iterable[bytes]) -> list[bytes]:
    """Return the hash of each of a run of events that begins at `first_seq`."""
    hashes = []
    for seq, body in enumerate(bodies, first_seq):
        prev_hash = link(prev_hash, seq, body)
        hashes.append(prev_hash)
    return hashes

"""The outbox in memory, on which the protocol is tried, answers as a ledger does."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from invctl.clock import ManualClock
from invctl.ledger.outbox import LedgerOutbox
from tests.simulation.outbox import MemoryOutbox
from tests.unit.ledger.support import new_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from invctl.sync.shipper import Outbox

SKUS = {f"SKU-{number}": number for number in range(1, 8)}


@pytest.fixture
def outboxes(tmp_path: Path) -> Iterator[tuple[Outbox, Outbox]]:
    """A ledger's outbox, and one in memory with the same events."""
    with new_ledger(tmp_path / "downtown", ManualClock(), **SKUS) as ledger:
        twin = MemoryOutbox(ledger.store.store)
        twin.append(*(bytes(body) for (body,) in ledger.rows("SELECT body FROM events ORDER BY seq")))
        assert len(twin.bodies) > len(SKUS)
        yield LedgerOutbox(ledger), twin


def test_they_name_the_same_ledger(outboxes: tuple[Outbox, Outbox]) -> None:
    ledger, twin = outboxes
    assert (twin.store, twin.epoch, twin.first_hash, twin.head()) == (
        *(ledger.store, ledger.epoch, ledger.first_hash, ledger.head()),
    )


def test_they_have_the_same_hashes(outboxes: tuple[Outbox, Outbox]) -> None:
    ledger, twin = outboxes
    seqs = range(ledger.head().seq + 3)
    assert [twin.hash_at(seq) for seq in seqs] == [ledger.hash_at(seq) for seq in seqs]


def test_they_give_the_same_runs(outboxes: tuple[Outbox, Outbox]) -> None:
    ledger, twin = outboxes
    for after_seq, events_max, bytes_max in product(range(ledger.head().seq + 3), (1, 2, 100), (1, 500, 100_000)):
        assert twin.read(after_seq, events_max, bytes_max) == ledger.read(after_seq, events_max, bytes_max)

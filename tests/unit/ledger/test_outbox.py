from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from invctl.errors import NotEnoughStockError, NotFoundError
from invctl.ledger import bulk, outbox, products, reads, reservations, seeding
from invctl.ledger.disk import DiskLowError
from invctl.ledger.outbox import LedgerOutbox
from invctl.model.chain import GENESIS, Head, Run, links
from invctl.settings import POKE_FILE, RUN
from tests.unit.ledger.support import HOLD_S, head, hold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from invctl.clock import ManualClock
    from invctl.ledger.ledger import Ledger


def bodies(ledger: Ledger) -> list[bytes]:
    return [body for (body,) in ledger.rows("SELECT body FROM events ORDER BY seq")]


def test_the_bytes_leave_as_they_are_stored_with_the_hashes_at_both_ends(ledger: Ledger) -> None:
    box = LedgerOutbox(ledger)
    stored = bodies(ledger)
    hashes = links(GENESIS, 1, stored)
    assert (box.store, box.epoch, box.first_hash) == ("downtown", 1, hashes[0])
    assert box.head() == Head(len(stored), hashes[-1])
    assert box.read(0, 256, 1 << 18) == Run(GENESIS, stored, hashes[-1])
    assert box.read(2, 256, 1 << 18) == Run(hashes[1], stored[2:], hashes[-1])
    assert box.read(2, 2, 1 << 18) == Run(hashes[1], stored[2:4], hashes[3])
    assert box.read(len(stored), 256, 1 << 18) == Run(hashes[-1], [], hashes[-1])


def test_a_batch_stays_below_its_bytes_but_has_one_event_at_least(ledger: Ledger) -> None:
    box = LedgerOutbox(ledger)
    stored = bodies(ledger)
    two = len(stored[0]) + len(stored[1])
    assert box.read(0, 256, two).bodies == stored[:2]
    assert box.read(0, 256, two - 1).bodies == stored[:1]
    assert box.read(0, 256, 1).bodies == stored[:1]


def test_a_hash_is_known_as_far_as_the_ledger_reaches(ledger: Ledger) -> None:
    box = LedgerOutbox(ledger)
    assert box.hash_at(0) == GENESIS
    assert box.hash_at(head(ledger)) == box.head().hash
    assert box.hash_at(head(ledger) + 1) is None


def test_what_is_learnt_of_central_is_kept_and_costs_no_event(ledger: Ledger, clock: ManualClock) -> None:
    before = head(ledger)
    outbox.remember_link(ledger, acked_seq=5, state="up", reason="", suspects=1)
    answered_us = clock.now_us()
    clock.advance(60)
    outbox.remember_link(ledger, acked_seq=5, state="unknown", reason="silent", suspects=1)
    assert reads.link(ledger) == (5, answered_us, "unknown", "silent", 1)
    outbox.remember_link(ledger, acked_seq=2, state="refused", reason="not admitted", suspects=0)
    assert reads.link(ledger) == (2, clock.now_us(), "refused", "not admitted", 0)
    assert head(ledger) == before
    # It waits for no flush, and what a clerk writes after it does.
    assert ledger.connection.pragma("synchronous") == 2


class TestPoke:
    """The daemon is told of what was committed, and of what was refused, of nothing else, and need not be there."""

    @pytest.fixture
    def daemon(self, ledger: Ledger) -> Iterator[int]:
        (ledger.home / RUN).mkdir()
        os.mkfifo(ledger.home / RUN / POKE_FILE)
        fd = os.open(ledger.home / RUN / POKE_FILE, os.O_RDONLY | os.O_NONBLOCK)
        # Held open for writing, too, so that an empty pipe is no end of file.
        writer = os.open(ledger.home / RUN / POKE_FILE, os.O_WRONLY)
        yield fd
        os.close(writer)
        os.close(fd)

    @staticmethod
    def drained(fd: int) -> bytes:
        try:
            return os.read(fd, 4096)
        except BlockingIOError:
            return b""

    def test_once_for_each_transaction_that_brought_events(
        self, ledger: Ledger, daemon: int, clock: ManualClock
    ) -> None:
        key = hold(ledger, LAPTOP=10)
        assert self.drained(daemon) == b"!"
        clock.advance(HOLD_S)
        with pytest.raises(NotEnoughStockError):
            hold(ledger, LAPTOP=11)
        assert self.drained(daemon) == b"not_enough_stock!!", "the expiry was committed"
        with pytest.raises(NotEnoughStockError):
            hold(ledger, LAPTOP=11)
        assert self.drained(daemon) == b"not_enough_stock!"
        products.edit(ledger, "MOUSE", {"price": None})
        outbox.remember_link(ledger, acked_seq=5, state="up", reason="", suspects=1)
        reads.reservation(ledger, key)
        seeding.reset(ledger, dry_run=True)
        # What is only tried is nobody's refusal, be it of the stock or of the disk.
        for lines in ([bulk.Line(1, "LAPTOP", -11, "damaged")], [bulk.Line(1, "LAPTOP", 1, "received")]):
            with pytest.raises((NotEnoughStockError, DiskLowError)):
                bulk.adjust(ledger, lines, dry_run=True)
            ledger.reserve_bytes = 1 << 62
        assert self.drained(daemon) == b""

    @pytest.mark.usefixtures("daemon")
    def test_nothing_waits_for_a_daemon_that_does_not_read(self, ledger: Ledger) -> None:
        with pytest.raises(BlockingIOError):
            fill(ledger)
        assert head(ledger) == 6
        reservations.reserve(ledger, {"MOUSE": 1})
        assert head(ledger) == 7

    def test_none_is_needed(self, ledger: Ledger) -> None:
        hold(ledger, MOUSE=1)
        (ledger.home / RUN).mkdir()
        os.mkfifo(ledger.home / RUN / POKE_FILE)
        hold(ledger, MOUSE=1)
        assert head(ledger) == 8


def fill(ledger: Ledger) -> None:
    """Fill the pipe until it takes no more."""
    fd = os.open(ledger.home / RUN / POKE_FILE, os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(fd, b"!" * 4096)
    finally:
        os.close(fd)


def test_what_is_no_pipe_is_not_written_into(ledger: Ledger) -> None:
    (ledger.home / RUN).mkdir()
    precious = ledger.home / "precious"
    precious.write_text("kept")
    (ledger.home / RUN / POKE_FILE).symlink_to(precious)
    products.add(ledger, "MOUSE-001", "Mouse")
    with pytest.raises(NotFoundError):
        reservations.reserve(ledger, {"GHOST": 1})
    assert precious.read_text() == "kept"

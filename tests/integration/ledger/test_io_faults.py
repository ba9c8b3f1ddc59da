"""A disk that is full, fails, or loses its power at any write: what was acknowledged is there, the rest is not.

Each run fails one write, one truncation or one flush of a short day, at the first, at the second, and so on.
"""

from __future__ import annotations

import shutil
from random import Random
from typing import TYPE_CHECKING

import pytest

from invctl.clock import ManualClock
from invctl.errors import InventoryError, RefusedError
from invctl.ledger import adjustments, disk, products, reservations
from invctl.ledger.database import UncertainError
from invctl.ledger.ledger import FILE, Ledger
from invctl.ledger.outbox import remember_link
from invctl.ledger.writing import Origin
from tests.integration.ledger.faulty_disk import Disk, Fault, faulty_disk
from tests.unit.ledger.support import assert_sound, hold, key_of, new_ledger, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from invctl.ledger.writing import Receipt

pytestmark = pytest.mark.fault_tolerance

# So few pages that the log is folded in several times a day: then the file itself is written.
FOLD_EVERY_PAGES = 24


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store, to be copied."""
    home = tmp_path_factory.mktemp("morning")
    new_ledger(home, ManualClock(), MOUSE=100, LAPTOP=50).close()
    return home


class Day:
    """A short day of a store, of which it is known what was acknowledged."""

    def __init__(self, home: Path, seed: int) -> None:
        self.chance = Random(seed)
        self.clock = ManualClock()
        self.home = home
        self.acknowledged: list[tuple[int, bytes]] = []
        self.refused: list[InventoryError] = []
        self._open: list[str] = []

    def open(self) -> Ledger:
        ledger = Ledger.open(self.home, clock=self.clock, chance=Random(self.chance.random()))
        ledger.connection.execute(f"PRAGMA wal_autocheckpoint = {FOLD_EVERY_PAGES}").fetchall()
        return ledger

    def work(self, ledger: Ledger) -> None:
        """Do something of everything, whatever is refused."""
        # Each twice: what failed once is tried again, in the same process.
        for what in (self._reserve, self._end, self._correct, self._note, self._expire, self._add) * 2:
            try:
                receipt = what(ledger)
            except RefusedError as error:
                self.refused.append(error)
                continue
            if receipt is not None:
                self.acknowledged.append((receipt.seq, receipt.body))

    def work_by_commands(self, bad_disk: Disk) -> None:
        """Do the same, each with the ledger opened for it alone, until the power is off."""
        for what in (self._reserve, self._end, self._correct, self._note, self._expire, self._add) * 2:
            try:
                with self.open() as ledger:
                    # Folded, it would be flushed anew.
                    ledger.connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
                    receipt = what(ledger)
            except RefusedError as error:
                self.refused.append(error)
                if bad_disk.is_off:
                    return
                continue
            if receipt is not None:
                self.acknowledged.append((receipt.seq, receipt.body))

    def check(self) -> None:
        """Look at what is there after all processes have ended."""
        with Ledger.open(self.home, clock=self.clock) as ledger:
            there = dict(ledger.rows("SELECT seq, body FROM events"))
            for seq, body in self.acknowledged:
                assert there[seq] == body
            # It goes on.
            hold(ledger, MOUSE=1)
            assert_sound(ledger)

    def _reserve(self, ledger: Ledger) -> Receipt:
        receipt = reservations.reserve(ledger, {"MOUSE": 2, "LAPTOP": 1}, order=f"A-{self.chance.random()}")
        self._open.append(key_of(receipt))
        return receipt

    def _end(self, ledger: Ledger) -> Receipt | None:
        if not self._open:
            return None
        receipt = reservations.confirm(ledger, self._open[-1], {"MOUSE": 1})
        self._open.pop()
        return receipt

    def _correct(self, ledger: Ledger) -> Receipt:
        return adjustments.adjust(ledger, {"MOUSE": -1}, "damaged")

    def _note(self, ledger: Ledger) -> None:
        remember_link(ledger, acked_seq=self.chance.randrange(3), state="up", reason="", suspects=0)

    def _expire(self, ledger: Ledger) -> None:
        hold(ledger, LAPTOP=1, hold_s=1)
        self.clock.advance(2)
        reservations.expire(ledger)

    def _add(self, ledger: Ledger) -> Receipt:
        return products.add(ledger, f"CABLE-{self.chance.randrange(10**6)}", "Cable")


@pytest.fixture
def bad_disk() -> Iterator[Disk]:
    with faulty_disk() as bad:
        yield bad


def days(morning: Path, folder: Path) -> Callable[[int], Day]:
    def new(seed: int) -> Day:
        home = folder / str(seed)
        shutil.copytree(morning, home)
        return Day(home, seed)

    return new


def calls_of_a_day(bad_disk: Disk, day: Day) -> int:
    """Count what can fail."""
    bad_disk.fail(Fault.FULL, 0, lasting=False)
    with day.open() as ledger:
        day.work(ledger)
    assert not day.refused
    assert len(day.acknowledged) == 8
    calls = bad_disk.calls
    day.check()
    return calls


@pytest.mark.slow
@pytest.mark.parametrize("lasting", [False, True])
def test_whichever_write_fails_nothing_is_half_written(
    morning: Path, tmp_path: Path, bad_disk: Disk, lasting: bool
) -> None:
    new = days(morning, tmp_path)
    calls = calls_of_a_day(bad_disk, new(0))
    assert calls > 100
    failed = 0
    faults = list(Fault)
    for at in range(1, calls + 1, 3 if lasting else 1):
        day = new(at)
        with day.open() as ledger:
            bad_disk.fail(faults[at % len(faults)], at, lasting=lasting)
            day.work(ledger)
            failed += bool(bad_disk.failed)
            assert day.refused or not bad_disk.failed or not lasting
            # Readers go on.
            assert ledger.row("SELECT count(*) FROM stock")
            bad_disk.mend()
            hold(ledger, MOUSE=1)
        assert all("disk" in error.message for error in day.refused), day.refused
        # What fails is the disk, not what is on it.
        assert disk.noted(day.home / FILE) is None
        day.check()
        shutil.rmtree(day.home)
    assert failed > calls // (3 if lasting else 1) * 0.9


def cut_off(day: Day, ledger: Ledger, bad_disk: Disk, at: int) -> None:
    """Let the power be cut at a write of the day, and look at what is there afterwards."""
    bad_disk.cut_power(at)
    day.work(ledger)
    ledger.close()
    bad_disk.come_back(Random(at))
    (day.home / f"{FILE}-shm").unlink()
    day.check()


@pytest.mark.slow
def test_a_power_cut_at_any_write_takes_nothing_that_was_acknowledged(
    morning: Path, tmp_path: Path, bad_disk: Disk
) -> None:
    new = days(morning, tmp_path)
    calls = calls_of_a_day(bad_disk, new(0))
    cut = 0
    for at in range(1, calls + 1):
        day = new(at)
        cut_off(day, day.open(), bad_disk, at)
        cut += bool(day.refused)
        shutil.rmtree(day.home)
    assert cut > calls * 0.9


def test_without_a_flush_at_each_commit_a_power_cut_is_noticed(
    morning: Path, tmp_path: Path, bad_disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above would say of a ledger that does not wait for its disk."""
    new = days(morning, tmp_path)
    lost = 0
    for at in range(20, 120, 20):
        day = new(at)
        # The daemon's note sets it right again.
        monkeypatch.setattr(day, "_note", lambda _: None)
        ledger = day.open()
        ledger.connection.execute("PRAGMA synchronous = OFF")
        try:
            cut_off(day, ledger, bad_disk, at)
        except (KeyError, AssertionError, InventoryError):
            lost += 1
    assert lost


def test_what_the_disk_did_not_flush_is_not_done_for_whoever_comes_next(
    morning: Path, tmp_path: Path, bad_disk: Disk
) -> None:
    """Nobody else has the file open, so the next command reads the log from its beginning."""
    day = days(morning, tmp_path)(1)
    with day.open() as ledger:
        before = tables(ledger)
        bad_disk.fail(Fault.FLUSH, 1, lasting=False)
        with pytest.raises(RefusedError, match="the disk failed") as caught:
            hold(ledger, MOUSE=1)
        assert bad_disk.failed == 1
        assert "was not written" in caught.value.hint
    with day.open() as ledger:
        assert tables(ledger) == before
    day.check()


def test_what_a_kernel_forgot_at_a_flush_takes_nothing_that_was_acknowledged(
    morning: Path, tmp_path: Path, bad_disk: Disk
) -> None:
    """A flush fails, the kernel drops what it was to flush and calls the next one a success; later the power fails.

    Each operation is a command of its own, with no daemon: it finds what the last one left in the log.
    """
    new = days(morning, tmp_path)
    failed = 0
    for at in range(1, 70):
        day = new(at)
        bad_disk.cut_power(at + 12 + at % 20)
        bad_disk.fail(Fault.FORGET, at, lasting=False)
        day.work_by_commands(bad_disk)
        failed += bad_disk.failed
        bad_disk.mend()
        bad_disk.come_back(Random(at))
        (day.home / f"{FILE}-shm").unlink(missing_ok=True)
        day.check()
        shutil.rmtree(day.home)
    assert failed > 50


def test_where_the_disk_flushes_nothing_at_all_it_is_said_that_the_end_is_open(
    morning: Path, tmp_path: Path, bad_disk: Disk
) -> None:
    day = days(morning, tmp_path)(1)
    with day.open() as ledger:
        bad_disk.fail(Fault.FLUSH, 1, lasting=True)
        with pytest.raises(UncertainError) as caught:
            hold(ledger, MOUSE=1, origin=Origin("ann", "till-1"))
        assert (caught.value.code, "--request-id" in caught.value.hint) == ("uncertain", True)
        bad_disk.mend()
    with day.open() as ledger:
        first, again = (hold(ledger, MOUSE=1, origin=Origin("ann", "till-1")) for _ in range(2))
        assert first == again
    day.check()

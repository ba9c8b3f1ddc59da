"""Several processes at one ledger."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from invctl.clock import SystemClock
from invctl.errors import BusyError, NotEnoughStockError
from invctl.ledger import database, migrations, reads, reservations
from invctl.ledger.ledger import FILE, Ledger
from invctl.ledger.writers import WriterQueue
from invctl.ledger.writing import NOBODY, Move
from invctl.model import events
from tests.integration.ledger.processes import working
from tests.unit.ledger.support import assert_sound, head, hold, level, new_ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import apsw

pytestmark = pytest.mark.concurrency

PROCESSES = 8


def test_of_many_who_want_the_last_units_exactly_so_many_get_one(tmp_path: Path) -> None:
    units = 100
    with new_ledger(tmp_path, SystemClock(), MOUSE=units) as ledger:
        before = head(ledger)
        with working(PROCESSES, "race", tmp_path) as workers:
            for worker in workers:
                worker.tell()
            counts = [worker.hear() for worker in workers]
        assert sum(count["accepted"] for count in counts) == units
        assert [count["refused"] for count in counts] == [1] * PROCESSES
        assert sum(count["busy"] for count in counts) == 0
        assert level(ledger, "MOUSE") == (units, units, units + 1)
        assert head(ledger) == before + units
        assert_sound(ledger)


def test_everyone_gets_a_fair_share_of_the_turns(tmp_path: Path) -> None:
    turns = 50 * PROCESSES
    with (
        new_ledger(tmp_path, SystemClock(), MOUSE=1_000_000) as ledger,
        working(PROCESSES, "take_turns", tmp_path) as workers,
    ):
        for worker in workers:
            worker.tell()
        # Only what happens when all of them are there is a matter of the queue.
        begun = max(worker.hear() for worker in workers)
        while head(ledger) < begun + turns:
            os.sched_yield()
        for worker in workers:
            worker.tell()
        shares = [sum(begun < seq <= begun + turns for seq in worker.hear()) for worker in workers]
    assert sum(shares) == turns
    # Jain's index: 1 where all have the same, 1/n where one has everything.
    # https://en.wikipedia.org/wiki/Fairness_measure
    fairness = sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))
    assert fairness >= 0.8, shares


def test_two_threads_each_with_a_ledger_of_its_own(tmp_path: Path) -> None:
    units, accepted = 60, list[int]()

    def take() -> None:
        with Ledger.open(tmp_path) as mine:
            try:
                while True:
                    accepted.append(reservations.reserve(mine, {"MOUSE": 1}).seq)
            except NotEnoughStockError:
                return

    with new_ledger(tmp_path, SystemClock(), MOUSE=units) as ledger:
        threads = [threading.Thread(target=take) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(accepted)) == len(accepted) == units
        assert_sound(ledger)


def test_no_reader_waits_for_a_writer(tmp_path: Path) -> None:
    with (
        new_ledger(tmp_path, SystemClock(), MOUSE=5) as ledger,
        working(1, "stay", tmp_path),
        Ledger.open(tmp_path) as reader,
    ):
        # It would be told "busy" at once, where it had to wait.
        reader.connection.set_busy_timeout(0)
        ((row,), seq) = reads.stock(reader)
        assert (row.on_hand, seq) == (5, head(ledger))
        assert reads.history(reader)
        assert_sound(reader)


class Deferred:
    """A connection that begins without asking for the write lock: the bug, planted."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *bindings: Any) -> Any:
        return self._connection.execute("BEGIN" if sql == "BEGIN IMMEDIATE" else sql, *bindings)


def sell_out(ledger: Ledger, between: Callable[[], object]) -> None:
    """Reserve all there is, with something happening between the look and the write."""
    with ledger.write() as write:
        available = write.level("MOUSE").available
        between()
        write.append(events.STOCK_ADJUSTED, "MOUSE", {}, NOBODY, [Move("MOUSE", -available, 0, {})])
        write.commit()


def test_a_writer_that_began_by_reading_would_be_refused(tmp_path: Path) -> None:
    """Without BEGIN IMMEDIATE, whoever wrote in between makes the write fail, at once and whatever the timeout."""
    with new_ledger(tmp_path, SystemClock(), MOUSE=5) as ledger, Ledger.open(tmp_path) as other:
        # The queue would keep the two apart by itself.
        other._queue = WriterQueue(str(tmp_path / "elsewhere"), 1.0)
        other.connection.set_busy_timeout(0)
        sound, ledger.connection = ledger.connection, Deferred(ledger.connection)  # type: ignore[assignment] # the plant
        with pytest.raises(BusyError, match="the ledger is busy"):
            sell_out(ledger, lambda: hold(other, MOUSE=1))
        ledger.connection = sound

        def refused() -> None:
            with pytest.raises(BusyError):
                hold(other, MOUSE=1)

        reservations.cancel(ledger, reads.reservations(ledger)[0].reservation)
        sell_out(ledger, refused)
        assert level(ledger, "MOUSE")[:2] == (0, 0)
        with pytest.raises(NotEnoughStockError):
            hold(other, MOUSE=1)


def test_of_many_who_open_a_store_at_once_one_does(tmp_path: Path) -> None:
    for number in range(3):
        home = tmp_path / str(number)
        with working(4, "create", home, "downtown") as workers:
            for worker in workers:
                worker.tell()
            said = [worker.hear() for worker in workers]
        assert said.count("done") == 1
        refused = [answer for answer in said if answer != "done"]
        assert refused == [["refused", "there is a ledger here already, of store downtown"]] * 3
        with Ledger.open(home) as ledger:
            assert head(ledger) == 1
            assert_sound(ledger)


def test_two_who_migrate_one_file_at_once_both_find_it_up_to_date(tmp_path: Path) -> None:
    database.connect(tmp_path / FILE, create=True).close()
    with working(2, "migrate", tmp_path) as workers:
        for worker in workers:
            worker.tell()
        assert [worker.hear() for worker in workers] == [migrations.NEWEST] * 2
    with new_ledger(tmp_path, SystemClock(), MOUSE=1) as ledger:
        assert_sound(ledger)

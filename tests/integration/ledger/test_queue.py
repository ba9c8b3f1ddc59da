"""The queue of writers when somebody in it stops, gives up, or dies."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from invctl.clock import SystemClock
from invctl.errors import BusyError
from invctl.ledger import reads, writers
from invctl.ledger.database import Patience
from invctl.ledger.ledger import Ledger
from invctl.ledger.writers import WriterQueue
from tests.integration.ledger.processes import queue_locks, working
from tests.unit.ledger.support import assert_sound, head, hold, new_ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.concurrency

# How long a test is ready to stand in the queue where it must not get in; it is never waited for otherwise.
HURRY_S = 0.05
PATIENT_S = 60.0
ENDLESS_S = 3600.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with new_ledger(tmp_path, SystemClock(), MOUSE=100) as ledger:
        yield ledger
        hold(ledger, MOUSE=1)
        assert_sound(ledger)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Count who has taken a place, whether or not the turn has come."""
    taken = threading.Semaphore(0)
    take_place = writers._take_place

    def take(fd: int) -> int:
        place = take_place(fd)
        taken.release()
        return place

    monkeypatch.setattr(writers, "_take_place", take)
    return taken


@contextmanager
def queues(path: Path, count: int, timeout_s: float = PATIENT_S) -> Iterator[list[WriterQueue]]:
    found = [WriterQueue(str(path / "writers"), timeout_s) for _ in range(count)]
    yield found
    for queue in found:
        queue.close()


class Entering:
    """A thread that enters a queue, and says so."""

    def __init__(self, queue: WriterQueue, order: list[str], name: str) -> None:
        self._queue, self._order, self._name = queue, order, name
        self.entered = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        self._queue.enter()
        self._order.append(self._name)
        self.entered.set()


def test_first_come_first_served(tmp_path: Path, placed: threading.Semaphore) -> None:
    order: list[str] = []
    names = [f"waiting {number}" for number in range(8)]
    with queues(tmp_path, 1 + len(names)) as (first, *waiting):
        for _ in range(20):
            first.enter()
            assert placed.acquire(timeout=PATIENT_S)
            entering = []
            for queue, name in zip(waiting, names, strict=True):
                entering.append(Entering(queue, order, name))
                assert placed.acquire(timeout=PATIENT_S)
            # Whoever leaves and comes again at once is after all who wait.
            first.leave()
            again = Entering(first, order, "again")
            assert placed.acquire(timeout=PATIENT_S)
            for queue, thread in zip(waiting, entering, strict=True):
                assert thread.entered.wait(PATIENT_S)
                queue.leave()
            assert again.entered.wait(PATIENT_S)
            first.leave()
            assert order == [*names, "again"]
            order.clear()


def test_who_comes_with_an_earlier_moment_does_not_get_in_beside_one_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clocks need not agree, nor two processes lock in the order in which they looked at one."""
    # Whoever gave up and lost its place to the turn that came meanwhile takes a later moment.
    moments = itertools.chain([1000, 5, 5, 1000, 1001], itertools.count(2000))
    with monkeypatch.context() as patch, queues(tmp_path, 2, HURRY_S) as (inside, other):
        patch.setattr("invctl.ledger.writers.time.monotonic_ns", lambda: next(moments))
        inside.enter()
        with pytest.raises(BusyError):
            other.enter()
        assert next(moments) == 2000
        inside.leave()
        patiently(other.enter)


def test_two_with_an_equal_moment_are_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = itertools.chain([7, 7, 7, 8], itertools.count(2000))
    with monkeypatch.context() as patch, queues(tmp_path, 2, HURRY_S) as (inside, other):
        patch.setattr("invctl.ledger.writers.time.monotonic_ns", lambda: next(moments))
        inside.enter()
        with pytest.raises(BusyError):
            other.enter()
        inside.leave()
        patiently(other.enter)


def test_who_waits_too_long_is_told_and_gives_the_turn_back(tmp_path: Path) -> None:
    with queues(tmp_path, 3, HURRY_S) as (inside, hurried, other):
        inside.enter()
        with pytest.raises(BusyError, match=f"busy for {HURRY_S:g} s") as caught:
            hurried.enter()
        assert str(tmp_path / "writers") in caught.value.hint
        inside.leave()
        # The turn comes to the one that gave up, who passes it on.
        patiently(other.enter)
        other.leave()
        patiently(hurried.enter)
        hurried.leave()


def test_who_gives_up_again_and_again_stands_in_one_place_with_one_thread(tmp_path: Path) -> None:
    with queues(tmp_path, 2, 0.001) as (inside, hurried):
        inside.enter()
        with pytest.raises(BusyError):
            hurried.enter()
        threads, files = threading.active_count(), open_files()
        for _ in range(50):
            with pytest.raises(BusyError):
                hurried.enter()
        assert threading.active_count() == threads
        assert open_files() == files
        inside.leave()
        patiently(hurried.enter)
        with pytest.raises(BusyError):
            inside.enter()
        hurried.leave()
        patiently(inside.enter)


def test_who_gave_up_and_went_away_holds_nobody_up(tmp_path: Path) -> None:
    files = open_files()
    with queues(tmp_path, 3, HURRY_S) as (inside, hurried, other):
        inside.enter()
        with pytest.raises(BusyError):
            hurried.enter()
        hurried.close()
        inside.leave()
        patiently(other.enter)
        other.leave()
    while open_files() > files:
        os.sched_yield()


def patiently(enter: Callable[[], object]) -> None:
    """Try until one is let in, however often it takes: a test that never is runs into its time limit."""
    while True:
        try:
            enter()
        except BusyError:
            os.sched_yield()
        else:
            return


def beside(work: Callable[[], object]) -> Future[object]:
    """Work in a thread that does not keep the process, should it never end."""
    outcome: Future[object] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - not handled but carried to whoever asks
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome


@contextmanager
def interrupted_soon() -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, HURRY_S)
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGALRM, before)


def test_an_interrupt_while_waiting_leaves_the_place(tmp_path: Path) -> None:
    with queues(tmp_path, 2) as (inside, interrupted):
        inside.enter()
        with interrupted_soon():
            interrupted.enter()
        inside.leave()
        patiently(inside.enter)
        inside.leave()
        interrupted.enter()
        interrupted.leave()


def test_who_is_told_to_hurry_waits_no_longer_and_gets_in_where_nobody_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()
    wait = writers._Turn.wait

    def telling(turn: writers._Turn, timeout_s: float) -> None:
        begun.set()
        wait(turn, timeout_s)

    monkeypatch.setattr(writers._Turn, "wait", telling)
    with queues(tmp_path, 3, ENDLESS_S) as (inside, hurried, late):
        inside.enter()
        waiting = beside(hurried.enter)
        assert begun.wait(PATIENT_S)
        hurried.hurry()
        with pytest.raises(BusyError, match=r"the ledger has been busy$"):
            waiting.result(PATIENT_S)
        late.hurry()
        for queue in (hurried, late):
            with pytest.raises(BusyError):
                queue.enter()
        inside.leave()
        patiently(hurried.enter)
        hurried.leave()


def test_a_turn_that_comes_at_the_last_moment_is_taken(tmp_path: Path) -> None:
    # Time is up the moment that the wait begins, as the one inside leaves: either way nobody is left standing inside.
    with queues(tmp_path, 2, 0.0) as (inside, hurried):
        for _ in range(200):
            inside.enter()
            leaving = threading.Thread(target=inside.leave)
            leaving.start()
            try:
                hurried.enter()
            except BusyError:
                patiently(hurried.enter)
            hurried.leave()
            leaving.join()
            patiently(inside.enter)
            inside.leave()


@pytest.mark.fault_tolerance
def test_a_writer_stopped_inside_makes_the_others_busy_not_hang_and_its_death_lets_them_go_on(
    tmp_path: Path, ledger: Ledger
) -> None:
    before = head(ledger)
    with (
        Ledger.open(tmp_path, queue_timeout_s=HURRY_S) as hurried,
        working(1, "stay", tmp_path) as (stopped,),
    ):
        stopped.stop()
        for _ in range(3):
            with pytest.raises(BusyError):
                hold(hurried, MOUSE=1)
        assert reads.head_seq(hurried) == before
        stopped.kill()
        hold(ledger, MOUSE=1)
        patiently(lambda: hold(hurried, MOUSE=1))
    assert head(ledger) == before + 2


@pytest.mark.fault_tolerance
def test_a_writer_stopped_in_the_queue_is_no_worse(tmp_path: Path, ledger: Ledger) -> None:
    before = head(ledger)
    with Ledger.open(tmp_path, queue_timeout_s=HURRY_S) as hurried:
        with ledger.write(), working(1, "stand", tmp_path) as (stopped,):
            wait_until_somebody_waits(tmp_path)
            stopped.stop()
            with pytest.raises(BusyError):
                hold(hurried, MOUSE=1)
        # Its place was taken away with it, and nobody is inside any more.
        patiently(lambda: hold(hurried, MOUSE=1))
    assert head(ledger) == before + 1


def wait_until_somebody_waits(home: Path) -> None:
    # Nothing tells us, so we look.
    while not any("->" in lock for lock in queue_locks(home)):
        os.sched_yield()


@pytest.mark.fault_tolerance
def test_without_the_queue_sqlite_is_still_the_backstop(tmp_path: Path, ledger: Ledger) -> None:
    """Another program holds the ledger: the queue lets us in, SQLite says busy, and the queue is left again."""
    with Ledger.open(tmp_path) as foreign:
        ledger.connection.set_busy_timeout(1)
        foreign.connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError, match="the ledger is busy"):
            hold(ledger, MOUSE=1)
        foreign.connection.execute("ROLLBACK")
        hold(foreign, MOUSE=1)
        hold(ledger, MOUSE=1)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Let SQLite wait without an end, and count how often it asks whether to wait on."""
    monkeypatch.setattr("invctl.ledger.ledger.BUSY_TIMEOUT_S", ENDLESS_S)
    times = threading.Semaphore(0)
    wait = Patience.wait

    def counted(patience: Patience, calls: int) -> bool:
        times.release()
        return wait(patience, calls)

    monkeypatch.setattr(Patience, "wait", counted)
    return times


def test_another_program_is_waited_for(tmp_path: Path, asked: threading.Semaphore, ledger: Ledger) -> None:
    with Ledger.open(tmp_path) as foreign:
        foreign.connection.execute("BEGIN IMMEDIATE")
        waiting = beside(lambda: hold(ledger, MOUSE=1))
        for _ in range(3):
            assert asked.acquire(timeout=PATIENT_S)
        foreign.connection.execute("ROLLBACK")
        waiting.result(PATIENT_S)


def test_who_is_told_to_hurry_waits_for_no_other_program(
    tmp_path: Path, asked: threading.Semaphore, ledger: Ledger
) -> None:
    with Ledger.open(tmp_path) as foreign, Ledger.open(tmp_path) as hurried:
        foreign.connection.execute("BEGIN IMMEDIATE")
        waiting = beside(lambda: hold(hurried, MOUSE=1))
        assert asked.acquire(timeout=PATIENT_S)
        hurried.hurry()
        with pytest.raises(BusyError, match="the ledger is busy"):
            waiting.result(PATIENT_S)
        with pytest.raises(BusyError):
            hold(hurried, MOUSE=1)
        foreign.connection.execute("ROLLBACK")
        hold(hurried, MOUSE=1)


def test_an_interrupt_while_another_program_is_waited_for(
    tmp_path: Path, asked: threading.Semaphore, ledger: Ledger
) -> None:
    with Ledger.open(tmp_path) as foreign:
        foreign.connection.execute("BEGIN IMMEDIATE")
        with interrupted_soon():
            hold(ledger, MOUSE=1)
        assert asked.acquire(blocking=False)
        foreign.connection.execute("ROLLBACK")
        hold(foreign, MOUSE=1)

"""The circuit breaker, on a clock of its own: no call waits, and none is timed."""

from __future__ import annotations

import asyncio
import threading
from random import Random
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from invctl.clock import ManualClock
from invctl.errors import InvalidValueError, UnreachableError
from invctl.runtime.breaker import REFUSED, Breaker, Patience, State

pytestmark = pytest.mark.fault_tolerance

PATIENCE = Patience(failures_max=3, first_s=1.0, max_s=8.0)


class Unjittered:
    """Chance that cuts nothing off a wait."""

    def random(self) -> float:
        return 1.0


class Guarded:
    """A breaker around something that is there or away."""

    def __init__(self, patience: Patience = PATIENCE, chance: Any = None) -> None:
        self.clock = ManualClock()
        self.breaker = Breaker(
            "bus", clock=self.clock, chance=chance or Unjittered(), log=structlog.get_logger(), patience=patience
        )
        self.away = False
        self.attempts = 0

    def state(self) -> State:
        return self.breaker.state

    def call(self) -> bool:
        """Call once. Returns whether that succeeded."""
        try:
            with self.breaker.attempt():
                self._answer()
        except UnreachableError:
            return False
        return True

    def _answer(self) -> None:
        self.attempts += 1
        if self.away:
            raise UnreachableError("nobody is there", hint="look")

    def fail(self, times: int = PATIENCE.failures_max) -> None:
        self.away = True
        for _ in range(times):
            assert not self.call()


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


def test_it_opens_after_so_many_failures_in_a_row_and_attempts_nothing_more(guarded: Guarded) -> None:
    guarded.fail(2)
    guarded.away = False
    assert guarded.call()
    guarded.fail(2)
    assert guarded.state() is State.CLOSED
    guarded.fail(1)
    assert guarded.state() is State.OPEN
    before = guarded.attempts
    guarded.fail(100)
    assert guarded.attempts == before
    assert guarded.breaker.status().refused == 100


def test_a_refused_call_says_why_in_words_that_stay_true(guarded: Guarded) -> None:
    guarded.fail()
    guarded.clock.advance(0.4)
    with pytest.raises(UnreachableError) as raised, guarded.breaker.attempt():
        pytest.fail("it was attempted")
    assert raised.value.message == "bus is not asked, as it keeps failing: nobody is there"
    assert raised.value.hint == "look"
    assert raised.value.details == {"cause": REFUSED, "why": "nobody is there"}
    assert guarded.breaker.why_not() == "open since 2026-01-01T00:00:00.000000Z: nobody is there"


def test_waits_double_up_to_the_limit_and_begin_anew_after_a_success(guarded: Guarded) -> None:
    guarded.fail()
    waits = []
    for _ in range(5):
        now_us, attempt_us = guarded.clock.now_us(), guarded.breaker.status().next_attempt_us
        assert attempt_us is not None
        waits.append((attempt_us - now_us) / 1_000_000)
        guarded.clock.advance(waits[-1] - 0.001)
        before = guarded.attempts
        assert not guarded.call()
        assert guarded.attempts == before
        guarded.clock.advance(0.001)
        assert not guarded.call()
        assert guarded.attempts == before + 1
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0]
    guarded.away = False
    guarded.clock.advance(8.0)
    assert guarded.call()
    assert guarded.state() is State.CLOSED
    guarded.fail()
    guarded.clock.advance(1.0)
    guarded.away = False
    assert guarded.call()


def test_one_outage_is_open_since_its_beginning_however_many_probes_fail(guarded: Guarded) -> None:
    guarded.clock.advance(10.0)
    began_us = guarded.clock.now_us()
    guarded.fail()
    for _ in range(5):
        guarded.clock.advance(8.0)
        guarded.fail(1)
    status = guarded.breaker.status()
    assert (status.state, status.since_us, status.failures, status.opened) == (State.OPEN, began_us, 8, 1)
    assert status.as_dict() == {
        "state": "open",
        "since": "2026-01-01T00:00:10.000000Z",
        "failures": 8,
        "next_attempt_at": "2026-01-01T00:00:58.000000Z",
        "why": "nobody is there",
    }


def test_the_jitter_spreads_the_attempts_of_many() -> None:
    waits = set()
    for seed in range(50):
        guarded = Guarded(chance=Random(seed))
        guarded.fail()
        attempt_us = guarded.breaker.status().next_attempt_us
        assert attempt_us is not None
        waits.add(attempt_us - guarded.clock.now_us())
    assert len(waits) == 50
    assert all(500_000 <= wait <= 1_000_000 for wait in waits)


def test_a_wall_clock_that_jumps_neither_opens_nor_holds_up(guarded: Guarded) -> None:
    guarded.fail()
    guarded.clock.shift_wall(3600)
    before = guarded.attempts
    assert not guarded.call()
    assert guarded.attempts == before
    guarded.clock.shift_wall(-7200)
    guarded.clock.advance(1.0)
    guarded.away = False
    assert guarded.call()


async def test_half_open_it_lets_one_probe_through_and_that_decides(guarded: Guarded) -> None:
    guarded.fail()
    guarded.clock.advance(1.0)
    answer = asyncio.Event()

    async def probe() -> None:
        with guarded.breaker.attempt():
            await answer.wait()

    task = asyncio.create_task(probe())
    await asyncio.sleep(0)
    assert guarded.state() is State.HALF_OPEN
    assert guarded.breaker.status().next_attempt_us is None
    with pytest.raises(UnreachableError, match="is not asked, as it keeps failing"), guarded.breaker.attempt():
        pytest.fail("it was attempted")
    answer.set()
    await task
    assert guarded.state() is State.CLOSED


@pytest.mark.concurrency
def test_of_many_threads_one_is_the_probe(guarded: Guarded) -> None:
    guarded.fail()
    guarded.clock.advance(1.0)
    begin, through, refused = threading.Barrier(8), threading.Event(), threading.Semaphore(0)
    admitted = []

    def call() -> None:
        begin.wait()
        try:
            with guarded.breaker.attempt():
                admitted.append(threading.current_thread())
                through.wait()
        except UnreachableError:
            refused.release()

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(7):
        refused.acquire()
    through.set()
    for thread in threads:
        thread.join()
    assert len(admitted) == 1
    assert guarded.state() is State.CLOSED


async def test_a_probe_that_is_cancelled_decides_nothing_and_the_next_call_is_one(guarded: Guarded) -> None:
    guarded.fail()
    guarded.clock.advance(1.0)

    async def probe() -> None:
        with guarded.breaker.attempt():
            await asyncio.Event().wait()

    task = asyncio.create_task(probe())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert guarded.state() is State.OPEN
    guarded.away = False
    assert guarded.call()


def test_an_error_of_the_callers_own_says_nothing(guarded: Guarded) -> None:
    for _ in range(10):
        with pytest.raises(InvalidValueError), guarded.breaker.attempt():
            raise InvalidValueError("too short")
    assert guarded.state() is State.CLOSED
    guarded.fail(2)
    with pytest.raises(InvalidValueError), guarded.breaker.attempt():
        raise InvalidValueError("too short")
    guarded.fail(1)
    assert guarded.state() is State.OPEN


def test_what_was_begun_before_it_opened_decides_nothing_when_it_ends(guarded: Guarded) -> None:
    with guarded.breaker.attempt():
        guarded.fail()
    assert guarded.state() is State.OPEN
    with pytest.raises(UnreachableError), guarded.breaker.attempt():
        pytest.fail("it was attempted")


def test_heard_from_another_way_it_lets_calls_through_until_one_fails(guarded: Guarded) -> None:
    guarded.fail()
    guarded.away = False
    guarded.breaker.heard()
    assert guarded.call()
    guarded.fail()
    guarded.breaker.heard()
    assert guarded.state() is State.CLOSED
    before = guarded.attempts
    guarded.fail(2)
    assert guarded.state() is State.OPEN
    assert guarded.attempts == before + 1


def test_hearing_nothing_new_forgets_no_failure(guarded: Guarded) -> None:
    guarded.fail(2)
    guarded.breaker.heard()
    guarded.fail(1)
    assert guarded.state() is State.OPEN


def test_a_probe_that_fails_after_it_was_heard_does_not_open_it_again(guarded: Guarded) -> None:
    guarded.fail()
    guarded.clock.advance(1.0)
    probe = guarded.breaker.attempt()
    probe.__enter__()
    guarded.breaker.heard()
    assert not probe.__exit__(UnreachableError, UnreachableError("cut off"), None)
    assert guarded.state() is State.CLOSED


def test_an_outage_is_said_once_and_its_end_once(guarded: Guarded) -> None:
    changes: list[State] = []
    guarded.breaker.on_change(lambda: changes.append(guarded.state()))
    with capture_logs() as lines:
        guarded.fail()
        for _ in range(3):
            guarded.clock.advance(8.0)
            guarded.fail(1)
        guarded.away = False
        guarded.clock.advance(8.0)
        guarded.call()
        guarded.call()
    told = [(line["event"], line["failures"]) for line in lines if line["log_level"] != "debug"]
    assert told == [("breaker.opened", 3), ("breaker.closed", 6)]
    half, opened = State.HALF_OPEN, State.OPEN
    assert changes == [opened, half, opened, half, opened, half, opened, half, State.CLOSED]


@given(st.lists(st.tuples(st.booleans(), st.floats(0.0, 20.0), st.booleans()), max_size=60), st.integers())
def test_it_never_wedges_and_never_floods(steps: list[tuple[bool, float, bool]], seed: int) -> None:
    """Whatever happens, an outage costs few attempts, and a healed thing is found within the longest wait."""
    guarded = Guarded(chance=Random(seed))
    for away, pause_s, heard in steps:
        guarded.away = away
        guarded.clock.advance(pause_s)
        if heard:
            guarded.breaker.heard()
        before = guarded.attempts
        for _ in range(20):
            guarded.call()
        if away:
            assert guarded.attempts - before <= PATIENCE.failures_max
    guarded.away = False
    guarded.clock.advance(PATIENCE.max_s)
    assert guarded.call()
    assert guarded.state() is State.CLOSED

"""Scheduled jobs, on a real scheduler and loop."""

import asyncio
import datetime as dt
import threading
from itertools import count
from typing import Any

import apscheduler.schedulers.base
import pytest
from structlog.testing import CapturingLogger

from invctl.clock import ManualClock
from invctl.errors import UnreachableError
from invctl.runtime import jobs as jobs_module
from invctl.runtime.jobs import Jobs

SOON_S = 0.005


@pytest.fixture
def log() -> CapturingLogger:
    return CapturingLogger()


def told(log: CapturingLogger, level: str) -> list[tuple[str, dict[str, Any]]]:
    return [(call.args[0], call.kwargs) for call in log.calls if call.method_name == level]


async def paused(jobs: Jobs) -> None:
    while jobs._scheduler.state != apscheduler.schedulers.base.STATE_PAUSED:
        await asyncio.to_thread(int)


async def test_a_job_runs_at_once_and_again_until_stop(log: Any) -> None:
    jobs, stop, seen = Jobs(log), asyncio.Event(), []

    async def tick() -> int:
        seen.append((threading.current_thread(), asyncio.get_running_loop()))
        if len(seen) == 3:
            stop.set()
        return 1

    jobs.add("poll", SOON_S, tick)
    await jobs.run(stop)
    assert seen == [(threading.current_thread(), asyncio.get_running_loop())] * 3
    assert told(log, "debug") == [("job.done", {"job": "poll", "done": 1})] * 3


@pytest.mark.concurrency
async def test_a_slow_job_never_runs_twice_at_a_time_and_that_is_told_once(log: Any) -> None:
    jobs, stop, release = Jobs(log), asyncio.Event(), asyncio.Event()
    running, most, others = 0, 0, 0

    async def slow() -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1
        stop.set()
        return 0

    async def quick() -> int:
        nonlocal others
        others += 1
        if others == 20:
            release.set()
        return 0

    jobs.add("slow", SOON_S, slow)
    jobs.add("quick", SOON_S, quick)
    await jobs.run(stop)
    assert most == 1
    assert told(log, "warning") == [("job.overran", {"job": "slow", "every_s": SOON_S})]


@pytest.mark.fault_tolerance
async def test_an_error_of_ours_is_told_once_and_the_job_goes_on(log: Any) -> None:
    jobs, stop = Jobs(log), asyncio.Event()
    outcomes: list[Exception | int] = [
        down := UnreachableError("no broker"),
        UnreachableError("no broker"),
        timeout := UnreachableError("timed out"),
        1,
        again := UnreachableError("no broker"),
    ]

    async def tick() -> int:
        if not outcomes:
            stop.set()
            return 0
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    jobs.add("publish", SOON_S, tick)
    await jobs.run(stop)
    assert told(log, "warning") == [
        ("job.failed", {"job": "publish", "failures": 1, "error": down}),
        ("job.failed", {"job": "publish", "failures": 3, "error": timeout}),
        ("job.failed", {"job": "publish", "failures": 1, "error": again}),
    ]
    assert told(log, "info") == [
        ("job.recovered", {"job": "publish", "failures": 3}),
        ("job.recovered", {"job": "publish", "failures": 1}),
    ]


@pytest.mark.fault_tolerance
async def test_an_outage_that_is_told_in_many_ways_floods_no_log_and_is_not_forgotten(log: Any) -> None:
    clock = ManualClock()
    jobs, stop, ticks = Jobs(log, clock=clock), asyncio.Event(), count(1)

    async def tick() -> int:
        number = next(ticks)
        if number == 301:
            stop.set()
            return 0
        if number == 300:
            clock.advance(jobs_module.REMIND_EVERY_S)
        # By turns, as where a breaker opens, and then in words that are never the same.
        raise UnreachableError("no broker" if number % 2 else "not asked" if number < 100 else f"for {number} s")

    jobs.add("leases", SOON_S / 5, tick)
    await jobs.run(stop)
    said = [facts["failures"] for _, facts in told(log, "warning")]
    assert said == [1, 2, 100, 102, 104, 300]
    assert len(told(log, "debug")) == 300 - len(said) + 1

    # What comes after it is news again.
    assert told(log, "info") == [("job.recovered", {"job": "leases", "failures": 300})]


@pytest.mark.fault_tolerance
async def test_a_disk_that_is_full_ends_no_job(log: Any) -> None:
    jobs, stop = Jobs(log), asyncio.Event()
    full = OSError(28, "No space left on device")
    outcomes: list[OSError | None] = [full, full, None]

    async def tick() -> int:
        if not outcomes:
            stop.set()
        elif outcome := outcomes.pop(0):
            raise outcome
        return 1

    jobs.add("status", SOON_S, tick)
    await jobs.run(stop)
    assert told(log, "warning") == [("job.failed", {"job": "status", "failures": 1, "error": full})]
    assert told(log, "info") == [("job.recovered", {"job": "status", "failures": 2})]


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("bug", [KeyError("x"), SystemExit(3)])
async def test_a_bug_ends_the_run_after_the_other_ticks_have_ended(log: Any, bug: BaseException) -> None:
    jobs, begun, ended = Jobs(log), asyncio.Event(), []

    async def other() -> int:
        begun.set()
        for _ in range(5):
            await asyncio.to_thread(int)
        ended.append("other")
        return 0

    async def broken() -> int:
        await begun.wait()
        raise bug

    jobs.add("other", 60, other)
    jobs.add("broken", SOON_S, broken)
    with pytest.raises(type(bug)) as caught:
        await jobs.run(asyncio.Event())
    assert caught.value is bug
    assert ended == ["other"]


async def test_stop_awaits_what_runs_and_begins_nothing_more(log: Any) -> None:
    jobs, stop, begun, release = Jobs(log), asyncio.Event(), asyncio.Event(), asyncio.Event()
    witness, witness_stop = Jobs(log), asyncio.Event()
    ticks: list[str] = []

    async def slow() -> int:
        begun.set()
        await release.wait()
        ticks.append("slow ended")
        return 0

    async def quick() -> int:
        ticks.append("quick")
        return 0

    async def watch() -> int:
        ticks.append("witness")
        if ticks.count("witness") == 10:
            witness_stop.set()
        return 0

    jobs.add("slow", 60, slow)
    jobs.add("quick", SOON_S, quick)
    run = asyncio.create_task(jobs.run(stop))
    await begun.wait()
    stop.set()
    await paused(jobs)
    ticks.clear()
    # In the time of ten ticks of another, ours has none.
    witness.add("watch", SOON_S, watch)
    await witness.run(witness_stop)
    assert not run.done()
    release.set()
    await run
    assert ticks == [*["witness"] * 10, "slow ended"]


@pytest.mark.fault_tolerance
async def test_a_tick_that_does_not_end_is_cancelled_with_the_run(log: Any) -> None:
    jobs, begun, ended = Jobs(log), asyncio.Event(), asyncio.Event()

    async def stuck() -> int:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 0

    jobs.add("stuck", 60, stuck)
    stop = asyncio.Event()
    run = asyncio.create_task(jobs.run(stop))
    await begun.wait()
    stop.set()
    await paused(jobs)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await ended.wait()
    assert told(log, "warning") == [("job.cancelled", {"job": "stuck"})]


class ShiftedTime:
    """The wall clock of APScheduler and of Jobs, moved together."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shift = dt.timedelta()
        shifted = self

        class Moved(dt.datetime):
            @classmethod
            def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
                return dt.datetime.now(tz) + shifted.shift

        monkeypatch.setattr(apscheduler.schedulers.base, "datetime", Moved)

    def now_us(self) -> int:
        return round((dt.datetime.now(dt.UTC) + self.shift).timestamp() * 1_000_000)

    def monotonic_s(self) -> float:
        return 0.0


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("shift", [dt.timedelta(hours=-1), dt.timedelta(hours=1), dt.timedelta(days=20_000)])
async def test_a_clock_that_leaps_neither_stalls_nor_floods(
    log: Any, monkeypatch: pytest.MonkeyPatch, shift: dt.timedelta
) -> None:
    monkeypatch.setattr(jobs_module, "_CLOCK_CHECK_S", 0.05)
    clock = ShiftedTime(monkeypatch)
    jobs, stop = Jobs(log, clock=clock), asyncio.Event()
    ticks = 0

    async def tick() -> int:
        nonlocal ticks
        ticks += 1
        if ticks == 2:
            clock.shift = shift
        if ticks == 5:
            stop.set()
        return 0

    jobs.add("poll", SOON_S, tick)
    await asyncio.wait_for(jobs.run(stop), 30)
    assert ticks == 5

"""Scheduled jobs of a daemon: coroutines that call a bounded tick, again and again, on the loop's own thread."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from invctl.clock import Clock, SystemClock
from invctl.errors import InventoryError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from structlog.typing import FilteringBoundLogger

    Tick = Callable[[], Awaitable[int]]

_CLOCK_CHECK_S = 1.0
NEWS_MAX = 5
REMIND_EVERY_S = 60.0


class Jobs:
    """The jobs of one process.

    A tick does a bounded amount of work and returns how much it did. When it raises one of our errors, or the system's
    (a full disk, no more files), that is logged, and the job goes on: each error once until it succeeds, five at the
    most, and then one a minute. Anything else is a bug, which ends `run`.
    """

    def __init__(self, log: FilteringBoundLogger, *, clock: Clock | None = None) -> None:
        """Make an empty set of jobs. `clock` is the wall clock, which APScheduler goes by."""
        self._log = log
        self._clock = clock or SystemClock()
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_listener(self._overran, EVENT_JOB_MAX_INSTANCES)
        # It warns of each skipped run; `job.overran` says it once.
        logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
        self._jobs: dict[str, _Job] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._bug: asyncio.Future[None] | None = None
        self._clock_check: asyncio.TimerHandle | None = None

    def add(self, name: str, every_s: float, tick: Tick) -> None:
        """Let `tick` run at the start, and then every `every_s` seconds, but never twice at a time."""
        job = self._jobs[name] = _Job(name, tick, timedelta(seconds=every_s))
        self._scheduler.add_job(
            self._run,
            trigger=_Every(job.period),
            args=[job],
            id=name,
            name=name,
            max_instances=1,
            coalesce=True,
            # However late: a run that was due while the machine slept is still due.
            misfire_grace_time=None,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Run the jobs, on this loop, until `stop` is set and the running ticks have ended.

        Raises the exception of a tick that was a bug.
        """
        loop = asyncio.get_running_loop()
        self._bug = bug = loop.create_future()
        stopped = loop.create_task(stop.wait())
        ends: set[asyncio.Future[Any]] = {bug, stopped}
        self._scheduler.start()
        self._check_clock()
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            await self._end()
        if bug.done():
            bug.result()

    async def _end(self) -> None:
        if self._clock_check is not None:
            self._clock_check.cancel()
        self._scheduler.pause()
        try:
            # A run that was just submitted takes its first step, and so is known, when the loop turns.
            await asyncio.sleep(0)
            if self._running:
                await asyncio.wait(self._running)
        finally:
            # It cancels what still runs (only where this was cancelled itself), and does so in a callback.
            self._scheduler.shutdown(wait=False)
            await asyncio.sleep(0)

    async def _run(self, job: _Job) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            done = await job.tick()
        except (InventoryError, OSError) as error:
            self._failed(job, error)
        except asyncio.CancelledError:
            self._log.warning("job.cancelled", job=job.name)
        except BaseException as error:  # noqa: BLE001 - not handled but carried to `run`; APScheduler would only log it
            if self._bug is not None and not self._bug.done():
                self._bug.set_exception(error)
        else:
            if job.failures:
                self._log.info("job.recovered", job=job.name, failures=job.failures)
            job.failures, job.overran = 0, False
            job.told.clear()
            self._log.debug("job.done", job=job.name, done=done)
        finally:
            self._running.discard(task)

    def _failed(self, job: _Job, error: InventoryError | OSError) -> None:
        job.failures += 1
        # An outage fails every tick, by one error or by turns: its beginning and its end are news, and that it lasts.
        now_s, what = self._clock.monotonic_s(), str(error)
        is_news = what not in job.told and len(job.told) < NEWS_MAX
        if is_news:
            job.told.add(what)
        if is_news or now_s - job.told_s >= REMIND_EVERY_S:
            job.told_s = now_s
            self._log.warning("job.failed", job=job.name, failures=job.failures, error=error)
        else:
            self._log.debug("job.failed", job=job.name, failures=job.failures, error=error)

    def _overran(self, event: JobSubmissionEvent) -> None:
        job = self._jobs[event.job_id]
        if not job.overran:
            job.overran = True
            self._log.warning("job.overran", job=job.name, every_s=job.period.total_seconds())

    def _check_clock(self) -> None:
        """Let jobs that wait for a time that a clock set back has moved far away run now.

        APScheduler plans by the wall clock: set back by an hour, it would stand still for an hour.
        """
        now = datetime.fromtimestamp(self._clock.now_us() / 1_000_000, UTC)
        for planned in self._scheduler.get_jobs():
            if planned.next_run_time > now + self._jobs[planned.id].period + timedelta(seconds=_CLOCK_CHECK_S):
                planned.modify(next_run_time=now)
        self._clock_check = asyncio.get_running_loop().call_later(_CLOCK_CHECK_S, self._check_clock)


class _Job:
    """A job, and what was last told of it."""

    def __init__(self, name: str, tick: Tick, period: timedelta) -> None:
        self.name = name
        self.tick = tick
        self.period = period
        self.failures = 0
        self.told: set[str] = set()
        self.told_s = 0.0
        self.overran = False


class _Every(BaseTrigger):  # type: ignore[misc] # APScheduler 3 has no types
    """Fires at once, and then a period after each run.

    Not APScheduler's interval: that walks through every run time since the last. Where the clock leaps from 1970 to
    today, as on a machine without a battery for it, they are a billion.
    """

    def __init__(self, period: timedelta) -> None:
        self._period = period

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        return now if previous_fire_time is None else now + self._period

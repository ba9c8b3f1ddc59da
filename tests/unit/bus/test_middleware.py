"""Each layer around a bus, on a bus in memory, and on one that forgets its own limits."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from invctl.bus.contract import Message, Subscribed
from invctl.bus.memory import MemoryBroker, MemoryBus
from invctl.bus.middleware.deadline import OVERDUE, Deadline
from invctl.bus.middleware.trace import Trace, current_trace
from invctl.clock import ManualClock
from invctl.errors import UnreachableError
from invctl.locks.memory import MemoryLeases, MemoryLocks
from invctl.locks.middleware import GuardedLocks
from invctl.runtime.breaker import REFUSED, State
from invctl.runtime.logs import configure
from tests.layers import Counts, breaker, guarded, layered

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from invctl.bus.contract import EventBus, Subscription
    from invctl.runtime.logs import LogLevel

TRACE = "0af7651916cd43dd8448eb211c80319c"


class ForgetfulBus(MemoryBus):
    """A bus that has forgotten its own time limits, towards a broker that says nothing."""

    def __init__(self) -> None:
        super().__init__(MemoryBroker())

    async def publish(self, channel: str, payload: bytes) -> None:  # noqa: ARG002
        await asyncio.Event().wait()

    async def close(self) -> None:
        await asyncio.Event().wait()


class ForgetfulLocks(MemoryLocks):
    """The same of leases."""

    def __init__(self) -> None:
        super().__init__(MemoryLeases())

    async def renew(self, name: str, owner: str, ttl_s: float) -> bool:  # noqa: ARG002
        await asyncio.Event().wait()
        return True

    async def close(self) -> None:
        await asyncio.Event().wait()


class Lines:
    """A log, and what was written to it."""

    def __init__(self) -> None:
        self._stream = io.StringIO()

    def at(self, level: LogLevel) -> FilteringBoundLogger:
        return configure("invd", fmt="json", level=level, stream=self._stream, context=current_trace(trace_in))

    def all(self, action: str = "") -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._stream.getvalue().splitlines()]
        return [line for line in lines if action in ("", line["action"])]


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def inner() -> MemoryBus:
    return MemoryBus(MemoryBroker())


def trace_in(payload: bytes) -> str | None:
    """Here a message is its trace, unless it is none."""
    return payload.decode() if payload in (b"a", b"b", TRACE.encode()) else None


async def fails(bus: EventBus, times: int = 1) -> UnreachableError:
    for _ in range(times):
        with pytest.raises(UnreachableError) as raised:
            await bus.publish("up", b"x")
    return raised.value


@contextlib.asynccontextmanager
async def listening(bus: EventBus) -> Any:
    async with contextlib.aclosing(bus.subscribe(["up"])) as arrivals:
        assert await anext(arrivals) == Subscribed(("up",))
        yield arrivals


@pytest.mark.fault_tolerance
class TestDeadline:
    async def test_a_bus_that_forgets_its_limits_is_held_to_ours(self) -> None:
        bus = Deadline(ForgetfulBus(), limit_s=0.01)
        error = await fails(bus)
        assert error.details["cause"] == OVERDUE
        assert error.hint
        await bus.close()

    async def test_so_are_leases(self) -> None:
        locks = guarded(ForgetfulLocks(), limit_s=0.01)
        with pytest.raises(UnreachableError) as raised:
            await locks.renew("a", "me", 1.0)
        assert raised.value.details["cause"] == "deadline"
        await locks.close()

    async def test_one_that_is_cancelled_meanwhile_stays_cancelled(self) -> None:
        task = asyncio.create_task(Deadline(ForgetfulBus(), limit_s=60).publish("up", b"x"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_what_is_in_time_costs_the_next_one_nothing(self, inner: MemoryBus) -> None:
        bus = Deadline(inner, limit_s=0.01)
        looks = bus._end_overdue
        looked = asyncio.Event()
        bus._end_overdue = lambda: (looks(), looked.set())  # type: ignore[method-assign, assignment, func-returns-value]
        await bus.publish("up", b"x")
        await looked.wait()
        assert bus._look is None
        await bus.publish("up", b"x")
        await bus.close()

    async def test_what_is_overdue_opens_the_breaker(self) -> None:
        guard = breaker("bus", clock=ManualClock())
        bus = layered(ForgetfulBus(), guard=guard, limit_s=0.01)
        await fails(bus, times=3)
        assert guard.state is State.OPEN


@pytest.mark.fault_tolerance
class TestGuard:
    async def test_while_it_is_open_nothing_is_attempted_and_a_confirmed_subscription_ends_that(
        self, inner: MemoryBus
    ) -> None:
        # Its clock stands still: no probe is ever due.
        guard, meter = breaker("bus", clock=ManualClock()), Counts()
        bus = layered(inner, guard=guard, meter=meter)
        async with listening(bus) as arrivals:
            inner.cut_off()
            await fails(bus, times=3)
            inner.heal()
            error = await fails(bus, times=5)
            assert error.details["cause"] == REFUSED
            assert error.message.startswith("bus is not asked, as it keeps failing: ")
            assert await anext(arrivals) == Subscribed(("up",))
            await bus.publish("up", b"x")
            assert await anext(arrivals) == Message("up", b"x")
        assert guard.status().state is State.CLOSED
        assert (meter.counts["failed "], meter.counts[f"failed {REFUSED}"]) == (3, 5)

    async def test_leases_are_not_asked_either(self) -> None:
        leases, meter = MemoryLeases(), Counts()
        locks = GuardedLocks(MemoryLocks(leases), breaker=breaker("leases", clock=ManualClock()), meter=meter)
        assert await locks.acquire("a", "me", 10.0)
        assert not await locks.acquire("a", "you", 10.0)
        assert await locks.holders(["a"]) == {"a": "me"}
        leases.up = False
        for _ in range(3):
            with pytest.raises(UnreachableError):
                await locks.renew("a", "me", 10.0)
        leases.up = True
        with pytest.raises(UnreachableError, match="leases is not asked"):
            await locks.renew("a", "me", 10.0)
        expected = {"acquire granted": 1, "acquire denied": 1, "holders granted": 1, "renew failed": 4}
        assert meter.counts == expected


@pytest.mark.metrics
class TestMeasure:
    async def test_what_goes_out_and_what_comes_in_is_counted_with_its_bytes(self, inner: MemoryBus) -> None:
        meter = Counts()
        bus = layered(inner, meter=meter)
        async with listening(bus) as arrivals:
            for payload in (b"abc", b"defgh"):
                await bus.publish("up", payload)
                await anext(arrivals)
            inner.cut_off()
            inner.heal()
            await anext(arrivals)
        expected = {"published": 2, "published_bytes": 8, "received": 2, "received_bytes": 8, "subscribed": 2}
        assert meter.counts == expected
        assert len(meter.times) == 2

    async def test_a_publish_that_is_cancelled_is_neither(self) -> None:
        meter = Counts()
        task = asyncio.create_task(layered(ForgetfulBus(), meter=meter).publish("up", b"x"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert meter.counts == {}


class TestLog:
    async def test_at_debug_each_message_has_a_line(self, inner: MemoryBus, lines: Lines) -> None:
        bus = layered(inner, log=lines.at("debug"))
        async with listening(bus) as arrivals:
            await bus.publish("up", b"no frame")
            await anext(arrivals)
        (published,) = lines.all("bus.published")
        (received,) = lines.all("bus.received")
        for line in (published, received):
            assert (line["channel"], line["bytes"], line["unreadable"]) == ("up", 8, "8 bytes")
        assert published["ms"] >= 0
        assert len(lines.all("bus.confirmed")) == 1

    async def test_an_outage_is_said_once_and_its_end_once(self, inner: MemoryBus, lines: Lines) -> None:
        bus = layered(inner, log=lines.at("info"))
        async with listening(bus) as arrivals:
            inner.cut_off()
            await fails(bus, times=50)
            inner.heal()
            await anext(arrivals)
            await bus.publish("up", b"x")
            await bus.publish("up", b"x")
        told = [(line["action"], line["failures"]) for line in lines.all() if line["action"].startswith("bus.")]
        assert told == [("bus.publish_failed", 1), ("bus.publishes_again", 50)]
        (first,) = lines.all("bus.publish_failed")
        assert (first["level"], first["error"], first["channel"]) == ("warning", "unreachable", "up")


class TestTrace:
    async def test_every_line_of_a_publish_names_its_trace_and_none_after_it(
        self, inner: MemoryBus, lines: Lines
    ) -> None:
        log = lines.at("debug")
        inner.cut_off()
        bus = layered(inner, log=log)
        for _ in range(3):
            with pytest.raises(UnreachableError):
                await bus.publish("up", TRACE.encode())
        log.info("afterwards")
        told = [(line["action"], line.get("trace")) for line in lines.all()]
        failed = ("bus.publish_failed", TRACE)
        assert told == [failed, failed, ("breaker.opened", TRACE), failed, ("afterwards", None)]

    async def test_two_publishes_at_once_do_not_mix_their_traces(self, lines: Lines) -> None:
        log = lines.at("debug")

        class Slow(MemoryBus):
            async def publish(self, channel: str, payload: bytes) -> None:  # noqa: ARG002
                for _ in range(3):
                    await asyncio.sleep(0)
                    log.debug("inside", payload=payload.decode())

        bus = Trace(Slow(MemoryBroker()))
        await asyncio.gather(*(bus.publish("up", payload) for payload in (b"a", b"b", b"")))
        assert {(line["payload"], line.get("trace")) for line in lines.all("inside")} == {
            ("a", "a"),
            ("b", "b"),
            ("", None),
        }

    async def test_a_readers_lines_name_the_trace_of_what_it_has_read(self, inner: MemoryBus, lines: Lines) -> None:
        log = lines.at("debug")

        async def read(arrivals: Subscription) -> None:
            async for arrival in arrivals:
                log.info("read")
                if arrival == Message("up", b"b"):
                    return

        bus = Trace(inner)
        reading = asyncio.create_task(read(bus.subscribe(["up"])))
        await asyncio.sleep(0)
        for payload in (b"a", b"", b"b"):
            await bus.publish("up", payload)
        await reading
        await bus.close()
        assert [line.get("trace") for line in lines.all("read")] == [None, "a", None, "b"]

"""Locks on a real Redis: answers that are lost, calls that are given up, a broker that forgets."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from invctl.errors import UnreachableError
from invctl.locks.redis import RedisLocks
from invctl.redis_connection import RedisAddress, RedisCaller, RedisLimits
from tests.contract.leases import holder
from tests.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers import Broker

PATIENT = RedisLimits(connect_s=30, call_s=30)
ALERT = RedisLimits(connect_s=30, call_s=0.2)
LONG_S = 60.0


@contextlib.asynccontextmanager
async def opened(url: str, limits: RedisLimits = PATIENT) -> AsyncIterator[RedisLocks]:
    locks = RedisLocks(url, limits=limits)
    try:
        yield locks
    finally:
        await locks.close()


@pytest.mark.fault_tolerance
async def test_a_lost_answer_is_not_asked_for_again_and_leaves_a_lease_that_can_be_found(broker: Broker) -> None:
    async with Proxy(broker.url) as line, opened(line.url, ALERT) as locks, opened(broker.url) as direct:
        assert await holder(locks, "t:lease") is None
        line.swallow_answers()
        with pytest.raises(UnreachableError):
            await locks.acquire("t:lease", "anna", LONG_S)
        assert line.sent.count(b"'NX'") == 1
        assert await holder(direct, "t:lease") == "anna"
        await line.heal()
        assert await locks.acquire("t:lease", "anna", LONG_S)
        assert await locks.release("t:lease", "anna")
        assert await holder(direct, "t:lease") is None


@pytest.mark.fault_tolerance
async def test_no_answer_is_taken_for_anothers(broker: Broker) -> None:
    async with Proxy(broker.url) as line, opened(line.url) as locks:
        assert await locks.acquire("t:a", "anna", LONG_S)
        assert await locks.acquire("t:b", "bert", LONG_S)
        line.swallow_answers()
        asking = asyncio.create_task(holder(locks, "t:a"))
        await line.until_sent(b"EVAL", times=1 + line.sent.count(b"EVAL"))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await line.heal()
        assert await holder(locks, "t:b") == "bert"


@pytest.mark.fault_tolerance
async def test_a_broker_that_restarts_empty_forgets_leases(broker: Broker) -> None:
    async with opened(broker.url) as locks:
        assert await locks.acquire("t:lease", "anna", LONG_S)
        broker.kill()
        with pytest.raises(UnreachableError) as raised:
            await locks.renew("t:lease", "anna", LONG_S)
        assert f"127.0.0.1:{broker.port}" in raised.value.message
        broker.start()
        assert not await locks.renew("t:lease", "anna", LONG_S)
        assert await locks.acquire("t:lease", "bert", LONG_S)


async def test_a_key_that_is_no_lease_is_an_error_and_not_busy(broker: Broker) -> None:
    caller = RedisCaller(RedisAddress.parse(broker.url), PATIENT)
    await caller.call(b"RPUSH", b"t:lease", b"x")
    async with opened(broker.url) as locks:
        for asking in (
            locks.acquire("t:lease", "anna", LONG_S),
            locks.renew("t:lease", "anna", LONG_S),
            locks.release("t:lease", "anna"),
            holder(locks, "t:lease"),
        ):
            with pytest.raises(UnreachableError, match="refused"):
                await asking
    assert await caller.call(b"LLEN", b"t:lease") == 1
    await caller.aclose()

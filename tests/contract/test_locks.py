"""What every lock manager promises, in memory and on Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from invctl.errors import InvalidValueError, UnreachableError
from tests.contract.leases import holder

if TYPE_CHECKING:
    from invctl.locks.contract import LockManager
    from tests.contract.conftest import LocksUnderTest

LONG_S = 60.0
SHORT_S = 0.02
BRIEF_S = 0.5
"""Outlives the next call on a busy machine, and can be waited for."""


@pytest.fixture
def name(locks_under_test: LocksUnderTest) -> str:
    return f"{locks_under_test.namespace}:lease:0"


@pytest.fixture
def locks(locks_under_test: LocksUnderTest) -> LockManager:
    return locks_under_test.connect()


async def test_a_lease_belongs_to_the_first_who_asks(locks: LockManager, name: str) -> None:
    assert await holder(locks, name) is None
    assert await locks.acquire(name, "anna", LONG_S)
    assert not await locks.acquire(name, "bert", LONG_S)
    assert await holder(locks, name) == "anna"


async def test_names_are_independent(locks: LockManager, name: str) -> None:
    assert await locks.acquire(name, "anna", LONG_S)
    assert await locks.acquire(f"{name}0", "bert", LONG_S)
    assert await holder(locks, name) == "anna"
    assert await holder(locks, f"{name}0") == "bert"


@pytest.mark.parametrize("prolong", ["acquire", "renew"])
async def test_its_owner_prolongs_a_lease(
    locks_under_test: LocksUnderTest, locks: LockManager, name: str, prolong: str
) -> None:
    assert await locks.acquire(name, "anna", LONG_S)
    assert await getattr(locks, prolong)(name, "anna", SHORT_S)
    await locks_under_test.run_out(name, SHORT_S)
    assert await holder(locks, name) is None

    assert await locks.acquire(name, "anna", BRIEF_S)
    assert await getattr(locks, prolong)(name, "anna", LONG_S)
    other = f"{name}:other"
    assert await locks.acquire(other, "anna", BRIEF_S)
    # The other lease began later and has run out, so the first would have.
    await locks_under_test.run_out(other, BRIEF_S)
    assert await holder(locks, name) == "anna"


async def test_nobody_else_renews_or_releases_a_lease(
    locks_under_test: LocksUnderTest, locks: LockManager, name: str
) -> None:
    assert await locks.acquire(name, "anna", LONG_S)
    assert not await locks.release(name, "bert")
    assert not await locks.acquire(name, "bert", LONG_S)
    assert await holder(locks, name) == "anna"
    assert await locks.renew(name, "anna", BRIEF_S)
    assert not await locks.renew(name, "bert", LONG_S)
    await locks_under_test.run_out(name, BRIEF_S)
    assert await locks.acquire(name, "bert", LONG_S)


async def test_a_released_lease_is_free(locks: LockManager, name: str) -> None:
    assert await locks.acquire(name, "anna", LONG_S)
    assert await locks.release(name, "anna")
    assert await holder(locks, name) is None
    assert not await locks.release(name, "anna")
    assert await locks.acquire(name, "bert", LONG_S)


async def test_a_lease_that_ran_out_is_not_its_owners_any_more(
    locks_under_test: LocksUnderTest, locks: LockManager, name: str
) -> None:
    assert await locks.acquire(name, "anna", SHORT_S)
    await locks_under_test.run_out(name, SHORT_S)
    assert not await locks.renew(name, "anna", LONG_S)
    assert not await locks.release(name, "anna")
    assert await holder(locks, name) is None
    assert await locks.acquire(name, "bert", LONG_S)
    assert not await locks.renew(name, "anna", LONG_S)
    assert not await locks.release(name, "anna")
    assert await holder(locks, name) == "bert"


async def test_renewing_a_free_lease_does_not_take_it(locks: LockManager, name: str) -> None:
    assert not await locks.renew(name, "anna", LONG_S)
    assert await holder(locks, name) is None


async def test_owners_are_compared_whole(locks: LockManager, name: str) -> None:
    assert await locks.acquire(name, "änna", LONG_S)
    assert not await locks.release(name, "änn")
    assert await holder(locks, name) == "änna"


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, 0.0004])
async def test_a_lease_lasts_a_millisecond_at_least(locks: LockManager, name: str, ttl_s: float) -> None:
    with pytest.raises(InvalidValueError):
        await locks.acquire(name, "anna", ttl_s)
    with pytest.raises(InvalidValueError):
        await locks.renew(name, "anna", ttl_s)
    assert await holder(locks, name) is None


async def test_many_leases_are_looked_at_at_once(locks: LockManager, name: str) -> None:
    assert await locks.acquire(f"{name}0", "anna", LONG_S)
    assert await locks.acquire(f"{name}2", "bert", LONG_S)
    names = [f"{name}{number}" for number in (2, 1, 0)]
    assert await locks.holders(names) == dict(zip(names, ["bert", None, "anna"], strict=True))
    assert await locks.holders([]) == {}


@pytest.mark.concurrency
async def test_of_many_at_once_one_gets_the_lease(locks_under_test: LocksUnderTest, name: str) -> None:
    owners = [f"owner-{number}" for number in range(8)]
    clients = [locks_under_test.connect() for _ in owners]
    for _ in range(20):
        got = await asyncio.gather(
            *(client.acquire(name, owner, LONG_S) for client, owner in zip(clients, owners, strict=True))
        )
        assert sum(got) == 1
        winner = got.index(True)
        assert await holder(clients[0], name) == owners[winner]
        assert await clients[winner].release(name, owners[winner])


@pytest.mark.fault_tolerance
async def test_an_outage_is_an_error_and_never_an_answer(
    locks_under_test: LocksUnderTest, locks: LockManager, name: str
) -> None:
    assert await locks.acquire(name, "anna", LONG_S)
    await locks_under_test.cut_off()
    for ask in (
        lambda: locks.acquire(name, "bert", LONG_S),
        lambda: locks.renew(name, "anna", LONG_S),
        lambda: locks.release(name, "anna"),
        lambda: holder(locks, name),
    ):
        with pytest.raises(UnreachableError) as raised:
            await ask()
        assert raised.value.hint
    await locks_under_test.heal()
    assert await holder(locks, name) == "anna"
    assert await locks.release(name, "anna")


async def test_closing_leaves_the_lease_and_ends_the_access(
    locks_under_test: LocksUnderTest, locks: LockManager, name: str
) -> None:
    assert await locks.acquire(name, "anna", LONG_S)
    await locks.close()
    await locks.close()
    with pytest.raises(UnreachableError):
        await holder(locks, name)
    assert await holder(locks_under_test.connect(), name) == "anna"

"""Who lives, and what that makes of the shares: on a real database, by its clock."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import pytest
import structlog
from structlog.testing import capture_logs

from central import centrals
from central.database import reading, writing
from central.leases import LEASE_TTL_S, Leases
from central.presence import Presence
from invctl.errors import RefusedError, UnreachableError
from invctl.locks.memory import MemoryLeases, MemoryLocks
from tests.integration.central_service.office import NAMESPACE

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from invctl.clock import ManualClock

pytestmark = pytest.mark.concurrency

SHARDS = 8
LOOK_S = 0.25


def present(engine: Engine, clock: ManualClock, name: str, *, shards: int = SHARDS, predecessor: str = "") -> Presence:
    return Presence(
        engine,
        shards=shards,
        holder=name,
        host="office",
        pid=1,
        version="1.0",
        ttl_s=LEASE_TTL_S,
        clock=clock,
        log=structlog.get_logger(),
        predecessor=predecessor,
    )


def listed(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return [each.holder for each in centrals.list_centrals(connection)]


async def test_before_it_is_seen_a_central_has_no_share(engine: Engine, clock: ManualClock) -> None:
    alone = present(engine, clock, "a")
    assert alone.share() is None
    assert await alone.tick([]) is True
    assert alone.share() == SHARDS
    assert await alone.tick([]) is False


@pytest.mark.parametrize(("shards", "living", "shares"), [(8, 3, [3, 3, 2]), (4, 3, [2, 1, 1]), (1, 2, [1, 0])])
async def test_shares_add_up_and_the_longest_at_work_hold_one_more(
    engine: Engine, clock: ManualClock, shards: int, living: int, shares: list[int]
) -> None:
    # Not in the order of their names.
    those = [present(engine, clock, name, shards=shards) for name in ("c", "a", "b")[:living]]
    for each in those:
        clock.advance(0.1)
        await each.tick([])
    for each in those:
        await each.tick([])
    assert [each.share() for each in those] == shares


async def test_one_that_is_not_seen_for_a_lease_s_time_is_not_counted_until_it_is_seen_again(
    engine: Engine, clock: ManualClock
) -> None:
    first, second = present(engine, clock, "a"), present(engine, clock, "b")
    await first.tick([])
    await second.tick([])
    clock.advance(LEASE_TTL_S / 2)
    assert first.share() is not None
    await second.tick([])
    assert second.share() == SHARDS // 2
    clock.advance(LEASE_TTL_S / 2)
    await second.tick([])
    assert (first.share(), second.share()) == (None, SHARDS)
    # Who is not seen sees nobody: what it knew is no longer so.
    assert (first.living, second.living) == (0, 1)
    await first.tick([])
    await second.tick([])
    assert (first.share(), second.share()) == (SHARDS // 2, SHARDS // 2)


async def test_it_is_seen_at_a_third_of_the_time_and_when_what_it_serves_changes(
    engine: Engine, clock: ManualClock
) -> None:
    def seen() -> tuple[int, tuple[int, ...]]:
        with reading(engine) as connection:
            [row] = centrals.list_centrals(connection)
        return row.seen_us, row.shards

    presence = present(engine, clock, "a")
    await presence.tick([])
    first, _ = seen()
    clock.advance(LEASE_TTL_S / 3 - 0.1)
    await presence.tick([])
    assert seen() == (first, ())
    await presence.tick([3, 1])
    assert seen() == (clock.now_us(), (1, 3))
    clock.advance(LEASE_TTL_S / 3)
    await presence.tick([1, 3])
    assert seen() == (clock.now_us(), (1, 3))


async def test_one_that_ends_orderly_leaves_its_share_at_once(engine: Engine, clock: ManualClock) -> None:
    first, second = present(engine, clock, "a"), present(engine, clock, "b")
    await first.tick([])
    await second.tick([])
    first.end()
    assert await second.tick([]) is True
    assert second.share() == SHARDS


async def test_a_predecessor_that_is_known_to_be_dead_is_not_counted(engine: Engine, clock: ManualClock) -> None:
    await present(engine, clock, "a").tick([])
    again = present(engine, clock, "b", predecessor="a")
    await again.tick([])
    assert again.share() == SHARDS
    assert listed(engine) == ["b"]


async def test_who_is_long_gone_is_not_listed_any_more(engine: Engine, clock: ManualClock) -> None:
    await present(engine, clock, "a").tick([])
    clock.advance(centrals.KEPT_S)
    other = present(engine, clock, "b")
    await other.tick([])
    assert listed(engine) == ["a", "b"]
    clock.advance(LEASE_TTL_S + 1)
    await other.tick([])
    assert listed(engine) == ["b"]


@pytest.mark.fault_tolerance
async def test_a_clock_that_is_set_back_makes_no_dead_central_live(engine: Engine, clock: ManualClock) -> None:
    dead, living = present(engine, clock, "a"), present(engine, clock, "b")
    await dead.tick([])
    await living.tick([])
    clock.shift_wall(-1800)
    assert await living.tick([]) is True
    # It counts itself, though its own row is of a time to come.
    assert living.share() == SHARDS
    clock.advance(LEASE_TTL_S / 3)
    await living.tick([])
    assert living.share() == SHARDS


@pytest.mark.fault_tolerance
async def test_a_database_that_was_upgraded_for_a_newer_program_refuses_it(engine: Engine, clock: ManualClock) -> None:
    presence = present(engine, clock, "a")
    await presence.tick([])
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    clock.advance(LEASE_TTL_S / 3)
    with pytest.raises(RefusedError, match="newer"):
        await presence.tick([])


def test_the_standby_says_so(engine: Engine, clock: ManualClock) -> None:
    import asyncio

    async def both() -> None:
        await present(engine, clock, "a", shards=1).tick([])
        clock.advance(0.1)
        await present(engine, clock, "b", shards=1).tick([])

    with capture_logs() as lines:
        asyncio.run(both())
    assert [(line["event"], line.get("behind")) for line in lines] == [
        ("share.changed", None),
        ("share.changed", None),
        ("central.standby", ["a"]),
    ]


class _Cut(Presence):
    """A central that may be cut off from the database."""

    cut = False

    def _be_seen(self, serving: tuple[int, ...]) -> list[str]:
        self._ask()
        return super()._be_seen(serving)

    def _look(self) -> list[str]:
        self._ask()
        return super()._look()

    def _ask(self) -> None:
        if self.cut:
            raise UnreachableError("no database")


class Central:
    """A central as the service drives it, each round of work ending when the test says so."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.locks = MemoryLocks(world.leases)
        self.paused_until_s = 0.0
        log = structlog.get_logger()
        self.leases = Leases(
            self.locks,
            world.mint,
            shards=range(SHARDS),
            namespace=NAMESPACE,
            owner=name,
            clock=world.clock,
            log=log,
        )
        self.presence = _Cut(
            world.engine,
            shards=SHARDS,
            holder=name,
            host="office",
            pid=1,
            version="1.0",
            ttl_s=LEASE_TTL_S,
            clock=world.clock,
            log=log,
        )
        self.serving: dict[int, str] = {}

    async def step(self) -> None:
        """One tick of the service's job. What is handed over was at work until now, and ends."""
        with suppress(UnreachableError):
            await self._tick()
            if await self.presence.tick(self.leases.fences()):
                await self._tick()

    async def _tick(self) -> None:
        try:
            await self.leases.tick(self.presence.share())
        finally:
            ended = self.serving.items() - self.leases.fences().items()
            self.serving = self.leases.fences()
            for shard, fence in ended:
                await self.leases.ended(shard, fence)


class World:
    def __init__(self, engine: Engine, clock: ManualClock) -> None:
        self.engine = engine
        self.clock = clock
        self.leases = MemoryLeases(clock)
        self.centrals: list[Central] = []
        self.fences: dict[int, str] = {}
        self.minted = 0
        self.named = 0

    async def mint(self, shard: int) -> str:
        self.minted += 1
        self.fences[shard] = f"fence-{self.minted}"
        return self.fences[shard]

    def join(self) -> None:
        self.named += 1
        self.centrals.append(Central(self, f"central-{self.named}"))

    async def step(self) -> None:
        self.clock.advance(LOOK_S)
        for central in self.centrals:
            if self.clock.monotonic_s() >= central.paused_until_s:
                await central.step()
        held = [shard for central in self.centrals for shard in central.leases.fences()]
        assert len(held) == len(set(held)), held

    async def steps(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK_S)):
            await self.step()

    def holdings(self) -> list[int]:
        return [len(central.leases.fences()) for central in self.centrals]

    async def misfortune(self, chance: Random) -> None:
        """Let something happen to one of them."""
        central = chance.choice(self.centrals)
        match chance.choice(["kill", "end", "pause", "no locks", "no database", "heal", "join"]):
            case "kill" if len(self.centrals) > 1:
                self.centrals.remove(central)
            case "end" if len(self.centrals) > 1:
                self.centrals.remove(central)
                if not central.presence.cut:
                    central.presence.end()
                with suppress(UnreachableError):
                    await central.leases.release_all()
            case "pause":
                central.paused_until_s = self.clock.monotonic_s() + chance.uniform(1, 3 * LEASE_TTL_S)
            case "no locks":
                central.locks.cut_off()
            case "no database":
                central.presence.cut = True
            case "join" if len(self.centrals) < 5:
                self.join()
            case _:
                self.heal(central)

    def heal(self, central: Central) -> None:
        central.locks.heal()
        central.presence.cut = False
        central.paused_until_s = 0.0


async def test_a_newcomer_gets_its_share_and_nothing_moves_any_more(engine: Engine, clock: ManualClock) -> None:
    world = World(engine, clock)
    for expected in ([8], [4, 4], [3, 3, 2], [2, 2, 2, 2]):
        world.join()
        await world.steps(1.0)
        assert world.holdings() == expected
    minted = world.minted
    await world.steps(3 * LEASE_TTL_S)
    assert (world.holdings(), world.minted) == ([2, 2, 2, 2], minted)
    # One goes: only what it held moves.
    gone = world.centrals.pop(0)
    gone.presence.end()
    await gone.leases.release_all()
    await world.steps(1.0)
    assert sorted(world.holdings()) == [2, 3, 3]
    assert world.minted == minted + 2


@pytest.mark.fault_tolerance
async def test_when_one_is_killed_its_shards_are_held_within_the_lease_s_time(
    engine: Engine, clock: ManualClock
) -> None:
    world = World(engine, clock)
    world.join()
    world.join()
    await world.steps(LEASE_TTL_S)
    del world.centrals[0]
    await world.steps(LEASE_TTL_S + LOOK_S)
    assert world.holdings() == [8]


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("what", ["locks", "database"])
async def test_one_that_reaches_only_half_of_what_it_needs_leaves_its_shards_to_the_others(
    engine: Engine, clock: ManualClock, what: str
) -> None:
    world = World(engine, clock)
    world.join()
    world.join()
    await world.steps(1.0)
    half = world.centrals[0]
    if what == "locks":
        half.locks.cut_off()
    else:
        half.presence.cut = True
    await world.steps(LEASE_TTL_S + 1.0)
    assert world.holdings() == [0, 8]
    minted = world.minted
    await world.steps(3 * LEASE_TTL_S)
    assert (world.holdings(), world.minted) == ([0, 8], minted)
    world.heal(half)
    await world.steps(1.0)
    assert world.holdings() == [4, 4]


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_no_shard_has_two_holders_and_afterwards_all_are_shared_and_stay(
    engine: Engine, clock: ManualClock, seed: int
) -> None:
    chance, world = Random(seed), World(engine, clock)
    for _ in range(3):
        world.join()
    for _ in range(40):
        await world.misfortune(chance)
        await world.steps(chance.uniform(0, LEASE_TTL_S / 2))
    for central in world.centrals:
        world.heal(central)
    await world.steps(2 * LEASE_TTL_S + 1.0)
    each, left = divmod(SHARDS, len(world.centrals))
    assert sorted(world.holdings(), reverse=True) == [each + (rank < left) for rank in range(len(world.centrals))]
    minted = world.minted
    await world.steps(3 * LEASE_TTL_S)
    assert world.minted == minted

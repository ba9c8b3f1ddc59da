"""Leases over the twin in memory, and a clock that the test moves."""

from __future__ import annotations

from itertools import count

import pytest
import structlog
from structlog.testing import capture_logs

from central.leases import LEASE_TTL_S, Leases
from invctl.clock import ManualClock
from invctl.errors import BusyError, UnreachableError
from invctl.locks.memory import MemoryLeases, MemoryLocks

pytestmark = pytest.mark.concurrency

NAME = "inv:lease:shard:0"
ALL = 64
"""A share of everything."""


class Office:
    """Several centrals that ask one lock manager, and a database that is only a count of fences."""

    def __init__(self, shards: int = 1) -> None:
        self.clock = ManualClock()
        self.leases = MemoryLeases(self.clock)
        self.shards = shards
        self.numbers = count(1)
        self.row: dict[int, str] = {}
        self.minting_takes_s = 0.0
        self.minting_fails = False
        self.locked_rows: set[int] = set()
        self.lost: list[str] = []

    async def mint(self, shard: int) -> str:
        if self.minting_fails:
            raise UnreachableError("no database")
        if shard in self.locked_rows:
            raise BusyError
        self.clock.advance(self.minting_takes_s)
        self.row[shard] = f"fence-{next(self.numbers)}"
        return self.row[shard]

    def central(self, owner: str, predecessor: str = "") -> tuple[Leases, MemoryLocks]:
        locks = MemoryLocks(self.leases)
        return (
            Leases(
                locks,
                self.mint,
                shards=range(self.shards),
                namespace="inv",
                owner=owner,
                clock=self.clock,
                log=structlog.get_logger(),
                predecessor=predecessor,
                on_lost=self.lost.append,
            ),
            locks,
        )


async def test_a_free_shard_is_taken_and_fenced() -> None:
    office = Office(shards=3)
    leases, _ = office.central("a")
    assert await leases.tick(ALL) == 3
    assert leases.fences() == office.row
    assert office.leases.owner(NAME) == "a"


async def test_a_shard_that_another_holds_is_waited_for_and_neither_taken_nor_fenced() -> None:
    office = Office()
    first, _ = office.central("a")
    second, _ = office.central("b")
    await first.tick(ALL)
    with capture_logs() as lines:
        assert await second.tick(ALL) == 0
        assert await second.tick(ALL) == 0
    assert second.fences() == {}
    assert office.row == first.fences()
    assert [(line["event"], line["holders"]) for line in lines] == [("lease.waiting", ["a"])]


async def test_a_lease_is_renewed_at_a_third_of_its_time() -> None:
    office = Office()
    leases, _ = office.central("a")
    await leases.tick(ALL)
    office.clock.advance(LEASE_TTL_S / 3)
    assert await leases.tick(ALL) == 0
    office.clock.advance(LEASE_TTL_S * 0.9)
    assert office.leases.owner(NAME) == "a"
    assert leases.fences() == office.row


async def test_no_work_past_the_lease_s_end_by_our_own_clock() -> None:
    office = Office()
    leases, locks = office.central("a")
    await leases.tick(ALL)
    fence = office.row[0]
    locks.cut_off()
    office.clock.advance(LEASE_TTL_S - 0.001)
    assert leases.holds(0, fence)
    office.clock.advance(0.001)
    assert not leases.holds(0, fence)
    assert leases.fences() == {}


async def test_the_end_of_a_lease_is_said_also_where_nobody_can_be_asked() -> None:
    office = Office()
    leases, locks = office.central("a")
    await leases.tick(ALL)
    locks.cut_off()
    office.clock.advance(LEASE_TTL_S)
    with capture_logs() as lines, pytest.raises(UnreachableError):
        await leases.tick(ALL)
    assert [line["event"] for line in lines] == ["lease.ended"]
    assert office.lost == ["ended"]


async def test_a_renewal_that_gets_no_answer_is_tried_again_while_the_lease_lasts() -> None:
    office = Office()
    leases, locks = office.central("a")
    await leases.tick(ALL)
    locks.cut_off()
    office.clock.advance(LEASE_TTL_S / 2)
    with pytest.raises(UnreachableError):
        await leases.tick(ALL)
    assert leases.holds(0, office.row[0])
    locks.heal()
    assert await leases.tick(ALL) == 0
    office.clock.advance(LEASE_TTL_S * 0.9)
    assert leases.holds(0, office.row[0])


async def test_a_lease_that_the_locks_forgot_is_taken_back_under_the_same_fence() -> None:
    office = Office(shards=2)
    leases, _ = office.central("a")
    await leases.tick(ALL)
    fences = dict(office.row)
    office.leases.stop()  # a Redis that restarts empty
    office.leases.start()
    assert await leases.tick(ALL) == 0
    assert leases.fences() == office.row == fences
    assert office.leases.owner(NAME) == "a"
    assert office.lost == []


async def test_a_lease_that_another_took_meanwhile_ends_the_work_at_once() -> None:
    office = Office()
    leases, _ = office.central("a")
    await leases.tick(ALL)
    old = office.row[0]
    office.leases.free(NAME)
    other, _ = office.central("b")
    assert await other.tick(ALL) == 1
    assert await leases.tick(ALL) == 1
    assert not leases.holds(0, old)
    assert leases.fences() == {}
    assert other.holds(0, office.row[0])
    assert office.lost == ["denied"]


async def test_a_holder_that_was_paused_past_its_end_finds_that_another_took_over() -> None:
    office = Office()
    paused, _ = office.central("a")
    other, _ = office.central("b")
    await paused.tick(ALL)
    old = office.row[0]
    office.clock.advance(LEASE_TTL_S)
    assert await other.tick(ALL) == 1
    assert not paused.holds(0, old)
    assert await paused.tick(ALL) == 1
    assert paused.fences() == {}
    assert other.holds(0, office.row[0])


async def test_a_lease_that_ended_while_its_fence_was_minted_is_no_lease() -> None:
    office = Office()
    slow, _ = office.central("a")
    office.minting_takes_s = LEASE_TTL_S
    with capture_logs() as lines:
        assert await slow.tick(ALL) == 0
    assert slow.fences() == {}
    assert [line["event"] for line in lines] == ["lease.lost"]
    assert office.lost == ["minting"]


async def test_who_cannot_mint_a_fence_leaves_the_lease_to_others() -> None:
    office = Office()
    leases, _ = office.central("a")
    office.minting_fails = True
    with pytest.raises(UnreachableError, match="no database"):
        await leases.tick(ALL)
    assert office.leases.owner(NAME) is None
    office.minting_fails = False
    assert await leases.tick(ALL) == 1


async def test_a_lost_fence_gives_the_lease_back_and_others_go_first() -> None:
    office = Office()
    leases, _ = office.central("a")
    await leases.tick(ALL)
    leases.fence_lost(0, office.row[0])
    assert office.lost == ["fence"]
    assert leases.fences() == {}
    await leases.tick(ALL)
    assert office.leases.owner(NAME) is None
    other, _ = office.central("b")
    assert await other.tick(ALL) == 1
    assert await leases.tick(ALL) == 0
    assert office.leases.owner(NAME) == "b"


async def test_an_older_fence_of_our_own_that_is_lost_costs_us_nothing() -> None:
    office = Office()
    leases, _ = office.central("a")
    await leases.tick(ALL)
    leases.fence_lost(0, "fence-0")
    assert leases.fences() == {0: office.row[0]}


async def test_a_clean_stop_frees_every_shard_at_once() -> None:
    office = Office(shards=2)
    leases, _ = office.central("a")
    await leases.tick(ALL)
    await leases.release_all()
    assert leases.fences() == {}
    other, _ = office.central("b")
    assert await other.tick(ALL) == 2


async def test_the_leases_of_a_predecessor_that_is_dead_are_ended() -> None:
    office = Office()
    killed, _ = office.central("a")
    await killed.tick(ALL)
    stranger, _ = office.central("c")
    assert await stranger.tick(ALL) == 0
    restarted, _ = office.central("b", predecessor="a")
    assert await restarted.tick(ALL) == 1
    assert office.leases.owner(NAME) == "b"


async def test_a_predecessor_s_name_frees_no_lease_that_another_holds() -> None:
    office = Office()
    other, _ = office.central("c")
    await other.tick(ALL)
    restarted, _ = office.central("b", predecessor="a")
    assert await restarted.tick(ALL) == 0
    assert office.leases.owner(NAME) == "c"


async def test_no_more_shards_are_taken_than_the_share() -> None:
    office = Office(shards=8)
    leases, _ = office.central("a")
    assert await leases.tick(3) == 3
    assert len(leases.fences()) == 3
    assert await leases.tick(3) == 0


async def test_what_is_above_the_share_is_handed_over_when_its_last_round_is_done() -> None:
    office = Office(shards=8)
    elder, _ = office.central("a")
    await elder.tick(8)
    before = elder.fences()
    newcomer, _ = office.central("b")
    assert await elder.tick(4) == 4
    kept = elder.fences()
    assert len(kept) == 4
    # They are not served any more, and nobody else may serve them yet.
    left = {shard: fence for shard, fence in before.items() if shard not in kept}
    assert not any(elder.holds(shard, fence) for shard, fence in left.items())
    assert await newcomer.tick(4) == 0
    assert await elder.tick(4) == 0
    for shard, fence in left.items():
        await elder.ended(shard, fence)
    assert await newcomer.tick(4) == 4
    assert newcomer.fences().keys() == left.keys()
    assert await elder.tick(4) == await newcomer.tick(4) == 0


async def test_the_end_of_a_round_under_an_older_fence_ends_no_lease() -> None:
    office = Office()
    leases, _ = office.central("a")
    await leases.tick(1)
    await leases.tick(0)
    await leases.ended(0, "fence-0")
    assert office.leases.owner(NAME) == "a"
    await leases.ended(0, office.row[0])
    assert office.leases.owner(NAME) is None


async def test_a_lease_that_could_not_be_released_at_its_hand_over_is_released_later() -> None:
    office = Office()
    leases, locks = office.central("a")
    await leases.tick(1)
    await leases.tick(0)
    locks.cut_off()
    await leases.ended(0, office.row[0])
    locks.heal()
    await leases.tick(0)
    assert office.leases.owner(NAME) is None


async def test_who_is_not_known_to_live_hands_over_everything_and_takes_nothing() -> None:
    office = Office(shards=2)
    leases, _ = office.central("a")
    assert await leases.tick(None) == 0
    await leases.tick(2)
    fences = leases.fences()
    assert await leases.tick(None) == 2
    for shard, fence in fences.items():
        await leases.ended(shard, fence)
    for _ in range(4):
        office.clock.advance(LEASE_TTL_S)
        assert await leases.tick(None) == 0
    assert office.leases.owner(NAME) is None
    # What was free meanwhile was not left by others.
    assert await leases.tick(0) == 0


async def test_a_shard_that_nobody_takes_for_two_leases_is_taken_above_the_share_and_kept() -> None:
    office = Office(shards=3)
    leases, _ = office.central("a")
    assert await leases.tick(2) == 2
    office.clock.advance(2 * LEASE_TTL_S / 3)
    await leases.tick(2)
    office.clock.advance(2 * LEASE_TTL_S / 3)
    await leases.tick(2)
    office.clock.advance(2 * LEASE_TTL_S / 3 - 0.001)
    assert await leases.tick(2) == 0
    office.clock.advance(0.002)
    assert await leases.tick(2) == 1
    assert len(leases.fences()) == 3
    # To hand it over would leave it to nobody again.
    assert await leases.tick(2) == 0
    # Until the shares change: somebody came or went.
    assert await leases.tick(1) == 2
    assert len(leases.fences()) == 1


async def test_an_outage_of_the_locks_does_not_count_as_time_in_which_nobody_took_a_shard() -> None:
    office = Office()
    leases, locks = office.central("a")
    await leases.tick(0)
    office.clock.advance(LEASE_TTL_S)
    locks.cut_off()
    with pytest.raises(UnreachableError):
        await leases.tick(0)
    locks.heal()
    office.clock.advance(LEASE_TTL_S)
    assert await leases.tick(0) == 0
    office.clock.advance(2 * LEASE_TTL_S)
    assert await leases.tick(0) == 1


async def test_a_lease_that_was_given_and_whose_answer_was_lost_is_found() -> None:
    office = Office()
    office.leases.hold(NAME, "a", round(LEASE_TTL_S * 1000))
    leases, _ = office.central("a")
    assert await leases.tick(1) == 1


async def test_what_is_being_handed_over_is_not_taken_back_before_its_last_round_is_done() -> None:
    office = Office(shards=2)
    other, _ = office.central("b")
    await other.tick(1)
    leases, _ = office.central("a")
    await leases.tick(1)
    old = office.row[1]
    await leases.tick(0)
    assert await leases.tick(2) == 0
    await leases.ended(1, old)
    assert await leases.tick(2) == 1
    assert leases.holds(1, office.row[1])
    assert office.row[1] != old


@pytest.mark.fault_tolerance
async def test_a_shard_whose_row_is_locked_holds_up_no_other_and_is_said_once() -> None:
    office = Office(shards=3)
    office.locked_rows = {0}
    leases, _ = office.central("a")
    with capture_logs() as lines:
        assert await leases.tick(3) == 2
        assert await leases.tick(3) == 0
    assert leases.fences().keys() == {1, 2}
    assert [line["shard"] for line in lines if line["event"] == "lease.busy"] == [0]
    assert office.leases.owner(NAME) is None
    office.locked_rows.clear()
    assert await leases.tick(3) == 1

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from scripts.simulation.agenda import ViolationError
from tests.simulation import planted
from tests.simulation.world import DRAIN_MAX_S, Bugs, World

if TYPE_CHECKING:
    from invctl.sync.receiver import Receiver
    from invctl.sync.shipper import Shipper

pytestmark = [pytest.mark.simulation, pytest.mark.fault_tolerance]

SEEDS = 200
SHARDS = 10
SEEDS_TO_FIND_A_BUG = 60
TROUBLES = [
    *("damaged", "duplicate", "gap", "gap asked for", "refused: not_admitted", "acknowledged seq went down"),
    *(
        "silence",
        "tried again",
        "publish failed",
        "daemon killed",
        "central killed",
        "killed between commit and answer",
    ),
    *("commit failed", "central restored from a copy", "answered by a central that was replaced", "fence missed"),
    *("clock set back", "clock_set_back"),
]


@pytest.mark.parametrize("shard", range(SHARDS))
def test_whatever_goes_wrong_everything_drains_and_nothing_is_applied_twice(shard: int) -> None:
    for seed in range(shard, SEEDS, SHARDS):
        try:
            world = World(seed).run()
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
        assert world.drained_s <= DRAIN_MAX_S
        assert world.fresh_claims > 0


def test_the_same_seed_gives_the_same_world_to_the_last_byte() -> None:
    traces = [World(seed).run().trace for seed in range(5)]
    assert [World(seed).run().trace for seed in range(5)] == traces
    assert len(set(traces)) == 5


def test_each_trouble_is_met_in_many_worlds() -> None:
    met: Counter[str] = Counter()
    for seed in range(40):
        met.update(name for name, count in World(seed).run().met.items() if count)
    assert {name: met[name] for name in TROUBLES if met[name] < 5} == {}


@pytest.mark.parametrize(
    ("bug", "violation"),
    [
        (planted.AcknowledgesBeforeCommit, "was told [0-9]+, committed is [0-9]+"),
        (planted.AppliesTwice, "is not a beginning of its ledger"),
        (planted.OverlooksGaps, "is not a beginning of its ledger"),
        (planted.BelievesEveryHead, "is shown as of [0-9]+ with"),
        (planted.DatesByArrival, "is shown as of [0-9]+ with"),
        (planted.CountsProofsThatFailed, "is shown as of [0-9]+ with"),
        (planted.BelievesThatClocksOnlyRunOn, "is shown as of [0-9]+ with"),
    ],
)
def test_a_bug_planted_in_the_receiving_side_is_seen(bug: type[Receiver], violation: str) -> None:
    assert seen(Bugs(receiver=bug), violation)


@pytest.mark.parametrize(
    ("bug", "violation"),
    [
        (planted.HasNoHeartbeat, "does not know that all has come"),
        (planted.NeverGoesBack, "of [0-9]+ events have come"),
        (planted.TrustsThePublish, "takes for acknowledged what central never applied"),
        (planted.NeverTriesAgain, "of [0-9]+ events have come"),
        (planted.SendsAgainAtOnce, "frames under way"),
        (planted.ReadsItsHeadTooEarly, "is shown as of [0-9]+ with"),
    ],
)
def test_a_bug_planted_in_the_sending_side_is_seen(bug: type[Shipper], violation: str) -> None:
    assert seen(Bugs(shipper=bug), violation)


def seen(bugs: Bugs, violation: str) -> bool:
    """Say whether a world shows a bug in this way. Each of them is free of violations without it."""
    for seed in range(SEEDS_TO_FIND_A_BUG):
        try:
            World(seed, bugs).run()
        except ViolationError as error:
            if re.search(violation, str(error)):
                return True
    return False

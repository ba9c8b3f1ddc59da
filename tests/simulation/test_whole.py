"""The whole system in virtual time: everything holds in every world, and each planted bug is seen in some."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING

import pytest

from invctl.runtime.process import seldom_collected
from scripts.simulation.plants import PLANTS
from scripts.simulation.running import run_seed
from tests.e2e.clerk import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.simulation

SEEDS = 1000
AT_ONCE = 50
# So many are run wherever anything is.
SEEDS_QUICK = 100
PLANT_SEEDS = 40
# It takes hundreds of worlds: a store has to be put back to a copy from between two rejoins.
RARE = frozenset({"reappended_twice"})
FAULTS = (
    "broker restarted empty",
    "central cut off from the leases",
    "central killed",
    "central killed at a commit",
    "central killed between commit and answer",
    "central paused",
    "central paused past its lease, inside a round",
    "central reset",
    "central restored from a copy",
    "clerk's process killed at a commit",
    "clock moved",
    "daemon killed",
    "events altered under a right checksum",
    "frame doubled",
    "frame dropped",
    "frame late",
    "frame lost in a partition",
    "frame truncated",
    "frame with a flipped bit",
    "head office's commit failed",
    "old frame again",
    "publish failed",
    "store cloned",
    "store cut off",
    "store restored from a copy",
)


@pytest.fixture(scope="module", autouse=True)
def fast() -> Iterator[None]:
    with seldom_collected():
        yield


@pytest.mark.parametrize(
    "first",
    [
        *range(0, SEEDS_QUICK, AT_ONCE),
        *(pytest.param(first, marks=pytest.mark.slow) for first in range(SEEDS_QUICK, SEEDS, AT_ONCE)),
    ],
)
def test_everything_holds_whatever_happens_each_kind_of_trouble_is_met_and_there_is_trade(first: int) -> None:
    outcomes = [run_seed(seed) for seed in range(first, first + AT_ONCE)]
    assert {each.seed: each.violation for each in outcomes if each.violation} == {}
    worlds = Counter(name for each in outcomes for name, times in each.met.items() if times)
    assert [name for name in FAULTS if worlds[name] < 0.05 * AT_ONCE] == []
    assert all(worlds[name] for name in ("rejoined", "came anew", "discrepancy", "fence missed", "clerk told frozen"))
    assert median(each.events for each in outcomes) >= 100


@pytest.mark.parametrize("plant", [name for name in PLANTS if name not in RARE])
def test_a_planted_bug_is_seen_by_an_invariant_that_it_breaks(plant: str) -> None:
    outcome = next(outcome for seed in range(PLANT_SEEDS) if (outcome := run_seed(seed, plant=plant)).violation)
    assert outcome.invariant in PLANTS[plant].seen_by, outcome.violation
    # It leaves nothing behind: without it the same world is sound.
    assert run_seed(outcome.seed).violation == ""


def simulate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command, as a process of its own."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "scripts.simulate", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_seed_is_the_same_world_step_by_step(tmp_path: Path) -> None:
    runs = [simulate(tmp_path, "--from", "4", "--seeds", "1", "--trace") for _ in range(2)]
    assert [run.stderr for run in runs] == ["seed 4: everything holds\n"] * 2
    assert len(runs[0].stdout.splitlines()) > 200
    assert runs[0].stdout == runs[1].stdout


def test_the_command_says_what_it_ran(tmp_path: Path) -> None:
    run = simulate(tmp_path, "--seeds", "3", "--from", "7", "--stores", "2", "--jobs", "1", "-o", "json")
    said = json.loads(run.stdout)
    assert (run.returncode, said["seeds"], said["failures"], said["failed_seeds"]) == (0, 3, 0, [])
    assert said["events"] == sum(run_seed(seed, stores=2).events for seed in (7, 8, 9))


def test_quietly_it_says_how_many_failed(tmp_path: Path) -> None:
    run = simulate(tmp_path, "--seeds", "1", "--jobs", "1", "-q")
    assert (run.returncode, run.stdout, run.stderr) == (0, "0\n", "")


def test_a_bug_that_was_found_is_a_failure_told_with_its_seed(tmp_path: Path) -> None:
    seed = next(seed for seed in range(PLANT_SEEDS) if run_seed(seed, plant="lost_tail").violation)
    run = simulate(tmp_path, "--from", str(seed), "--seeds", "1", "--plant", "lost_tail", "--trace")
    assert run.returncode == 8
    assert run.stderr.startswith("drained: ")

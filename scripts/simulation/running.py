"""Run seeded worlds, many at a time, and say what became of them."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from invctl.runtime.process import seldom_collected
from scripts.simulation.agenda import ViolationError
from scripts.simulation.plants import PLANTS
from scripts.simulation.world import Bugs, World

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

# In memory where there is such a folder: nothing of a world outlives its process, so nothing has to reach a disk.
_MEMORY = Path("/dev/shm")  # noqa: S108 - each world has a folder of its own in it
_AT_ONCE = 8


class Outcome(NamedTuple):
    """What became of one world. `met` counts what it went through; `violation` is empty where everything held."""

    seed: int
    events: int
    met: Counter[str]
    invariant: str
    violation: str


class Found(NamedTuple):
    """What became of a planted bug: the first seed that sees it, None where none did, and by which invariant."""

    plant: str
    seeds: int
    seed: int | None
    invariant: str
    violation: str
    is_named: bool
    """Whether that invariant is one of those that the bug is said to break."""


def run_seed(seed: int, *, stores: int = 3, plant: str = "", trace: Callable[[str], None] | None = None) -> Outcome:
    """Run the world of one seed. The same seed gives the same world, step by step."""
    folder = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    planted = PLANTS[plant].planted() if plant else nullcontext(Bugs())
    with TemporaryDirectory(prefix="invctl-simulation-", dir=folder) as name, planted as bugs:
        world = World(seed, Path(name), stores=stores, bugs=bugs)
        world.trace = trace
        invariant = violation = ""
        try:
            world.run()
        except ViolationError as error:
            invariant, violation = error.invariant or "steps", str(error)
        finally:
            world.close()
        return Outcome(seed, world.events, world.met, invariant, violation)


@contextmanager
def workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Start processes that run worlds."""
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    # What a worker is forked from stays as it is in there: garbage is rare, and its settings are inherited.
    with seldom_collected(), ProcessPoolExecutor(jobs, mp_context=context) as pool:
        try:
            yield pool
        except BaseException:
            # Ctrl-C waits for the worlds under way, not for all that were to come.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def run_seeds(pool: ProcessPoolExecutor, seeds: range, *, stores: int, plant: str = "") -> Iterator[Outcome]:
    """Run the worlds of these seeds, and yield what became of each, in order."""
    yield from pool.map(partial(run_seed, stores=stores, plant=plant), seeds, chunksize=4)


def find_plant(pool: ProcessPoolExecutor, plant: str, seeds: range, *, stores: int, jobs: int) -> Found:
    """Plant a bug in one world after the other, until an invariant sees it."""
    for first in range(seeds.start, seeds.stop, _AT_ONCE * jobs):
        for outcome in run_seeds(pool, seeds[first - seeds.start :][: _AT_ONCE * jobs], stores=stores, plant=plant):
            if outcome.violation:
                is_named = outcome.invariant in PLANTS[plant].seen_by
                ran = outcome.seed - seeds.start + 1
                return Found(plant, ran, outcome.seed, outcome.invariant, outcome.violation, is_named)
    return Found(plant, len(seeds), None, "", "", False)

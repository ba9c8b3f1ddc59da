"""Run the whole system through seeded worlds of trouble, in virtual time, and hold it to what must always hold."""

from __future__ import annotations

import os
import sys
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

from typer import Context, Exit, Option

from invctl.console.command import output
from invctl.console.options import Parsed, whole
from invctl.console.output import Column
from invctl.errors import InvalidValueError
from scripts.chain.command import A_SEED, run_script
from scripts.simulation.plants import PLANTS
from scripts.simulation.running import find_plant, run_seed, run_seeds, workers
from scripts.simulation.world import NAMES

if TYPE_CHECKING:
    from invctl.console.output import Output
    from scripts.simulation.running import Found, Outcome

ALL = "all"
FAILED = 8
SEEDS_MAX = 10_000_000
SHOWN_MAX = 5
_FOUND = [
    Column("plant", style="bold"),
    Column("seeds"),
    Column("invariant"),
    Column("violation", folds=True),
    Column("seed", in_table=False),
    Column("is_named", in_table=False),
]


def parse_plant(text: str) -> str:
    """Return the name of a bug, or `all`. Raises InvalidValueError."""
    if text not in PLANTS and text != ALL:
        raise InvalidValueError(f"there is no bug {text!r} to plant", hint="all, or one of " + ", ".join(PLANTS))
    return text


def simulate(
    ctx: Context,
    seeds: Annotated[int, Option("--seeds", click_type=whole(1, SEEDS_MAX, "N"), help="How many worlds.")] = 1000,
    first: Annotated[int, Option("--from", click_type=A_SEED, help="The first seed.")] = 0,
    stores: Annotated[
        int, Option("--stores", click_type=whole(1, len(NAMES), "N"), help="How many stores in each world.")
    ] = len(NAMES),
    plant: Annotated[
        str | None,
        Option(
            "--plant", click_type=Parsed("NAME", parse_plant), help="Plant a known bug, or `all`: it has to be found."
        ),
    ] = None,
    jobs: Annotated[
        int | None, Option("--jobs", click_type=whole(1, 256, "N"), help="Worlds at once; by default one a core.")
    ] = None,
    trace: Annotated[
        bool, Option("--trace", help="Tell every step of one world, the first seed's, on stdout.")
    ] = False,
) -> None:
    """Run seeded worlds: several stores and two centrals, on real ledgers and a real database, in virtual time.

    Frames are dropped, doubled, delayed, reordered and damaged; every party is killed and restarted at any moment;
    clocks jump, the broker forgets, stores and head office are put back to older copies, stores run twice. Then there
    is peace, and everything must drain and hold. The exit code is 8 where something did not.

    For example:

        scripts/simulate --seeds 10000
        scripts/simulate --from 4711 --seeds 1 --trace
        scripts/simulate --plant all
    """
    out = output(ctx)
    jobs = jobs or cores()
    if trace:
        if plant == ALL:
            raise InvalidValueError("one world is traced, and with one bug", hint="--plant NAME --trace")
        _trace(out, first, stores, plant or "")
    elif plant:
        _plant(out, list(PLANTS) if plant == ALL else [plant], range(first, first + seeds), stores, jobs)
    else:
        _run(out, range(first, first + seeds), stores, jobs)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _trace(out: Output, seed: int, stores: int, plant: str) -> None:
    outcome = run_seed(seed, stores=stores, plant=plant, trace=print)
    out.talk(outcome.violation or f"seed {seed}: everything holds")
    if outcome.violation:
        raise Exit(FAILED)


def _run(out: Output, seeds: range, stores: int, jobs: int) -> None:
    met: Counter[str] = Counter()
    worlds: Counter[str] = Counter()
    failed: list[Outcome] = []
    events: list[int] = []
    with workers(jobs) as pool, out.progress("simulating", total=len(seeds)) as bar:
        for number, outcome in enumerate(run_seeds(pool, seeds, stores=stores), 1):
            met += outcome.met
            worlds.update(name for name, times in outcome.met.items() if times)
            events.append(outcome.events)
            if outcome.violation:
                failed.append(outcome)
            bar.update(number)
    record: dict[str, Any] = {
        "seeds": len(seeds),
        "failures": len(failed),
        "failed_seeds": [outcome.seed for outcome in failed],
        "events": sum(events),
        "median_events": int(median(events)),
        "met": dict(sorted(met.items())),
        "worlds_that_met": dict(sorted(worlds.items())),
    }
    for outcome in failed[:SHOWN_MAX]:
        out.talk([(f"seed {outcome.seed}:", "bold red"), f" {outcome.violation}"])
        out.talk(f"  again, step by step: scripts/simulate --from {outcome.seed} --seeds 1 --stores {stores} --trace")
    verdict = f"{len(failed)} of {len(seeds)} worlds failed" if failed else f"everything holds in {len(seeds)} worlds"
    out.result(record, message=f"{verdict}; {sum(events)} events", ident=str(len(failed)))
    if out.fmt == "table" and not out.quiet and not failed:
        rows = [{"what": name, "worlds": count, "times": met[name]} for name, count in worlds.most_common()]
        out.rows([Column("what", "What they met"), Column("worlds"), Column("times")], rows)
    if failed:
        raise Exit(FAILED)


def _plant(out: Output, names: list[str], seeds: range, stores: int, jobs: int) -> None:
    found: list[Found] = []
    with workers(jobs) as pool, out.progress("planting", total=len(names)) as bar:
        for number, name in enumerate(names, 1):
            found.append(find_plant(pool, name, seeds, stores=stores, jobs=jobs))
            bar.update(number)
    out.rows(_FOUND, [_row(each) for each in found])
    missed = [each.plant for each in found if each.seed is None]
    misnamed = [each.plant for each in found if each.seed is not None and not each.is_named]
    if missed:
        out.talk([("not found:", "bold red"), " " + ", ".join(missed)])
    if misnamed:
        out.talk([("seen by another invariant than it is said to break:", "bold red"), " " + ", ".join(misnamed)])
    if missed or misnamed:
        raise Exit(FAILED)


def _row(found: Found) -> dict[str, Any]:
    return {**found._asdict(), "violation": found.violation.removeprefix(f"{found.invariant}: ")}


if __name__ == "__main__":
    run_script("simulate", simulate)

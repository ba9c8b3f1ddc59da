"""Measure how fast it is, each figure beside a bare reference in the same run."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Annotated

from typer import Context, Exit, Option

from invctl.console.command import output
from invctl.console.options import Parsed
from invctl.console.output import Column
from invctl.errors import InvalidValueError
from scripts.benchmarks import counter, office, report, road, year
from scripts.benchmarks.figure import Lab
from scripts.chain.broker import start_broker
from scripts.chain.command import run_script
from scripts.chain.leftovers import clear_and_tell
from scripts.chain.workspace import Workspace

if TYPE_CHECKING:
    from scripts.benchmarks.figure import Figure

BENCHMARKS = {each.name: each for each in (*counter.BENCHMARKS, *road.BENCHMARKS, *office.BENCHMARKS, *year.BENCHMARKS)}
SHORT_OF_IT = 1


def parse_name(text: str) -> str:
    """Return the name of a benchmark. Raises InvalidValueError."""
    if text not in BENCHMARKS:
        raise InvalidValueError(f"there is no benchmark {text!r}", hint="one of " + ", ".join(BENCHMARKS))
    return text


def parse_scale(text: str) -> float:
    """Read what amounts of work are multiplied by. Raises InvalidValueError."""
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale <= 1:
        raise InvalidValueError(f"{text!r} is no scale", hint="above 0, and at most 1")
    return scale


def bench(
    ctx: Context,
    write: Annotated[
        bool,
        Option("--write", help="Renew these figures, and the pictures, in docs/performance.md; with --scale 1 alone."),
    ] = False,
    only: Annotated[
        list[str] | None,
        Option("--only", click_type=Parsed("NAME", parse_name), help="Measure this alone; may be repeated."),
    ] = None,
    scale: Annotated[
        float,
        Option(
            "--scale",
            click_type=Parsed("PART", parse_scale),
            help="Do this part of the work alone, such as 0.01: to see it run, not to measure.",
        ),
    ] = 1.0,
) -> None:
    """Measure, round by round in turn with a bare reference, and print medians and their ratio.

    The exit code is 1 where a figure falls short of what it is to reach.

    For example:

        scripts/bench
        scripts/bench --only reserve --only drain -o json
    """
    out = output(ctx)
    if write and scale != 1:
        raise InvalidValueError("figures of a part of the work are none", hint="leave --scale out")
    clear_and_tell(out)
    chosen = [BENCHMARKS[name] for name in dict.fromkeys(only or BENCHMARKS)]
    figures: list[Figure] = []
    with ExitStack() as held:
        workspace = held.enter_context(Workspace.create("bench"))
        bar = held.enter_context(out.progress("measuring", total=len(chosen)))
        brokers = partial(start_broker, workspace.processes, environ=os.environ, say=out.talk)
        lab = Lab(
            folder=workspace.path,
            processes=workspace.processes,
            start_broker=lambda: brokers(lab.room("broker")),
            step=bar.say,
            scale=scale,
        )
        for number, benchmark in enumerate(chosen, 1):
            figures += benchmark.run(lab)
            bar.update(number)
    if out.fmt == "table":
        rows = [
            {**figure.as_dict(), "goal": report.goal_of(figure.goal.ratio, figure.goal.ours, figure.better)}
            for figure in figures
        ]
        out.rows(_COLUMNS, rows)
        for figure in figures:
            if figure.beside:
                out.talk(f"{figure.name}: " + ", ".join(f"{name} {value}" for name, value in figure.beside.items()))
    else:
        out.result({"results": [figure.as_dict() for figure in figures]}, message="", ident="")
    if write:
        out.talk("written: " + ", ".join(str(path.relative_to(report.DOCS.parent)) for path in report.write(figures)))
    if scale == 1 and not all(figure.reached for figure in figures):
        raise Exit(SHORT_OF_IT)


_COLUMNS = [
    Column("name", style="bold"),
    Column("ours", show=lambda value: f"{value:,.5g}"),
    Column("reference", show=lambda value: f"{value:,.5g}"),
    Column("unit"),
    Column("ratio", show=lambda value: "-" if value is None else f"{value:.2f}"),
    Column("goal", title="To reach"),
    Column("reached", show=lambda value: "yes" if value else "no"),
]

if __name__ == "__main__":
    run_script("bench", bench)

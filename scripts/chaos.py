"""Do real faults to real processes, and see whether what is expected came of each."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Context, Exit, Option

from invctl.console.command import output
from invctl.console.options import Parsed, whole
from invctl.console.output import Column
from invctl.errors import InvalidValueError
from scripts.chain.command import run_script
from scripts.chain.leftovers import clear_and_tell
from scripts.trouble.catalogue import SCENARIOS
from scripts.trouble.running import AS_EXPECTED, OTHERWISE, SKIPPED, Outcome, run
from scripts.trouble.scene import BACKLOG

if TYPE_CHECKING:
    from invctl.console.output import Output
    from scripts.trouble.scenario import Scenario

OTHERWISE_CODE = 8
BACKLOG_MAX = 10_000_000
_LISTED = [
    Column("name", style="bold cyan"),
    Column("fault", folds=True),
    Column("expected", "What should come of it", folds=True),
]
_DONE = [
    Column("name", style="bold cyan"),
    Column("outcome"),
    Column("seconds", "Took", show=lambda seconds: f"{seconds} s"),
    Column("events"),
    Column("told", "Remarks", folds=True),
    *(Column(name, in_table=False) for name in ("fault", "expected", "kept")),
]


def parse_name(text: str) -> str:
    """Return a fault's name. Raises InvalidValueError."""
    if text not in SCENARIOS:
        raise InvalidValueError(f"there is no fault {text!r}", hint="`scripts/chaos --list` shows all")
    return text


def chaos(
    ctx: Context,
    names: Annotated[
        list[str] | None, Argument(click_type=Parsed("NAME", parse_name), metavar="[NAME]...", help="These faults.")
    ] = None,
    every: Annotated[bool, Option("--all", help="All faults, one after the other.")] = False,
    listed: Annotated[
        bool, Option("--list", help="Do nothing: list the faults, and what should come of each.")
    ] = False,
    central_url: Annotated[
        str | None,
        Option(
            "--central-url",
            metavar="URL",
            help="A PostgreSQL, for the faults that take two centrals at work; they have a schema of their own there.",
        ),
    ] = None,
    backlog: Annotated[
        int,
        Option(
            "--backlog",
            click_type=whole(1000, BACKLOG_MAX, "N"),
            help="How many events wait in a store that was away for a month. A million takes some minutes.",
        ),
    ] = BACKLOG,
    keep: Annotated[bool, Option("--keep", help="Keep each fault's folder, with its databases and logs.")] = False,
) -> None:
    """Do faults to real daemons, a real head office and a real broker, each in a chain of its own.

    Each ends in the proof: every ledger is held against head office, byte for byte, and both `verify` have to hold. The
    exit code is 8 where something else came than was expected. What a machine has not got is skipped, and said: that is
    not shown to hold.

    For example:

        scripts/chaos --list
        scripts/chaos broker-emptied store-put-back
        scripts/chaos --all --central-url postgresql://postgres@localhost/test -o json
    """
    out = output(ctx)
    if listed:
        out.rows(_LISTED, [_listing(scenario) for scenario in SCENARIOS.values()])
        return
    if bool(names) == every:
        raise InvalidValueError("say which faults", hint="NAME..., or --all; `scripts/chaos --list` shows them")
    clear_and_tell(out)
    wanted = list(SCENARIOS) if every else list(dict.fromkeys(names or []))
    outcomes = _run(out, wanted, central_url, backlog=backlog, keep=keep)
    out.rows(_DONE, [_row(each) for each in outcomes])
    out.talk(_summary(outcomes))
    if any(each.outcome == OTHERWISE for each in outcomes):
        raise Exit(OTHERWISE_CODE)


def _run(out: Output, names: list[str], central_url: str | None, *, backlog: int, keep: bool) -> list[Outcome]:
    outcomes = []
    for number, name in enumerate(names, 1):
        outcome = run(SCENARIOS[name], postgres_url=central_url, keep=keep, backlog=backlog)
        outcomes.append(outcome)
        told = f": {outcome.told}" if outcome.told else ""
        style = "bold red" if outcome.outcome == OTHERWISE else "bold"
        out.talk([f"{number}/{len(names)} ", (name, style), f" {outcome.outcome}, {outcome.seconds} s{told}"])
        if outcome.kept:
            out.talk(f"  kept in {outcome.kept}")
    return outcomes


def _summary(outcomes: list[Outcome]) -> str:
    """Return how many ended how. What was skipped is not shown to hold, so it is named."""
    counts = Counter(each.outcome for each in outcomes)
    told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in (AS_EXPECTED, OTHERWISE, SKIPPED))
    skipped = [each.name for each in outcomes if each.outcome == SKIPPED]
    return f"{told}: {', '.join(skipped)}" if skipped else told


def _listing(scenario: Scenario) -> dict[str, str]:
    return {"name": scenario.name, "fault": scenario.fault, "expected": scenario.expected}


def _row(outcome: Outcome) -> dict[str, Any]:
    return outcome._asdict()


if __name__ == "__main__":
    run_script("chaos", chaos)

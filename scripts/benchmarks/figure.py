"""A figure: ours beside its reference, as medians of rounds that took turns."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import ge, le
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from scripts.chain.broker import Broker
    from scripts.chain.processes import ProcessTable

Better = Literal["higher", "lower"]


class Goal(NamedTuple):
    """What is to be reached: a ratio of ours to the reference, and what ours has to be by itself (None: nothing)."""

    ratio: float | None = None
    ours: float | None = None


@dataclass
class Figure:
    """One row of the table. `beside` holds what was measured along with it, by names that bear their unit."""

    name: str
    ours: float
    reference: float
    unit: str
    better: Better
    goal: Goal
    beside: dict[str, Any] = field(default_factory=dict)
    rounds: list[tuple[float, float]] = field(default_factory=list)
    """Ours and the reference's, round by round."""

    @classmethod
    def of_dict(cls, value: dict[str, Any]) -> Figure:
        """Return what `as_dict` made a JSON value of."""
        return cls(
            name=value["name"],
            ours=value["ours"],
            reference=value["reference"],
            unit=value["unit"],
            better=value["better"],
            goal=Goal(**value["goal"]),
            beside=value["beside"],
            rounds=[(ours, reference) for ours, reference in value["rounds"]],
        )

    @property
    def ratio(self) -> float | None:
        """Ours to the reference; None where the reference is nothing at all."""
        return self.ours / self.reference if self.reference else None

    @property
    def reached(self) -> bool:
        """Whether it is as good as it is to be."""
        is_as_good = ge if self.better == "higher" else le
        pairs = ((self.ratio, self.goal.ratio), (self.ours, self.goal.ours))
        return all(goal is None or (value is not None and is_as_good(value, goal)) for value, goal in pairs)

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value."""
        return {
            "name": self.name,
            "ours": _rounded(self.ours),
            "reference": _rounded(self.reference),
            "unit": self.unit,
            "ratio": None if self.ratio is None else _rounded(self.ratio),
            "better": self.better,
            "reached": self.reached,
            "goal": self.goal._asdict(),
            "beside": self.beside,
            "rounds": [[_rounded(ours), _rounded(reference)] for ours, reference in self.rounds],
        }


@dataclass
class Lab:
    """Where benchmarks are run, and what they share.

    `scale` is what each amount of work is multiplied by: 1 in earnest, less to see whether a benchmark runs.
    """

    folder: Path
    processes: ProcessTable
    start_broker: Callable[[], Broker]
    step: Callable[[str], None]
    """Told of each step, for the progress bar."""
    scale: float = 1.0

    def amount(self, full: int, least: int = 1) -> int:
        """Return an amount of work at this scale."""
        return max(round(full * self.scale), least)

    def rounds(self, full: int) -> int:
        """Return how often to measure: once where it is only to be seen to run."""
        return full if self.scale == 1 else 1

    def room(self, name: str) -> Path:
        """Return a new folder, in the run's own."""
        for number in range(1_000_000):
            path = self.folder / f"{name}-{number}"
            if not path.exists():
                path.mkdir(parents=True)
                return path
        raise AssertionError("too many folders")


@dataclass(frozen=True)
class Benchmark:
    """A row of the table before it is measured."""

    name: str
    what: str
    reference: str
    run: Callable[[Lab], Sequence[Figure]]


def take_turns(
    rounds: int, ours: Callable[[], float], reference: Callable[[], float], step: Callable[[str], None], name: str
) -> list[tuple[float, float]]:
    """Measure both in turn, so that what the machine does meanwhile falls on both; who is first changes, too."""
    measured = []
    for number in range(rounds):
        step(f"{name}, round {number + 1} of {rounds}")
        if number % 2:
            bare = reference()
            measured.append((ours(), bare))
        else:
            mine = ours()
            measured.append((mine, reference()))
    return measured


def figure_of(
    name: str,
    rounds: list[tuple[float, float]],
    *,
    unit: str,
    better: Better,
    goal: Goal,
    beside: dict[str, Any] | None = None,
) -> Figure:
    """Make a figure of the medians of its rounds."""
    ours, reference = (median(values) for values in zip(*rounds, strict=True))
    return Figure(name, ours, reference, unit, better, goal, beside or {}, rounds)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of sorted values, of which there is at least one."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def batches(total: int, size: int) -> Iterator[range]:
    """Divide so many into runs of a size, the last one smaller."""
    for first in range(0, total, size):
        yield range(first, min(first + size, total))


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")

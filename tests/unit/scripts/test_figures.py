"""A figure says what was measured, and whether it is as good as it is to be; a bench does not flatter itself."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from scripts.bench import BENCHMARKS
from scripts.benchmarks import report
from scripts.benchmarks.figure import Better, Goal, batches, figure_of, quantile, take_turns

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("ours", "reference", "better", "goal", "reached"),
    [
        (60.0, 100.0, "higher", Goal(ratio=0.6), True),
        (59.0, 100.0, "higher", Goal(ratio=0.6), False),
        (60.0, 100.0, "higher", Goal(ratio=0.6, ours=61.0), False),
        (60.0, 100.0, "higher", Goal(ratio=0.6, ours=60.0), True),
        (12.0, 10.0, "lower", Goal(ratio=1.2), True),
        (13.0, 10.0, "lower", Goal(ratio=1.2), False),
        (0.4, 0.0, "lower", Goal(ours=0.5), True),
        (0.6, 0.0, "lower", Goal(ours=0.5), False),
        # Nothing is as good as nothing, so a ratio to it is not reached.
        (0.4, 0.0, "lower", Goal(ratio=1.0), False),
    ],
)
def test_what_is_reached(ours: float, reference: float, better: Better, goal: Goal, reached: bool) -> None:
    figure = figure_of("x", [(ours, reference)], unit="ms", better=better, goal=goal)
    assert figure.reached is reached
    assert figure.as_dict()["reached"] is reached
    assert figure.as_dict()["ratio"] == (float(f"{ours / reference:.5g}") if reference else None)


def test_a_figure_is_the_medians_of_its_rounds() -> None:
    figure = figure_of("x", [(1.0, 10.0), (9.0, 30.0), (2.0, 20.0)], unit="ms", better="lower", goal=Goal())
    assert (figure.ours, figure.reference, figure.ratio) == (2.0, 20.0, 0.1)
    assert figure.as_dict()["rounds"] == [[1.0, 10.0], [9.0, 30.0], [2.0, 20.0]]


def test_ours_and_the_reference_take_turns_and_so_does_who_is_first() -> None:
    order: list[str] = []
    count = itertools.count()

    def measured(name: str) -> float:
        order.append(name)
        return float(next(count))

    rounds = take_turns(3, lambda: measured("ours"), lambda: measured("bare"), lambda _: None, "x")
    assert order == ["ours", "bare", "bare", "ours", "ours", "bare"]
    assert rounds == [(0.0, 1.0), (3.0, 2.0), (4.0, 5.0)]


def test_quantiles_and_batches() -> None:
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 3.0
    assert quantile([1.0], 0.99) == 1.0
    assert [list(some) for some in batches(5, 2)] == [[0, 1], [2, 3], [4]]


def test_each_benchmark_has_a_name_that_is_its_own() -> None:
    assert [each.name for each in BENCHMARKS.values()] == list(BENCHMARKS)
    assert list(BENCHMARKS) == [
        *("cli_reserve", "reserve", "reserve_contended", "history", "latency", "drain", "idle", "growth", "year"),
    ]


def test_the_page_is_renewed_between_its_marks_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{report.BEGIN}old\n{report.END}after\n", encoding="utf-8")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "PICTURES", tmp_path / "performance")
    figures = [
        figure_of("drain", [(20.0, 50.0)], unit="events/s", better="higher", goal=Goal(0.5, 27_000)),
        figure_of("reserve", [(3.0, 4.0)], unit="x/s", better="higher", goal=Goal(0.6)),
        figure_of("latency_p50", [(2.0, 1.0)], unit="ms", better="lower", goal=Goal(4.0)),
        figure_of("latency_p99", [(4.0, 2.0)], unit="ms", better="lower", goal=Goal(4.0), beside={"more": 7}),
    ]
    pytest.importorskip("matplotlib")
    written = report.write(figures)
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{report.BEGIN}")
    assert text.endswith(f"{report.END}after\n")
    assert "old" not in text
    assert "| `drain` | 20 | 50 | events/s | 0.40 | at least 0.5 and ours 27,000 | **no** |  |" in text
    assert "| `latency_p99` | 4 | 2 | ms | 2.00 | at most 4 | yes | more 7 |" in text
    assert {path.name for path in written} == {
        *("performance.md", "figures.json", "ratios.svg", "drain.svg", "reserve.svg", "latency.svg"),
    }
    before = {path: path.read_bytes() for path in written}
    report.write(figures)
    assert {path: path.read_bytes() for path in written} == before
    # What is measured anew takes its own place, and leaves the others theirs.
    report.write([figure_of("reserve", [(3.5, 4.0)], unit="x/s", better="higher", goal=Goal(0.6))])
    rows = [line.split("|")[1:4] for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert [name.strip() for name, *_ in rows] == ["`drain`", "`reserve`", "`latency_p50`", "`latency_p99`"]
    assert [ours.strip() for _, ours, _ in rows] == ["20", "3.5", "2", "4"]


def test_the_page_has_its_marks_and_its_pictures() -> None:
    text = report.PAGE.read_text(encoding="utf-8")
    assert text.count(report.BEGIN) == text.count(report.END) == 1
    for name in ("ratios", "drain", "latency", "reserve"):
        assert f"](performance/{name}.svg)" in text
        assert (report.PICTURES / f"{name}.svg").exists()

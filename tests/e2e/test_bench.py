"""`scripts/bench` with little work: everything runs, and says what it measured. Speed is for a quiet machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from scripts.bench import BENCHMARKS
from tests.e2e.runs import Ended, end_of, start

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.cli]


def bench(folder: Path, *arguments: str) -> Ended:
    return end_of(start("bench", folder, *arguments))


MEASURED = [name for name in BENCHMARKS if name != "year"]


@pytest.mark.slow
def test_every_figure_stands_beside_its_reference(tmp_path: Path) -> None:
    names = [word for name in MEASURED for word in ("--only", name)]
    ended = bench(tmp_path, "--scale", "0.001", *names, "-o", "json")
    assert ended.code == 0, ended.said
    results = {figure["name"]: figure for figure in json.loads(ended.out)["results"]}
    assert list(results) == [
        *("cli_reserve", "reserve", "reserve_contended", "history"),
        *("latency_p50", "latency_p99", "drain", "idle", "growth"),
    ]
    for name, figure in results.items():
        assert figure["better"] in {"higher", "lower"}
        assert figure["unit"]
        if name != "idle":
            assert figure["ours"] > 0
            assert figure["reference"] > 0
            assert figure["ratio"] == pytest.approx(figure["ours"] / figure["reference"], rel=0.01)
    assert results["reserve_contended"]["beside"]["refused_though_in_stock"] == 0
    assert results["reserve_contended"]["beside"]["jain"] > 0
    assert results["drain"]["beside"]["events"] >= 400
    assert results["idle"]["beside"]["memory_mb"] > 0


@pytest.mark.slow
def test_a_year_is_traded_and_proved(tmp_path: Path) -> None:
    ended = bench(tmp_path, "--scale", "0.001", "--only", "year", "-o", "json")
    assert ended.code == 0, ended.said
    (figure,) = json.loads(ended.out)["results"]
    assert figure["beside"]["equal"] is True
    assert figure["beside"]["baskets"] > 100
    assert figure["ratio"] > 0


@pytest.mark.parametrize(
    "arguments",
    [("--only", "speed"), ("--scale", "0"), ("--scale", "2"), ("--scale", "fast"), ("--scale", "0.5", "--write")],
)
def test_what_cannot_be_measured_is_one_clear_error(arguments: tuple[str, ...], tmp_path: Path) -> None:
    ended = bench(tmp_path, *arguments)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.said.count("\n") <= 2

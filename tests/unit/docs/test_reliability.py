"""The table of faults is what `scripts/chaos` does, word for word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.trouble.catalogue import SCENARIOS
from scripts.trouble.victim import POINTS

pytestmark = pytest.mark.fault_tolerance

DOCUMENT = Path(__file__).parents[3] / "docs" / "reliability.md"
ROW = re.compile(r"^\| `([\w-]+)` \| (.+) \| (.+) \|$", re.MULTILINE)


def test_the_table_of_faults_is_what_chaos_does() -> None:
    table = DOCUMENT.read_text(encoding="utf-8").partition("<!-- faults -->")[2].partition("\n\n")[0]
    told = ROW.findall(table)
    assert told == [(each.name, each.fault, each.expected) for each in SCENARIOS.values()]


def test_each_point_at_which_a_process_can_be_killed_has_its_fault() -> None:
    assert {f"kill-{point}" for point in POINTS} == {name for name in SCENARIOS if name.startswith("kill-")}

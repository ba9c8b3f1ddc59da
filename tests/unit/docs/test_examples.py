"""What a reader copies has the right form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from invctl.model.identifiers import is_whole_reservation_body, reservation_body

ROOT = Path(__file__).parents[3]
READ = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *(ROOT / "invctl").rglob("*.py"),
    *(ROOT / "central").rglob("*.py"),
]
FOUND = sorted({(path, word) for path in READ for word in re.findall(r"\bR-[0-9A-Z]{6,}\b", path.read_text("utf-8"))})


def test_there_are_examples() -> None:
    assert {path.name for path, _ in FOUND} >= {"run.md", "settle.py"}


@pytest.mark.parametrize(("path", "example"), FOUND, ids=[f"{path.name}-{word}" for path, word in FOUND])
def test_an_example_is_a_reservation_id_whose_check_character_fits(path: Path, example: str) -> None:
    assert is_whole_reservation_body(reservation_body(example)), f"{example} in {path.relative_to(ROOT)}"

from __future__ import annotations

import shutil
from random import Random
from typing import TYPE_CHECKING

import pytest

from invctl.clock import ManualClock
from invctl.ledger.ledger import Ledger
from tests.unit.ledger.support import assert_sound, new_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a store with stock, to be copied: a flush for each event takes its time."""
    home = tmp_path_factory.mktemp("stocked") / "downtown"
    new_ledger(home, ManualClock(), MOUSE=100, LAPTOP=10, CABLE=0).close()
    return home


@pytest.fixture
def ledger(stocked: Path, tmp_path: Path, clock: ManualClock) -> Iterator[Ledger]:
    """Give a store with stock, and check after the test that all of its tables follow from its events."""
    home = shutil.copytree(stocked, tmp_path / "downtown")
    with Ledger.open(home, clock=clock, chance=Random(2)) as ledger:
        yield ledger
        assert_sound(ledger)

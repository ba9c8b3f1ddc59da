from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from invctl.clock import ManualClock
from tests.unit.ledger.support import assert_sound, new_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from invctl.ledger.ledger import Ledger


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: ManualClock) -> Iterator[Ledger]:
    """Give a store with stock, and check after the test that all of its tables follow from its events."""
    with new_ledger(tmp_path / "downtown", clock, MOUSE=100, LAPTOP=10, CABLE=0) as ledger:
        yield ledger
        assert_sound(ledger)

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from central.database import open_database
from invctl.clock import ManualClock
from tests.integration.central_service.office import found_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from invctl.clock import Clock


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that was just founded. To be copied: migrations take as long as a test."""
    folder = tmp_path_factory.mktemp("founded")
    found_database(folder, ManualClock()).dispose()
    return folder / "central.db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def opened(founded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Clock], Engine]]:
    """Opens this test's database, by a clock, as a process does. Whoever finds it locked is told so at once."""
    monkeypatch.setattr("central.sqlite.BUSY_TIMEOUT_S", 0.01)
    shutil.copy(founded, tmp_path / "central.db")
    engines: list[Engine] = []

    def open_(clock: Clock) -> Engine:
        engines.append(open_database(f"sqlite:///{tmp_path / 'central.db'}", clock=clock))
        return engines[-1]

    yield open_
    for engine in engines:
        engine.dispose()


@pytest.fixture
def engine(opened: Callable[[Clock], Engine], clock: ManualClock) -> Engine:
    return opened(clock)

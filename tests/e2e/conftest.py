"""Fixtures of the tests of whole command lines."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.e2e.clerk import Clerk, open_store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store with ten mice, three laptops and no keyboard: to be copied."""
    home = tmp_path_factory.mktemp("new") / "store"
    open_store(home, MOUSE=10, LAPTOP=3, KEYBOARD=0)
    return home


@pytest.fixture
def clerk(
    new_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Clerk:
    """A clerk of a store of its own, like `new_store`."""
    home = tmp_path / "store"
    shutil.copytree(new_store, home)
    for name in ("NO_COLOR", "FORCE_COLOR", "INVCTL_CLERK", "INVCTL_DEBUG", "TRACEPARENT", "TZ"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("INVCTL_HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    return Clerk(home, capsys)

"""Both daemons under a service manager: what it is told, and that only a loop that turns tells that it lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.chain.processes import Tether
from scripts.chain.waiting import wait_until
from tests.e2e.clerk import environment
from tests.manager import FakeManager
from tests.watching import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.clerk import Clerk

pytestmark = pytest.mark.fault_tolerance

WATCHDOG_USEC = 1_000_000


class Told(list[str]):
    """All that the manager was told so far."""

    def __init__(self, manager: FakeManager) -> None:
        super().__init__()
        self._manager = manager

    def comes(self, condition: Callable[[], bool]) -> bool:
        """Listen until the condition holds."""

        def look() -> bool:
            self.extend(self._manager.told())
            return condition()

        return wait_until(look, timeout_s=PATIENCE_S)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[FakeManager]:
    with FakeManager(str(tmp_path / "notify")) as listening:
        yield listening


@pytest.fixture(params=["daemon", "central"])
def process(
    request: pytest.FixtureRequest, clerk: Clerk, tmp_path: Path, manager: FakeManager
) -> Iterator[subprocess.Popen[bytes]]:
    environ = {
        # No broker answers: a store's machine starts without a network, too.
        **environment(clerk.home),
        "INVCENTRAL_HOME": str(tmp_path / "office"),
        "NOTIFY_SOCKET": manager.address,
        "WATCHDOG_USEC": str(WATCHDOG_USEC),
    }
    if request.param == "central":
        subprocess.run([sys.executable, "-m", "central", "init"], env=environ, check=True, capture_output=True)
    tether = Tether()
    command = tether.wrap([sys.executable, "-P", "-m", request.param, "run"])
    with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL, **tether.options) as started:
        yield started
        started.kill()


def test_ready_alive_and_stopping_are_told(process: subprocess.Popen[bytes], manager: FakeManager) -> None:
    told = Told(manager)
    assert told.comes(lambda: told.count("WATCHDOG=1") >= 3)
    assert told[0] == "READY=1"
    assert told.count("READY=1") == 1
    process.terminate()
    assert told.comes(lambda: "STOPPING=1" in told)
    assert process.wait(PATIENCE_S) == 0


def test_one_that_stands_still_tells_nothing_until_it_goes_on(
    process: subprocess.Popen[bytes], manager: FakeManager
) -> None:
    told = Told(manager)
    assert told.comes(lambda: "WATCHDOG=1" in told)
    os.kill(process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    told.extend(manager.told())
    told.clear()
    assert manager.told() == []
    os.kill(process.pid, signal.SIGCONT)
    assert told.comes(lambda: "WATCHDOG=1" in told)

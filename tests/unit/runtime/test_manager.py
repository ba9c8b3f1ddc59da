"""What the service manager is told."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from invctl.clock import ManualClock
from invctl.runtime.health import Health
from invctl.runtime.manager import ServiceManager
from tests.manager import FakeManager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.fault_tolerance


def following(environ: dict[str, str], clock: ManualClock) -> ServiceManager:
    return ServiceManager.following(Health(clock), environ, clock)


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[FakeManager]:
    with FakeManager(str(tmp_path / "notify")) as manager:
        yield manager


def test_ready_is_told_once_and_life_at_each_half_of_the_watchdog(listening: FakeManager) -> None:
    clock = ManualClock()
    environ = {"NOTIFY_SOCKET": listening.address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    manager = following(environ, clock)
    manager.beat()
    assert listening.told() == ["READY=1", "WATCHDOG=1"]
    clock.advance(14.9)
    manager.beat()
    assert listening.told() == []
    clock.advance(0.1)
    clock.shift_wall(-3600)
    manager.beat()
    manager.beat()
    assert listening.told() == ["WATCHDOG=1"]
    seen = list[str]()
    manager.stopping(lambda: seen.extend(listening.told()))
    assert seen == ["STOPPING=1"]


@pytest.mark.parametrize(
    "watchdog",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}],
)
def test_without_a_watchdog_of_ours_there_is_none_to_feed(listening: FakeManager, watchdog: dict[str, str]) -> None:
    manager = following({"NOTIFY_SOCKET": listening.address, **watchdog}, ManualClock())
    for _ in range(2):
        manager.beat()
    assert listening.told() == ["READY=1"]


def test_a_name_in_the_abstract_namespace() -> None:
    name = f"@invctl-test-{os.getpid()}"
    with FakeManager(name) as listening:
        following({"NOTIFY_SOCKET": name}, ManualClock()).beat()
        assert listening.told() == ["READY=1"]


def test_without_a_manager_nothing_is_told() -> None:
    manager = following({"WATCHDOG_USEC": "1000000"}, ManualClock())
    manager.beat()
    manager.stopping(lambda: None)


def test_what_did_not_get_through_is_told_at_the_next_beat(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"}
    manager = following(environ, ManualClock())
    manager.beat()
    with FakeManager(address) as listening:
        manager.beat()
        assert listening.told() == ["READY=1", "WATCHDOG=1"]


def test_a_manager_that_reads_nothing_holds_nothing_up(listening: FakeManager) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as flood:
        flood.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                flood.sendto(b"STATUS=full", listening.address)
    manager = following({"NOTIFY_SOCKET": listening.address}, ManualClock())
    manager.beat()
    assert "READY=1" not in listening.told()
    manager.beat()
    assert listening.told() == ["READY=1"]

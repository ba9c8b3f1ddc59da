"""A disk that is full under a daemon or under head office: neither ends, and both go on once there is room.

A process that may write no file is what it meets on a full disk, and needs no disk of its own.
"""

from __future__ import annotations

import resource
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from central.home import status_path
from invctl.cli.invd import running
from invctl.runtime.status import read_status
from tests.e2e.head_office import Office, eventually, head_seq, serve_store
from tests.servers import real_broker
from tests.watching import get

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.clerk import Clerk

pytestmark = [
    pytest.mark.fault_tolerance,
    pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit, which Linux has"),
]


@pytest.fixture
def office(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    with real_broker() as broker, ExitStack() as processes:
        office = Office(tmp_path / "central", broker.url, processes, capsys)
        for name, value in office.environ.items():
            if name.startswith(("INVCENTRAL_", "INVCTL_")):
                monkeypatch.setenv(name, value)
        assert office("init").code == 0
        office.serve("--admit-any")
        yield office


@contextmanager
def full_disk(pid: int) -> Iterator[None]:
    """Let a process write nothing more into any file, until the end of the block."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def daemon_pid(clerk: Clerk) -> int:
    invd = running(clerk.home)
    assert invd is not None
    return invd.pid


def acked_seq(clerk: Clerk) -> int:
    return int(clerk("status", "-o", "json").json["acked_seq"])


def test_a_daemon_on_a_full_disk_goes_on_sending_and_remembers_later(office: Office, clerk: Clerk) -> None:
    daemon = serve_store(office, clerk)
    eventually(lambda: acked_seq(clerk) == head_seq(clerk))
    before = acked_seq(clerk)
    with full_disk(daemon_pid(clerk)):
        assert clerk("reserve", "MOUSE-001").code == 0
        eventually(lambda: office.applied("downtown") == head_seq(clerk), daemon.err)
        # It was answered, and could not write that down.
        assert clerk("reserve", "MOUSE-001").code == 0
        eventually(lambda: office.applied("downtown") == head_seq(clerk), daemon.err)
        assert daemon.alive(), daemon.err()
        assert acked_seq(clerk) == before
    eventually(lambda: acked_seq(clerk) == head_seq(clerk), daemon.err)
    assert daemon.alive()


def test_head_office_on_a_full_disk_is_not_ready_and_catches_up_when_there_is_room(
    office: Office, clerk: Clerk
) -> None:
    serve_store(office, clerk)
    eventually(lambda: acked_seq(clerk) == head_seq(clerk))
    said: dict[str, Any] = read_status(status_path(office.home)) or {}
    with full_disk(said["pid"]):
        assert clerk("reserve", "MOUSE-001").code == 0
        eventually(lambda: get(said["metrics"], "/readyz").status == 503)
        assert get(said["metrics"], "/livez").status == 200
        assert acked_seq(clerk) < head_seq(clerk)
    eventually(lambda: acked_seq(clerk) == head_seq(clerk))
    eventually(lambda: get(said["metrics"], "/readyz").status == 200)
    assert office("verify", "downtown").code == 0

"""`invctl daemon start` beside a daemon that does what the test says, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from invctl.cli import daemon
from invctl.cli.invd import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from invctl.cli.invd import Invd
    from tests.e2e.clerk import Clerk

pytestmark = [pytest.mark.cli, pytest.mark.fault_tolerance]

# It is found in place of the daemon; it holds the folder, and tells of itself, as the real one does.
SCRIPTED = """
import os, sys, time
from pathlib import Path
sys.path.remove({directory!r})
from daemon.home import Home
from invctl.runtime.status import write_status

folder = Path(sys.argv[2])

def say(home, connection):
    write_status(home.status_path, {{"pid": os.getpid(), "since": "2026-11-24T09:30:00.000000Z",
        "broker": "redis 127.0.0.1:1", "connection": connection, "stores": ["downtown"]}})

def wait_for(name):
    while not (folder / name).exists():
        time.sleep(0.005)

{act}
"""
ENDLESS_S = 3600.0


class Starts:
    """Starts `invctl daemon start` here, beside a daemon that acts as scripted."""

    def __init__(self, clerk: Clerk, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clerk = clerk
        self.processes: list[subprocess.Popen[bytes]] = []
        self._directory = directory
        self._monkeypatch = monkeypatch
        begin = subprocess.Popen

        def recorded(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
            self.processes.append(begin(*args, **options))
            return self.processes[-1]

        monkeypatch.setattr(subprocess, "Popen", recorded)
        directory.mkdir()
        monkeypatch.syspath_prepend(directory)
        monkeypatch.setattr(daemon, "START_S", ENDLESS_S)
        monkeypatch.setattr(daemon, "FIRST_OUTCOME_S", ENDLESS_S)

    def __call__(self, act: str) -> Any:
        script = SCRIPTED.format(directory=str(self._directory), act=act)
        (self._directory / "daemon.py").write_text(script)
        return self.clerk("daemon", "start", "-o", "json")

    def let(self, name: str, *, once: Callable[[Invd | None], bool]) -> None:
        """Tell the daemon `name` when `start` has looked and seen what `once` asks for."""

        def looked(home: Path) -> Invd | None:
            seen = running(home)
            if once(seen):
                (home / name).touch()
            return seen

        self._monkeypatch.setattr(daemon, "running", looked)


@pytest.fixture
def starts(clerk: Clerk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starts]:
    made = Starts(clerk, tmp_path / "scripted", monkeypatch)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


def is_connecting(invd: Invd | None) -> bool:
    return invd is not None and invd.connection == "connecting"


@pytest.mark.parametrize("outcome", ["connected", "lost"])
def test_it_waits_until_the_daemon_knows_whether_the_broker_is_there(starts: Starts, outcome: str) -> None:
    starts.let("go", once=is_connecting)
    done = starts(
        f"home = Home(folder); say(home, 'connecting'); wait_for('go'); say(home, '{outcome}'); wait_for('x')"
    )
    assert done.code == 0
    told = done.json
    assert (told["pid"], told["connection"], told["changed"]) == (starts.processes[0].pid, outcome, True)


def test_it_waits_until_the_daemon_serves_the_store_and_not_only_holds_its_folder(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "FIRST_OUTCOME_S", 0.0)
    starts.let("go", once=lambda invd: invd is not None and invd.since is None)
    done = starts("home = Home(folder); wait_for('go'); say(home, 'lost'); wait_for('x')")
    assert (done.code, done.json["since"]) == (0, "2026-11-24T09:30:00.000000Z")


def test_one_that_does_not_come_to_know_is_not_waited_for_forever(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "FIRST_OUTCOME_S", 0.01)
    done = starts("home = Home(folder); say(home, 'connecting'); wait_for('x')")
    assert (done.code, done.json["connection"]) == (0, "connecting")
    assert starts.processes[0].poll() is None


@pytest.mark.parametrize(
    "act",
    [
        "sys.exit('error: no')",
        "home = Home(folder); print('error: no', flush=True); os._exit(3)",
        "home = Home(folder); say(home, 'connecting'); wait_for('go'); print('error: no', flush=True); os._exit(3)",
        "home = Home(folder); say(home, 'connecting'); wait_for('go'); home.close(); sys.exit('error: no')",
    ],
    ids=[
        "before it holds the folder",
        "while it holds it",
        "after it said that it serves",
        "leaving nothing behind",
    ],
)
def test_one_that_ends_before_it_has_settled_is_told_with_its_reason(starts: Starts, act: str) -> None:
    starts.let("go", once=is_connecting)
    done = starts(act)
    assert (done.code, done.error["message"]) == (7, "the daemon ended at once: no")
    assert running(starts.clerk.home) is None


def test_one_that_never_takes_hold_of_the_folder_is_ended_and_told(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "START_S", 0.01)
    done = starts("wait_for('x')")
    assert (done.code, done.error["message"]) == (7, "the daemon did not come to run in time")
    # Else it might serve the store later, after all.
    assert starts.processes[0].returncode is not None


def test_of_one_that_wrote_nothing_that_is_said(starts: Starts) -> None:
    done = starts("os._exit(3)")
    assert done.error["message"] == "the daemon ended at once: it wrote nothing"


def test_one_that_cannot_use_its_settings_is_a_usage_error_with_its_hint(starts: Starts) -> None:
    done = starts("print('error: no such broker\\nhint: write redis://', file=sys.stderr); sys.exit(2)")
    assert (done.code, done.error["message"]) == (2, "the daemon ended at once: no such broker")
    assert done.error["hint"] == "write redis://"


def test_the_reason_is_its_own_and_not_that_of_an_earlier_one(starts: Starts) -> None:
    assert starts("sys.exit('error: old')").error["message"].endswith(": old")
    # Not of the same length: Python tells a module from its compiled form by length and second.
    assert starts("sys.exit('error: newer')").error["message"].endswith(": newer")


def test_one_that_ends_by_itself_while_it_is_to_be_ended_has_ended(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts("home = Home(folder); say(home, 'lost'); wait_for('x')")
    (process,) = starts.processes
    kill = os.kill

    def late(pid: int, number: int) -> None:
        kill(pid, signal.SIGKILL)
        process.wait()
        kill(pid, number)

    monkeypatch.setattr(os, "kill", late)
    done = starts.clerk("daemon", "stop", "-o", "json")
    assert (done.code, done.json["running"], done.json["changed"]) == (0, False, True)

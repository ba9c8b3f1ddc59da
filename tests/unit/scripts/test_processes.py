from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from scripts.chain.identity import Identity, _started_by_ps
from scripts.chain.processes import Child, ProcessTable, Tether, kill_leftovers, stop_together
from scripts.chain.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
TETHER = ROOT / "scripts" / "chain" / "tether.py"

# Says its own pid, then waits for a signal. In the second form it does not end by SIGTERM.
SLEEPER = "import os, signal, sys; print(os.getpid(), flush=True); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}; signal.pause()"

PARENT = f"""
import signal, sys
from pathlib import Path
from scripts.chain.processes import ProcessTable, Tether

folder = Path(sys.argv[1])
table = ProcessTable(folder / "state.json", folder, Tether(sys.argv[2]))
table.start([sys.executable, "-c", {SLEEPER!r}], name="sleeper")
signal.pause()
"""


@pytest.fixture(params=["signal", "pipe"])
def how(request: pytest.FixtureRequest) -> Literal["signal", "pipe"]:
    if request.param == "signal" and sys.platform != "linux":
        pytest.skip("PDEATHSIG is Linux's")
    kind: Literal["signal", "pipe"] = request.param
    return kind


@pytest.fixture
def table(tmp_path: Path, how: Literal["signal", "pipe"]) -> Iterator[ProcessTable]:
    with ProcessTable(tmp_path / "state.json", tmp_path / "logs", Tether(how)) as table:
        yield table


@pytest.fixture
def typed_ahead() -> Iterator[None]:
    """Have something to read on this process's own input."""
    own, (reading, writing) = os.dup(0), os.pipe()
    os.write(writing, b"q")
    os.close(writing)
    os.dup2(reading, 0)
    yield
    os.dup2(own, 0)
    os.close(reading)
    os.close(own)


def start(table: ProcessTable, code: str, name: str = "sleeper") -> Child:
    return table.start([sys.executable, "-c", code], name=name)


def said_pid(log: Path) -> Identity:
    """Wait until the command has said its pid, which is not that of a process that stays beside it."""
    assert wait_until(lambda: log.exists() and log.read_text().endswith("\n"), timeout_s=20)
    identity = Identity.of(int(log.read_text()))
    assert identity is not None
    return identity


def state_of(table: ProcessTable) -> list[str]:
    return [entry["name"] for entry in json.loads(table._state_file.read_text())]


@pytest.mark.fault_tolerance
def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path, how: str) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), how], cwd=ROOT) as parent:
        child = said_pid(tmp_path / "sleeper.log")
        parent.kill()
    assert wait_until(lambda: not child.alive(), timeout_s=20)


@pytest.mark.fault_tolerance
@pytest.mark.skipif(sys.platform != "linux", reason="PDEATHSIG is Linux's")
def test_a_parent_that_died_before_the_tether_was_tied_is_noticed() -> None:
    run = subprocess.run(
        [sys.executable, str(TETHER), "signal", "1", "echo", "ran"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (1, "")
    assert "the parent 1 has ended" in run.stderr


def test_the_exit_code_is_the_commands(table: ProcessTable) -> None:
    assert start(table, "raise SystemExit(3)").wait(20) == 3


def test_the_signal_that_ended_it_is_told(table: ProcessTable) -> None:
    child = start(table, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert child.wait(20) == -signal.SIGKILL


def test_a_command_that_cannot_be_run_says_why(table: ProcessTable) -> None:
    child = table.start(["/nowhere/at/all"], name="missing")
    assert child.wait(20) == 127
    assert "/nowhere/at/all: No such file or directory" in child.log_tail()


def test_a_child_has_no_input_and_logs_both_outputs(table: ProcessTable, typed_ahead: None) -> None:
    child = start(table, "import sys; print(repr(sys.stdin.read()), flush=True); print('talk', file=sys.stderr)")
    assert child.wait(20) == 0
    assert child.log_tail() == "''\ntalk"
    assert child.log_tail(1) == "talk"


def test_ctrl_c_does_not_reach_a_child(table: ProcessTable) -> None:
    child = start(table, SLEEPER)
    assert os.getpgid(said_pid(child.log).pid) == child.pid != os.getpgid(0)
    assert os.getsid(child.pid) == child.pid


def test_stop_asks_first(table: ProcessTable) -> None:
    child = start(table, f"import signal; signal.signal(signal.SIGTERM, lambda *_: exit(7)); {SLEEPER}")
    command = said_pid(child.log)
    stop_together([child], timeout_s=20)
    assert child.returncode == 7
    assert not command.alive()


def test_stop_insists(table: ProcessTable) -> None:
    child = start(table, STUBBORN)
    command = said_pid(child.log)
    stop_together([child], timeout_s=0.05)
    assert child.returncode == -signal.SIGKILL
    assert wait_until(lambda: not command.alive(), timeout_s=20)


def test_stop_asks_once_for_a_second_signal_means_haste(table: ProcessTable) -> None:
    code = "import signal\nsignals = []\nsignal.signal(signal.SIGTERM, lambda *_: signals.append(1))\n"
    child = start(table, f"{code}{SLEEPER.replace('; ', chr(10))}\nsignal.sigtimedwait([], 0.2)\nexit(len(signals))")
    said_pid(child.log)
    stop_together([child], timeout_s=20)
    assert child.returncode == 1


def test_what_has_ended_may_be_stopped_and_killed_again(table: ProcessTable) -> None:
    child = start(table, "pass")
    assert child.wait(20) == 0
    stop_together([child], timeout_s=0)
    assert [child.returncode, child.kill()] == [0, 0]


def test_all_are_stopped_together(table: ProcessTable) -> None:
    children = [start(table, SLEEPER, "one"), start(table, SLEEPER, "two")]
    commands = [said_pid(child.log) for child in children]
    assert table.alive == children
    table.stop_all(timeout_s=20)
    assert [child.returncode for child in children] == [-signal.SIGTERM, -signal.SIGTERM]
    assert not any(command.alive() for command in commands)
    assert table.alive == []


def test_those_that_do_not_stop_are_killed_together(table: ProcessTable) -> None:
    children = [start(table, STUBBORN, "one"), start(table, STUBBORN, "two")]
    commands = [said_pid(child.log) for child in children]
    table.stop_all(timeout_s=0.05)
    assert [child.returncode for child in children] == [-signal.SIGKILL, -signal.SIGKILL]
    assert wait_until(lambda: not any(command.alive() for command in commands), timeout_s=20)


def test_the_state_file_names_the_living(table: ProcessTable) -> None:
    first, second = start(table, SLEEPER, "first"), start(table, SLEEPER, "second")
    assert state_of(table) == ["first", "second"]
    first.kill()
    assert state_of(table) == ["second"]
    second.kill()
    assert state_of(table) == []


def test_only_the_main_thread_starts_children(table: ProcessTable) -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="main thread"):
        pool.submit(start, table, SLEEPER).result()


@pytest.mark.fault_tolerance
def test_what_was_left_is_killed(table: ProcessTable) -> None:
    child = start(table, SLEEPER)
    command = said_pid(child.log)
    assert kill_leftovers(table._state_file) == ["sleeper"]
    assert child.wait(20) == -signal.SIGKILL
    assert wait_until(lambda: not command.alive(), timeout_s=20)


@pytest.mark.fault_tolerance
def test_a_process_that_has_inherited_a_pid_is_left_alone(tmp_path: Path, table: ProcessTable) -> None:
    child = start(table, SLEEPER)
    left = tmp_path / "left.json"
    left.write_text(json.dumps([{"name": "another", "pid": child.pid, "started": "before this one"}]))
    assert kill_leftovers(left) == []
    assert child.alive()
    assert not left.exists()


def test_a_run_without_children_left_nothing(tmp_path: Path) -> None:
    assert kill_leftovers(tmp_path / "state.json") == []


def test_a_zombie_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        identity = Identity.of(process.pid)
        assert identity is not None
        process.kill()  # and it is not waited for yet
        assert wait_until(lambda: not identity.alive(), timeout_s=20)
        assert process.returncode is None


@pytest.mark.skipif(shutil.which("ps") is None, reason="there is no ps here")
def test_ps_tells_a_start_where_there_is_no_proc() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert _started_by_ps(process.pid) is not None
        process.kill()
        assert wait_until(lambda: _started_by_ps(process.pid) is None, timeout_s=20)
    assert _started_by_ps(process.pid) is None

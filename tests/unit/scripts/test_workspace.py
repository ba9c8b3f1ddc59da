from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.chain.identity import Identity
from scripts.chain.waiting import wait_until
from scripts.chain.workspace import Leftover, Workspace, clear_leftovers

ROOT = Path(__file__).parents[3]
SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]

# A run whose child is not tethered, as if the tether had failed.
RUN = """
import signal, sys
from pathlib import Path
from scripts.chain.processes import Tether
from scripts.chain.workspace import Workspace

class Untied(Tether):
    def wrap(self, command):
        return list(command)

keep = sys.argv[2] == "keep"
workspace = Workspace.create("test", keep=keep, parent=Path(sys.argv[1]), tether=Untied())
child = workspace.processes.start([sys.executable, "-c", "import signal; signal.pause()"], name="survivor")
print(workspace.path, child.pid, flush=True)
signal.pause()
"""


def killed_run(parent: Path, keep: str = "") -> tuple[Path, Identity]:
    """Start a run, kill it with -9, and give its folder and the child that survived it."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(parent), keep], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        path, pid = run.stdout.readline().split()
        run.kill()
    survivor = Identity.of(int(pid))
    assert survivor is not None
    return Path(path), survivor


def test_leaving_a_run_ends_its_children_and_removes_its_folder(tmp_path: Path) -> None:
    with Workspace.create("test", parent=tmp_path) as workspace:
        child = workspace.processes.start(SLEEPER, name="sleeper")
        assert workspace.path.name.startswith("invctl-test-")
        assert workspace.path.parent == tmp_path
        assert child.alive()
    assert not child.alive()
    assert list(tmp_path.iterdir()) == []


def test_a_kept_folder_stays_and_is_nobodys(tmp_path: Path) -> None:
    with Workspace.create("test", keep=True, parent=tmp_path) as workspace:
        (workspace.path / "ledger").touch()
        workspace.processes.start(SLEEPER, name="sleeper")
    assert clear_leftovers(tmp_path) == []
    assert sorted(path.name for path in workspace.path.iterdir()) == ["ledger", "logs"]


@pytest.mark.fault_tolerance
def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    path, survivor = killed_run(tmp_path)
    assert survivor.alive()
    assert clear_leftovers(tmp_path) == [Leftover(path, ["survivor"], kept=False)]
    assert not survivor.alive()
    assert list(tmp_path.iterdir()) == []
    assert clear_leftovers(tmp_path) == []


@pytest.mark.fault_tolerance
def test_before_a_folder_goes_it_can_be_read_and_nobody_uses_it_any_more(tmp_path: Path) -> None:
    path, survivor = killed_run(tmp_path)
    seen: list[tuple[Path, bool, bool]] = []
    clear_leftovers(tmp_path, before_removal=lambda folder: seen.append((folder, folder.exists(), survivor.alive())))
    assert seen == [(path, True, False)]
    assert not path.exists()


@pytest.mark.fault_tolerance
def test_a_folder_to_be_kept_outlives_its_killed_run(tmp_path: Path) -> None:
    path, survivor = killed_run(tmp_path, "keep")
    assert clear_leftovers(tmp_path) == [Leftover(path, ["survivor"], kept=True)]
    assert not survivor.alive()
    assert [entry.name for entry in path.iterdir()] == ["logs"]
    assert clear_leftovers(tmp_path) == []


def test_a_run_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    with Workspace.create("test", parent=tmp_path) as workspace:
        child = workspace.processes.start(SLEEPER, name="sleeper")
        assert clear_leftovers(tmp_path) == []
        assert child.alive()
        assert workspace.path.exists()


@pytest.mark.concurrency
def test_two_runs_that_start_do_not_clear_the_same_folder(tmp_path: Path) -> None:
    path, survivor = killed_run(tmp_path)
    other = os.open(path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    assert clear_leftovers(tmp_path) == []
    assert survivor.alive()
    os.close(other)
    assert [leftover.path for leftover in clear_leftovers(tmp_path)] == [path]
    assert wait_until(lambda: not survivor.alive(), timeout_s=20)


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    run, _ = killed_run(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    run.rename(elsewhere)
    (tmp_path / "invctl-link").symlink_to(elsewhere)
    (tmp_path / "invctl-file").touch()
    (tmp_path / "invctl-folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert clear_leftovers(tmp_path) == []
    assert sorted(tmp_path.rglob("*")) == before
    elsewhere.rename(run)
    assert [leftover.path for leftover in clear_leftovers(tmp_path)] == [run]

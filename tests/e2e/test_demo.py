"""The demo and the replay as a newcomer runs them: real processes, a real broker, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.chain.waiting import wait_until

ROOT = Path(__file__).parents[2]
PROOF = [
    "stores",
    "events_committed",
    "events_applied",
    "lost",
    "applied_twice",
    "oversold",
    "equal",
    "latency_ms",
    "broker",
    "seconds",
    "acknowledged",
    "acknowledged_missing",
    "kills",
]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """A run keeps its folder, and so its processes can be told, in `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("INVCTL_", "INVCENTRAL_"))}
    return {**kept, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT), **more}


def start(name: str, folder: Path, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", f"scripts.{name}", *arguments],
        env=environment(folder, **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def processes_of(folder: Path) -> list[str]:
    """The commands that run with this folder in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={folder}".encode() in (process / "environ").read_bytes().split(b"\0"):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found += [command] if command else []
        except OSError:
            continue  # ended meanwhile, or another user's
    return found


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")


@linux_only
@pytest.mark.business
def test_the_demo_proves_equal_and_leaves_nothing(tmp_path: Path) -> None:
    run = start("demo", tmp_path, "--headless", "--seconds", "3", "-o", "json")
    out, said = run.communicate(timeout=100)
    assert run.returncode == 0, said.decode()
    (line,) = out.decode().splitlines()
    proof = json.loads(line)
    assert list(proof) == PROOF
    assert (proof["stores"], proof["lost"], proof["applied_twice"], proof["oversold"]) == (3, 0, 0, 0)
    assert proof["equal"] is True
    # Beyond the seven that opened each store, clerks have traded.
    assert proof["events_committed"] == proof["events_applied"] > 3 * 7
    assert proof["latency_ms"]["p50"] > 0
    assert processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@linux_only
@pytest.mark.fault_tolerance
def test_a_demo_that_is_killed_takes_its_children_with_it(tmp_path: Path) -> None:
    run = start("demo", tmp_path, "--headless", "--seconds", "60")
    logs = "*/logs/clerk-*.log"
    assert wait_until(lambda: len(list(tmp_path.glob(logs))) == 3 or run.poll() is not None, timeout_s=60)
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=30)
    assert wait_until(lambda: not processes_of(tmp_path), timeout_s=30), processes_of(tmp_path)
    (left,) = tmp_path.glob("invctl-demo-*")
    # The next run clears the folder before anything else: a broker that does not answer ends it soon.
    after = start("demo", tmp_path, "--headless", INVCTL_REDIS_URL="redis://127.0.0.1:1/0")
    _, said = after.communicate(timeout=60)
    assert after.returncode == 7
    assert f"cleared what a killed run left in {left}" in said.decode()
    assert list(tmp_path.iterdir()) == []


@linux_only
@pytest.mark.business
def test_a_kept_folder_can_be_proved_again(tmp_path: Path) -> None:
    run = start("demo", tmp_path, "--headless", "--seconds", "1", "--keep", "-o", "json")
    out, said = run.communicate(timeout=100)
    assert run.returncode == 0, said.decode()
    (kept,) = tmp_path.glob("invctl-demo-*")
    again = subprocess.run(
        [sys.executable, "-P", "-m", "scripts.chain.proof", "--chain", str(kept)],
        env=environment(tmp_path),
        capture_output=True,
        check=True,
    )
    first, second = json.loads(out), json.loads(again.stdout)
    assert {name: first[name] for name in PROOF[:7]} == {name: second[name] for name in PROOF[:7]}

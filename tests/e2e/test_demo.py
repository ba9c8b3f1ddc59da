"""The demo as a newcomer runs it: real processes, a real broker, and nothing left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.chain.waiting import wait_until
from tests.e2e.runs import end_of, environment, linux_only, processes_of, start

if TYPE_CHECKING:
    from pathlib import Path

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


@linux_only
@pytest.mark.business
def test_the_demo_proves_equal_and_leaves_nothing(tmp_path: Path) -> None:
    proof = end_of(start("demo", tmp_path, "--headless", "--seconds", "3", "-o", "json")).proof
    assert list(proof) == PROOF
    assert (proof["stores"], proof["lost"], proof["applied_twice"], proof["oversold"]) == (3, 0, 0, 0)
    assert proof["equal"] is True
    # Beyond the seven that opened each store, clerks have traded.
    assert proof["events_committed"] == proof["events_applied"] > 3 * 7
    assert proof["latency_ms"]["p50"] > 0
    assert 0 < proof["acknowledged"] < proof["events_committed"]
    assert proof["acknowledged_missing"] == 0
    assert proof["kills"] == {"invd": 0, "invcentral": 0, "broker": 0}
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
    ended = end_of(after)
    assert ended.code == 7
    assert f"cleared what a killed run left in {left}" in ended.said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.cli
@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--seconds", "abc"), 2, "'abc' is not a number of seconds, 1 or more"),
        (("--seconds", "nan"), 2, "'nan' is not a number of seconds"),
        (("--seed", "7"), 2, "--seed says when something is killed"),
        (("--kill", "broker,postgres"), 2, "'postgres' is nothing to kill"),
    ],
)
def test_what_a_demo_cannot_do_is_said(tmp_path: Path, arguments: tuple[str, ...], code: int, told: str) -> None:
    ended = end_of(start("demo", tmp_path, "--headless", *arguments))
    assert (ended.code, ended.out) == (code, "")
    assert told in ended.said


@pytest.mark.slow
@linux_only
@pytest.mark.business
def test_a_kept_folder_can_be_proved_again(tmp_path: Path) -> None:
    first = end_of(start("demo", tmp_path, "--headless", "--seconds", "1", "--keep", "-o", "json")).proof
    (kept,) = tmp_path.glob("invctl-demo-*")
    again = subprocess.run(
        [sys.executable, "-P", "-m", "scripts.chain.proof", "--chain", str(kept)],
        env=environment(tmp_path),
        capture_output=True,
        check=True,
    )
    second = json.loads(again.stdout)
    unchanged = [*PROOF[:7], "acknowledged", "acknowledged_missing"]
    assert {name: first[name] for name in unchanged} == {name: second[name] for name in unchanged}

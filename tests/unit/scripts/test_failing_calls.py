"""System calls that fail in a real process, on the files that are named, from its start or while it runs."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.chain.processes import ProcessTable
from scripts.chain.waiting import wait_until
from scripts.trouble.failing_calls import FLUSH, WRITE, Failing, failing, times
from scripts.trouble.scenario import LackingError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fault_tolerance

PATIENCE_S = 20
FLUSHES = """
import os, sys
for name in sys.argv[1:]:
    with open(name, "wb", buffering=0) as file:
        for _ in range(3):
            try:
                os.fsync(file.fileno())
                print("done")
            except OSError as error:
                print(error.strerror)
"""
WRITES = """
import os, sys, time
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
while True:
    try:
        os.pwrite(file, b"x", 0)
        print("done", flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
    time.sleep(0.01)
"""
FAILED = "Input/output error"


def command_of(how: Failing, log: Path) -> list[str]:
    try:
        return how.command(log)
    except LackingError as error:
        pytest.skip(error.message)


def test_the_call_that_is_meant_fails_on_the_file_that_is_meant(tmp_path: Path) -> None:
    bad, good, log = tmp_path / "bad", tmp_path / "good", tmp_path / "log"
    through = command_of(Failing(FLUSH, [bad], "2"), log)
    done = subprocess.run(
        [*through, sys.executable, "-c", FLUSHES, str(bad), str(good)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["done", FAILED, "done", "done", "done", "done"]
    assert done.stderr == ""
    assert times(log) == 1


def test_calls_of_a_running_process_fail_for_as_long_as_it_is_said(tmp_path: Path) -> None:
    how, log = Failing(WRITE, [tmp_path / "file"]), tmp_path / "log"
    command_of(how, log)
    with ProcessTable(tmp_path / "processes.json", tmp_path / "logs") as processes:
        child = processes.start([sys.executable, "-c", WRITES, str(tmp_path / "file")], name="writer")

        def says(word: str) -> bool:
            return wait_until(lambda: child.log_tail(1) == word, timeout_s=PATIENCE_S)

        assert says("done")
        with failing(lambda: [child.pid], how, log, lambda command: processes.start(command, name="strace")):
            assert says(FAILED)
        assert says("done")
        assert times(log) > 0
        assert child.alive()


def test_without_strace_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LackingError, match="needs Linux, and strace"):
        Failing(FLUSH).command(tmp_path / "log")

"""Runs of the demo and the replay, as a newcomer starts them: processes that leave nothing but what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
RUN_TIMEOUT_S = 110

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")


class Ended(NamedTuple):
    """What came of a run."""

    code: int
    out: str
    said: str

    @property
    def proof(self) -> dict[str, Any]:
        """The one line on stdout, read."""
        assert self.code == 0, self.said
        (line,) = self.out.splitlines()
        read: dict[str, Any] = json.loads(line)
        return read


def environment(folder: Path, **more: str) -> dict[str, str]:
    """A run keeps its folder, and so its processes can be told, in `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("INVCTL_", "INVCENTRAL_"))}
    return {**kept, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT), **more}


def start(name: str, folder: Path, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
    """Start the script `name`."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", f"scripts.{name}", *arguments],
        env=environment(folder, **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end_of(run: subprocess.Popen[bytes]) -> Ended:
    """Wait until a run ends."""
    out, said = run.communicate(timeout=RUN_TIMEOUT_S)
    return Ended(run.returncode, out.decode(), said.decode())


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


def children_of(folder: Path) -> dict[str, int]:
    """The children of the one run in `folder`, with their pids, as the run notes them."""
    try:
        (state,) = folder.glob("invctl-*/processes.json")
        return {entry["name"]: entry["pid"] for entry in json.loads(state.read_text(encoding="utf-8"))}
    except (FileNotFoundError, ValueError):
        return {}  # not yet there

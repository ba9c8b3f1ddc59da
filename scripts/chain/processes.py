"""Child processes that never outlive their run.

A child dies with its parent, whatever ends that one (`tether`), and is written down in a state file,
so that the next run can clear what an ended one left all the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TypedDict

from invctl.errors import BusyError
from scripts.chain.identity import Identity
from scripts.chain.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_TETHER = Path(__file__).with_name("tether.py")
_KILL_TIMEOUT_S = 10.0


class SpawnOptions(TypedDict):
    """What a tethered command needs of `subprocess.Popen` or `asyncio.create_subprocess_exec`."""

    start_new_session: bool
    pass_fds: Sequence[int]


class Tether:
    """Ties commands to the life of this process, by the means that the system offers (see `tether`)."""

    def __init__(self, how: Literal["signal", "pipe"] | None = None) -> None:
        """Choose the kernel's signal on Linux and a pipe elsewhere, unless one is asked for."""
        self.how = how or ("signal" if sys.platform == "linux" else "pipe")
        self._pipe = os.pipe() if self.how == "pipe" else None

    def wrap(self, command: Sequence[str]) -> list[str]:
        """Give the command that runs this one tethered. To be started with `options`, on the main thread."""
        number = os.getpid() if self._pipe is None else self._pipe[0]
        return [sys.executable, "-I", "-S", str(_TETHER), self.how, str(number), *command]

    @property
    def options(self) -> SpawnOptions:
        """A session of its own, so that Ctrl-C reaches this process alone, and what `wrap` hands on."""
        return {"start_new_session": True, "pass_fds": () if self._pipe is None else (self._pipe[0],)}

    def cut(self) -> None:
        """Let go of the pipe, if there is one. What is still tethered by it dies."""
        if self._pipe is not None:
            for end in self._pipe:
                os.close(end)
            self._pipe = None


class Child:
    """A process that a `ProcessTable` started, in a session and process group of its own."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path, ended: Callable[[Child], None]) -> None:
        """Made by `ProcessTable.start`. `ended` is called once, when the end is first seen."""
        self.name = name
        self.pid = popen.pid
        self.log = log
        self._popen = popen
        self._ended = ended

    @property
    def returncode(self) -> int | None:
        """Its exit code, minus the signal that ended it, or None while it runs."""
        return self._see(0)

    def alive(self) -> bool:
        """Tell whether it still runs."""
        return self.returncode is None

    def wait(self, timeout_s: float) -> int | None:
        """Wait for its end. Gives the exit code, or None when the time is over."""
        return self._see(timeout_s)

    def ask_to_end(self) -> None:
        """Send SIGTERM, unless it has ended."""
        self._popen.terminate()

    def kill(self) -> int:
        """End it and its process group at once (SIGKILL). Gives its exit code."""
        if self.alive():
            _kill_group(self.pid)
        code = self._see(_KILL_TIMEOUT_S)
        if code is None:
            raise BusyError(f"{self.name} (pid {self.pid}) does not end, not even by SIGKILL")
        return code

    def log_tail(self, lines: int = 20) -> str:
        """Give the last lines that it wrote to stdout or stderr."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def _see(self, timeout_s: float) -> int | None:
        try:
            code = self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self._ended(self)
        return code


class ProcessTable:
    """The children of one run, and the file that names those alive."""

    def __init__(self, state_file: Path, logs: Path, tether: Tether | None = None) -> None:
        """Keep the state in this file, and one log a child in the folder `logs` (made if need be)."""
        self._state_file = state_file
        self._logs = logs
        self._tether = tether or Tether()
        self._lock = threading.Lock()
        self._alive: dict[Child, Identity] = {}

    def start(
        self,
        command: Sequence[str],
        *,
        name: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Child:
        """Start a tethered child without stdin, its stdout and stderr appended to `logs/NAME.log`.

        A command that cannot be run is seen as a child that ended with 127 and says why in its log.
        """
        if threading.current_thread() is not threading.main_thread():
            # The kernel takes the thread that forks for the parent: the child would die with it.
            raise RuntimeError("start children on the main thread")
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{name}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                self._tether.wrap(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                **self._tether.options,
            )
        child = Child(name, popen, log, self._forget)
        identity = Identity.of(child.pid)
        if identity is not None:
            with self._lock:
                self._alive[child] = identity
                self._write()
        return child

    @property
    def alive(self) -> list[Child]:
        """The children that run, oldest first."""
        with self._lock:
            children = list(self._alive)
        return [child for child in children if child.alive()]

    def stop_all(self, timeout_s: float = 5.0) -> None:
        """Ask all children to end, wait for them together, and make those end that have not by then."""
        stop_together(self.alive, timeout_s)

    def close(self) -> None:
        """End all children, and the tether with them."""
        self.stop_all()
        self._tether.cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _forget(self, child: Child) -> None:
        with self._lock:
            if self._alive.pop(child, None) is not None:
                self._write()

    def _write(self) -> None:
        state = [
            {"name": child.name, "pid": identity.pid, "started": identity.started}
            for child, identity in self._alive.items()
        ]
        draft = self._state_file.with_suffix(".new")
        draft.write_text(json.dumps(state), encoding="utf-8")
        draft.replace(self._state_file)


def stop_together(children: Sequence[Child], timeout_s: float) -> None:
    """Ask children to end, once each, wait for them together, and make those end that have not by then."""
    for child in children:
        child.ask_to_end()
    wait_until(lambda: not any(child.alive() for child in children), timeout_s=timeout_s)
    for child in children:
        if child.alive():
            child.kill()


def kill_leftovers(state_file: Path) -> list[str]:
    """Kill what the run of this state file left running, and remove the file. Gives the names of what was killed."""
    try:
        state = json.loads(state_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    entries = [(entry["name"], Identity(entry["pid"], entry["started"])) for entry in state]
    left = [(name, identity) for name, identity in entries if identity.alive()]
    for _, identity in left:
        _kill_group(identity.pid)
    for name, identity in left:
        if not wait_until(partial(_has_ended, identity), timeout_s=_KILL_TIMEOUT_S):
            raise BusyError(f"{name} (pid {identity.pid}), left by an earlier run, does not end")
    state_file.unlink()
    return [name for name, _ in left]


def _has_ended(identity: Identity) -> bool:
    return not identity.alive()


def _kill_group(leader: int) -> None:
    # It may end by itself at this moment: no such group, or (macOS) a group of zombies, which may not be signalled.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)

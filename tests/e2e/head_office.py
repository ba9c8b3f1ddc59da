"""Head office as an operator has it: its commands, and the processes that run there."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from central.app import build
from central.database import open_database, reading
from central.reads import list_stores
from invctl.clock import SystemClock
from invctl.console.main import run
from scripts.chain.processes import Tether
from scripts.chain.waiting import wait_until
from tests.e2e.clerk import ROOT, Done

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator
    from pathlib import Path

    import pytest
    from sqlalchemy import Engine

    from tests.e2e.clerk import Clerk

# It only ends a test that has failed.
PATIENCE_S = 60.0


class Process:
    """A process that the test started, and what it wrote."""

    def __init__(self, popen: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self._popen = popen
        self._out = out
        self._err = err

    def lines(self) -> list[dict[str, Any]]:
        """The whole lines of JSON on stdout."""
        whole, _, _ = self._out.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def text(self) -> str:
        """What was written to stdout."""
        return self._out.read_text()

    def err(self) -> str:
        return self._err.read_text()

    def told(self) -> list[dict[str, Any]]:
        """What a daemon has logged."""
        whole, _, _ = self.err().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def actions(self) -> list[str]:
        """The names of what a daemon has logged."""
        return [line["action"] for line in self.told()]

    def until(self, action: str) -> None:
        eventually(lambda: action in self.actions() or not self.alive(), self.err)
        assert self.alive(), self.err()

    @property
    def pid(self) -> int:
        # A tether execs what it was given.
        return self._popen.pid

    def alive(self) -> bool:
        return self._popen.poll() is None

    def end(self) -> int:
        """Wait for its end. Returns the exit code."""
        return self._popen.wait(PATIENCE_S)

    def deliver(self, number: signal.Signals) -> None:
        """Send a signal that does not end it."""
        self._popen.send_signal(number)

    def send(self, number: signal.Signals) -> int:
        """Send a signal. Returns the exit code."""
        self._popen.send_signal(number)
        return self.end()


class Office:
    """Head office in `home`, and what runs there."""

    def __init__(
        self,
        home: Path,
        redis_url: str,
        running: ExitStack,
        capsys: pytest.CaptureFixture[str],
        database_url: str | None = None,
    ) -> None:
        self.home = home
        self._running = running
        self._capsys = capsys
        self._tether = Tether()
        self._started = 0
        self._engine: Engine | None = None
        self.environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(home.parent),
            "XDG_STATE_HOME": str(home.parent),
            "LC_ALL": "C.UTF-8",
            "INVCENTRAL_HOME": str(home),
            "INVCTL_REDIS_URL": redis_url,
            "INVCTL_NAMESPACE": f"test-{secrets.token_hex(8)}",
        }
        if database_url:
            self.environ["INVCENTRAL_DATABASE_URL"] = database_url

    def __call__(self, *argv: str) -> Done:
        """Run a command in this process."""
        self._capsys.readouterr()  # what was logged here by the test itself
        code = run("invcentral", build, argv)
        return Done(int(code), *self._capsys.readouterr())

    def start(self, *argv: str, module: str = "central") -> Process:
        """Start a command as a process of its own."""
        self._started += 1
        out, err = (self.home.parent / f"{self.home.name}-{self._started}.{stream}" for stream in ("out", "err"))
        with out.open("wb") as stdout, err.open("wb") as stderr:
            popen = subprocess.Popen(
                self._tether.wrap([sys.executable, "-P", "-m", module, *argv]),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=self.environ,
                **self._tether.options,
            )
        self._running.callback(popen.wait)
        self._running.callback(popen.kill)
        return Process(popen, out, err)

    def serve(self, *argv: str) -> Process:
        """Start a central, and wait until it serves."""
        central = self.start("run", *argv, "--log-format", "json")
        central.until("bus.subscribed")
        return central

    def tail(self, *argv: str, ready: bool = True) -> Process:
        """Follow the stream, and wait until that has begun."""
        tail = self.start("tail", *argv)
        if ready:
            eventually(lambda: bool(tail.lines()), tail.err)
        return tail

    @property
    def database_url(self) -> str:
        return self.environ.get("INVCENTRAL_DATABASE_URL") or f"sqlite:///{self.home / 'central.db'}"

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        # One for all looks, or each would compile its statements anew. No connection outlives a look.
        if self._engine is None:
            self._engine = open_database(self.database_url, clock=SystemClock())
        try:
            yield self._engine
        finally:
            self._engine.dispose()

    def applied(self, store: str) -> int:
        """The last event that was applied of a store; -1 where the store is not known."""
        with self.engine() as engine, reading(engine) as connection:
            return next((row.fresh.as_of_seq for row in list_stores(connection) if row.store == store), -1)


def eventually(condition: Any, told: Any = lambda: "") -> None:
    assert wait_until(condition, timeout_s=PATIENCE_S, every_s=0.05), told()


def serve_store(office: Office, clerk: Clerk) -> Process:
    """Start the daemon of the clerk's store."""
    daemon = office.start("run", str(clerk.home), "--log-format", "json", module="daemon")
    daemon.until("bus.subscribed")
    return daemon


def head_seq(clerk: Clerk) -> int:
    return int(clerk("status", "-o", "json").json["head_seq"])

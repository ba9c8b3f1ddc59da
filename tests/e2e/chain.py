"""A clerk's store with its daemon, and head office, as processes on one broker, each of which can be watched."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from central.home import status_path
from invctl.cli.invd import running
from invctl.runtime.status import read_status
from scripts.chain.processes import Tether
from scripts.chain.waiting import wait_until
from tests.e2e.clerk import environment
from tests.watching import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.clerk import Clerk


class Chain:
    """A clerk's store with its daemon, and head office, on one broker."""

    def __init__(self, clerk: Clerk, office: Path, redis_url: str) -> None:
        self.clerk = clerk
        self.office = office
        self.tether = Tether()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.environ = {
            **environment(clerk.home),
            "INVCENTRAL_HOME": str(office),
            "INVCTL_REDIS_URL": redis_url,
            "INVCTL_NAMESPACE": f"test-{secrets.token_hex(8)}",
        }

    def start(self, module: str, *argv: str, environ: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        log = (self.office.parent / f"{len(self.processes)}.log").open("ab")
        with log:
            process = subprocess.Popen(
                self.tether.wrap([sys.executable, "-P", "-m", module, *argv, "--log-format", "json"]),
                stdin=subprocess.DEVNULL,
                stderr=log,
                env={**self.environ, **(environ or {})},
                **self.tether.options,
            )
        self.processes.append(process)
        return process

    def start_daemon(self, *argv: str, **environ: str) -> str:
        """Start invd. Returns where it is watched."""
        self.start("daemon", "run", str(self.clerk.home), *argv, environ=environ)
        return self.url(self.daemon_says)

    def start_central(self, *argv: str, **environ: str) -> str:
        """Start invcentral, set up where it is not. Returns where it is watched."""
        if not (self.office / "central.db").exists():
            init = [sys.executable, "-m", "central", "init"]
            subprocess.run(init, env=self.environ, check=True, capture_output=True)
        self.start("central", "run", "--admit-any", *argv, environ=environ)
        return self.url(self.central_says)

    def url(self, says: Callable[[], dict[str, Any]]) -> str:
        eventually(lambda: says().get("metrics"))
        return str(says()["metrics"])

    def daemon_says(self) -> dict[str, Any]:
        invd = running(self.clerk.home)
        return invd._asdict() if invd else {}

    def central_says(self) -> dict[str, Any]:
        return read_status(status_path(self.office)) or {}

    def lines(self, number: int) -> list[dict[str, Any]]:
        """What the process that was started as this one has logged."""
        whole, _, _ = (self.office.parent / f"{number}.log").read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def eventually(condition: Callable[[], Any]) -> None:
    assert wait_until(lambda: bool(condition()), timeout_s=PATIENCE_S)

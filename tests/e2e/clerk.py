"""A store and its clerk: commands in this process where a process is not the point, and as real ones where it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import invctl
from invctl.cli.app import build
from invctl.clock import ManualClock, SystemClock
from invctl.console.main import run
from invctl.ledger import adjustments, products, reservations
from invctl.ledger.ledger import Ledger
from invctl.ledger.writing import Origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

ROOT = Path(invctl.__file__).parents[1]
INVCTL = [sys.executable, "-m", "invctl"]
HOUR_S = 3600


class Done(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one line on stdout, read."""
        (line,) = self.out.splitlines()
        return json.loads(line)

    @property
    def error(self) -> dict[str, Any]:
        """The one line on stderr under `-o json`, read."""
        assert self.out == ""
        (line,) = self.err.splitlines()
        said: dict[str, Any] = json.loads(line)
        return said


class Clerk:
    """Works on the store in `home`."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._capsys = capsys

    def __call__(self, *argv: str) -> Done:
        """Run a command in this process."""
        code = run("invctl", build, argv)
        return Done(int(code), *self._capsys.readouterr())

    def process(self, *argv: str, stdout: Any = subprocess.PIPE, env: Mapping[str, str] | None = None) -> Done:
        """Run a command as a process."""
        done = subprocess.run(
            [*INVCTL, *argv],
            env={**environment(self.home), **(env or {})},
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
        return Done(done.returncode, done.stdout or "", done.stderr)

    def stock(self, sku: str) -> tuple[int, int, int]:
        """Return what is on hand, reserved and available of an item."""
        (row,) = self("stock", sku, "-o", "json").json
        return row["on_hand"], row["reserved"], row["available"]


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a clerk's process: nothing of the machine's but the PATH."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(home.parent),
        "INVCTL_HOME": str(home),
        "LC_ALL": "C.UTF-8",
        # Nothing answers here: no test of a clerk may need a broker.
        "INVCTL_REDIS_URL": "redis://127.0.0.1:1",
    }


def open_store(home: Path, **stock: int) -> None:
    """Open store `downtown` an hour ago, with these SKUs (MOUSE for MOUSE-001) and quantities, times in UTC."""
    clock = ManualClock(SystemClock().now_us() - HOUR_S * 1_000_000)
    with Ledger.create(home, "downtown", name="Tech Store Downtown", clock=clock) as ledger:
        for name, quantity in stock.items():
            products.add(ledger, f"{name}-001", name.capitalize(), 8000)
            if quantity:
                adjustments.adjust(ledger, {f"{name}-001": quantity}, "received")


def hold_in_the_past(home: Path, hold_s: int = 60, **lines: int) -> str:
    """Reserve an hour ago, so that the reservation is due by now. Returns its id."""
    clock = ManualClock(SystemClock().now_us() - HOUR_S * 1_000_000)
    with Ledger.open(home, clock=clock) as ledger:
        asked = {f"{name}-001": quantity for name, quantity in lines.items()}
        receipt = reservations.reserve(ledger, asked, hold_s=hold_s, origin=Origin("ben"))
    return str(receipt.event.data["reservation"])

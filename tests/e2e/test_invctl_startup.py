"""What a clerk's command loads and opens: no network, and little enough that a till does not wait."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.e2e.clerk import environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.clerk import Clerk

pytestmark = pytest.mark.cli

# `invctl`, which writes down at its end what it has loaded, and every socket that it made or used.
SPY = """
import json, os, sys

report, sockets = os.environ["SPY_REPORT"], []
sys.addaudithook(lambda event, args: sockets.append(event) if event.startswith("socket.") else None)


def end(code, leave=os._exit):
    with open(report, "w") as file:
        json.dump({"modules": list(sys.modules), "sockets": sockets}, file)
    leave(code)


os._exit = end
from invctl.cli.app import main

main()
"""

NETWORK = {"socket", "_socket", "ssl", "asyncio", "redis", "http.client", "urllib.request"}
HEAVY = {"sqlmodel", "sqlalchemy", "alembic", "pydantic", "structlog", "apscheduler", "sqlite3"}
HEAVY |= {"pysqlite3", "prometheus_client"}
# What `reserve` and its like do without, beyond that: each of these costs a millisecond or more.
SLOW = {"rich", "_hashlib", "random", "zoneinfo", "tempfile", "logging"}
# Modules that a command may load beyond those of Typer. Each costs a quarter of a millisecond: look at the list that
# the failure prints before you raise this.
BUDGET = 55

AT_THE_COUNTER = [
    "reserve MOUSE-001=2 LAPTOP-001 --order A-17 --clerk ana --request-id r1",
    "confirm KEY",
    "confirm KEY MOUSE-001=1",
    "cancel KEY",
    "extend KEY --for 1h",
    "receive MOUSE-001 5",
    "adjust MOUSE-001 -1 --reason damaged",
]
OTHERS = [
    "stock",
    "reservations",
    "show KEY",
    "history",
    "status",
    "verify",
    "sync",
    "product add CABLE-001 --name Cable",
    "product edit MOUSE-001 --price 75",
    "init uptown --home NEW",
    "daemon status",
    "product import PRODUCTS --dry-run",
    "export history",
    "config show --origin",
    "doctor --bundle NEW.tar.gz",
    "completion words -- confirm R",
]
# Answers that are read by programs need no table.
PLAIN = ["stock -o json", "export stock -o csv", "reservations -o csv", "history -o ndjson", "product list -q"]


class Seen(NamedTuple):
    modules: set[str]
    sockets: list[str]


@pytest.fixture
def spy(clerk: Clerk, tmp_path: Path) -> Any:
    """Run a command as a process under the spy; KEY stands for an open reservation."""
    report = tmp_path / "report.json"
    key = clerk("reserve", "MOUSE-001=2", "-q").out.strip()

    def run(command: str) -> Seen:
        places = {"KEY": key, "NEW": str(tmp_path / "new"), "NEW.tar.gz": str(tmp_path / "new.tar.gz")}
        places["PRODUCTS"] = str(tmp_path / "products.csv")
        (tmp_path / "products.csv").write_text("sku,name\nCABLE-001,Cable\n")
        done = subprocess.run(
            [sys.executable, "-c", SPY, *(places.get(word, word) for word in command.split())],
            env={**environment(clerk.home), "SPY_REPORT": str(report)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        seen = json.loads(report.read_text())
        return Seen(set(seen["modules"]), seen["sockets"])

    return run


@pytest.fixture(scope="module")
def of_typer() -> set[str]:
    """The modules of a Python that has loaded Typer and nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys, typer; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def loaded(seen: Seen, names: set[str]) -> set[str]:
    return {module for module in seen.modules if module in names or module.partition(".")[0] in names}


@pytest.mark.parametrize("command", AT_THE_COUNTER)
def test_a_command_at_the_counter_is_quick_to_start_and_touches_no_network(
    spy: Any, of_typer: set[str], command: str
) -> None:
    seen = spy(command)
    assert seen.sockets == []
    assert loaded(seen, NETWORK | HEAVY | SLOW) == set()
    own = sorted(seen.modules - of_typer)
    assert len(own) <= BUDGET, own


@pytest.mark.parametrize("command", OTHERS)
def test_no_other_command_touches_the_network(spy: Any, command: str) -> None:
    seen = spy(command)
    assert seen.sockets == []
    assert loaded(seen, NETWORK | HEAVY) == set()


@pytest.mark.parametrize("command", PLAIN)
def test_rich_is_loaded_for_tables_alone(spy: Any, command: str) -> None:
    seen = spy(command)
    assert seen.sockets == []
    assert loaded(seen, NETWORK | HEAVY | {"rich"}) == set()


def test_an_unreachable_broker_is_nothing_to_a_clerk(clerk: Clerk) -> None:
    assert clerk.process("reserve", "MOUSE-001", env={"INVCTL_REDIS_URL": "nonsense"}).code == 0

"""A store whose disk lost its ledger: a backup of long ago, and head office's archive, and nothing is lost."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from invctl.cli.invd import running
from invctl.ledger.disk import NOTE
from invctl.ledger.ledger import FILE, Ledger
from invctl.model.events import LEDGER_RESTORED, parse
from tests.e2e.head_office import Office, Process, eventually, head_seq, serve_store
from tests.servers import shared_broker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.clerk import Clerk

pytestmark = [pytest.mark.fault_tolerance, pytest.mark.slow]


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Office]:
    with ExitStack() as processes:
        office = Office(tmp_path / "central", processes.enter_context(shared_broker()), processes, capsys)
        for name, value in office.environ.items():
            if name.startswith(("INVCENTRAL_", "INVCTL_")):
                monkeypatch.setenv(name, value)
        assert office("init").code == 0
        office.serve("--admit-any")
        yield office


def drained(office: Office, clerk: Clerk, daemon: Process) -> None:
    eventually(lambda: office.applied("downtown") == head_seq(clerk), daemon.err)


def ruin(clerk: Clerk) -> None:
    """Overwrite the ledger where it lies, under a daemon that has it open."""
    for name in (FILE, f"{FILE}-wal"):
        path = clerk.home / name
        with path.open("r+b") as file:
            file.write(b"\xa5" * path.stat().st_size)


def test_a_ruined_ledger_comes_back_from_a_backup_and_head_office(office: Office, clerk: Clerk, tmp_path: Path) -> None:
    daemon = serve_store(office, clerk)
    early = clerk("reserve", "MOUSE-001=1", "-q").out.strip()
    backup = str(tmp_path / "early.db")
    assert clerk("backup", backup).code == 0
    # All of this is in no backup.
    sold = clerk("reserve", "MOUSE-001=4", "--request-id", "till-1", "-q").out.strip()
    assert clerk("confirm", sold).code == 0
    assert clerk("cancel", early).code == 0
    held = clerk("reserve", "LAPTOP-001=2", "-q").out.strip()
    drained(office, clerk, daemon)
    before = clerk("history", "--limit", "1000", "-o", "json").json

    ruin(clerk)
    refused = clerk.process("reserve", "MOUSE-001", "-o", "json")
    assert (refused.code, refused.error["error"]) == (8, "damaged")
    assert (clerk.home / NOTE).exists()
    # Not under a daemon's feet.
    assert "a daemon serves" in clerk("restore", backup).err
    assert daemon.alive(), daemon.err()
    assert clerk("daemon", "stop").code == 0
    assert running(clerk.home) is None

    assert clerk("restore", backup).code == 0
    assert clerk("reserve", "MOUSE-001", "-o", "json").error["error"] == "frozen"
    daemon = serve_store(office, clerk)
    eventually(lambda: clerk("status", "-o", "json").json["frozen"] is None, daemon.err)
    drained(office, clerk, daemon)
    # Everything that was acknowledged is here again, under its ids and seqs.
    assert clerk("history", "--limit", "1000", "-o", "json").json[: len(before)] == before
    assert clerk("show", sold, "-o", "json").json["status"] == "confirmed"
    assert clerk("show", early, "-o", "json").json["status"] == "cancelled"
    assert clerk.stock("MOUSE-001") == (6, 0, 6)
    assert clerk("reserve", "MOUSE-001=4", "--request-id", "till-1", "-q").out.strip() == sold
    assert clerk("confirm", held).code == 0
    drained(office, clerk, daemon)
    assert clerk("verify").code == 0
    assert office("verify", "downtown").code == 0


def test_a_backup_that_lacks_nothing_trades_as_soon_as_head_office_says_so(
    office: Office, clerk: Clerk, tmp_path: Path
) -> None:
    daemon = serve_store(office, clerk)
    drained(office, clerk, daemon)
    assert clerk("daemon", "stop").code == 0
    backup = str(tmp_path / "now.db")
    clerk("backup", backup)
    epoch = clerk("status", "-o", "json").json["epoch"]
    clerk("restore", backup)
    assert clerk("reserve", "MOUSE-001").code == 8
    daemon = serve_store(office, clerk)
    eventually(lambda: clerk("status", "-o", "json").json["frozen"] is None, daemon.err)
    assert clerk("reserve", "MOUSE-001").code == 0
    assert clerk("status", "-o", "json").json["epoch"] == epoch
    drained(office, clerk, daemon)
    assert office("verify", "downtown").code == 0


def test_trading_before_the_rejoin_is_recorded_and_nothing_is_forgotten(
    office: Office, clerk: Clerk, tmp_path: Path
) -> None:
    daemon = serve_store(office, clerk)
    backup = str(tmp_path / "early.db")
    clerk("backup", backup)
    sold = clerk("reserve", "MOUSE-001=4", "-q").out.strip()
    clerk("confirm", sold)
    drained(office, clerk, daemon)
    assert clerk("daemon", "stop").code == 0
    assert clerk("restore", backup, "--trade", "--clerk", "ann").code == 0
    mine = clerk("reserve", "LAPTOP-001", "-q").out.strip()
    daemon = serve_store(office, clerk)
    eventually(lambda: clerk("show", sold, "-o", "json").code == 0, daemon.err)
    drained(office, clerk, daemon)
    assert clerk.stock("MOUSE-001") == (6, 0, 6)
    assert clerk("show", mine, "-o", "json").json["status"] == "pending"
    # What a ledger says of itself is not appended anew: it lies with what was set aside.
    with Ledger.open(clerk.home) as ledger:
        (body,) = ledger.row("SELECT body FROM set_aside WHERE type = ?", (LEDGER_RESTORED,))
    assert parse(body).data["clerk"] == "ann"
    assert clerk("verify").code == 0
    assert office("verify", "downtown").code == 0

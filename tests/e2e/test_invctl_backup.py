"""Backup, restore, a disk that runs full, a ledger that is damaged: as a clerk and an operator see them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from invctl.ledger.disk import NOTE
from invctl.ledger.ledger import FILE, Ledger
from tests.e2e.clerk import Clerk, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.cli, pytest.mark.fault_tolerance]


def test_by_default_a_backup_lies_here_and_has_the_stores_name(
    clerk: Clerk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    done = clerk("backup")
    (made,) = (tmp_path / "here").iterdir()
    assert made.name.startswith("downtown-20")
    assert made.name.endswith("Z.db")
    assert done.code == 0
    assert done.out.startswith(f"downtown is backed up to {made}: up to event 6 of ")
    assert done.out.endswith(" MB\n")


def test_a_backup_in_json(clerk: Clerk, tmp_path: Path) -> None:
    record = clerk("backup", str(tmp_path), "-o", "json").json
    file = Path(record["file"])
    assert file.parent == tmp_path
    assert (record["store"], record["seq"], record["size_bytes"]) == ("downtown", 6, file.stat().st_size)
    assert record["head_hash"] == clerk("verify", "-o", "json").json["head_hash"]


def test_a_backup_that_is_there_stays(clerk: Clerk, tmp_path: Path) -> None:
    file = str(tmp_path / "one.db")
    assert clerk("backup", file).code == 0
    done = clerk("backup", file)
    assert done.code == 8
    assert done.err.splitlines()[-1] == "hint: --force replaces it"
    assert clerk("backup", file, "--force").code == 0


def test_from_backup_to_trade(clerk: Clerk, tmp_path: Path) -> None:
    file = str(tmp_path / "one.db")
    clerk("backup", file)
    clerk("reserve", "MOUSE-001=4")
    done = clerk.process("restore", file)
    assert done.code == 0, done.err
    assert done.out.startswith(f"downtown in {clerk.home} is restored, up to event 6 of ")
    assert "what was there is kept as ledger.replaced-" in done.out
    # Nobody is left to find out what that means.
    assert "head office may hold later events" in done.err
    assert "`invctl daemon start`" in done.err
    refused = clerk("reserve", "MOUSE-001", "-o", "json")
    assert (refused.code, refused.error["error"]) == (8, "frozen")
    told = clerk("status").out
    assert "writes    refused: this ledger is a backup of " in told
    assert clerk("status", "-o", "json").json["frozen"]
    # To look is no harm.
    assert clerk.stock("MOUSE-001") == (10, 0, 10)
    record = clerk("restore", file, "--trade", "--clerk", "ann", "-o", "json").json
    assert (record["taken_seq"], record["seq"], record["trade"]) == (6, 7, True)
    assert clerk("reserve", "MOUSE-001").code == 0
    assert clerk("status", "-o", "json").json["frozen"] is None
    assert clerk("verify").code == 0
    (row,) = [row for row in clerk("history", "-o", "json").json if row["event"] == "ledger.restored"]
    assert (row["seq"], row["clerk"]) == (7, "ann")
    assert " restored " in clerk("history").out


def test_a_store_is_restored_on_another_machine(clerk: Clerk, tmp_path: Path) -> None:
    file = str(tmp_path / "one.db")
    clerk("backup", file)
    new = tmp_path / "new"
    record = clerk("restore", file, "--home", str(new), "-o", "json").json
    assert record["kept"] is None
    # It has all that `invctl init` makes.
    assert {path.name for path in new.iterdir()} == {FILE, "config.toml", "run", "writers"}
    assert clerk("verify", "--home", str(new)).code == 0


def test_what_cannot_be_restored_is_one_clear_error(clerk: Clerk, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database " * 100)
    done = clerk("restore", str(tmp_path / "notes.txt"))
    assert (done.code, done.out) == (8, "")
    assert done.err == (
        f"error: {tmp_path}/notes.txt is not a backup that can be used: file is not a database\n"
        "hint: name a file that `invctl backup` made; nothing was changed\n"
    )
    assert clerk("restore", str(tmp_path / "nowhere")).code == 3
    assert clerk("reserve", "MOUSE-001").code == 0


def test_a_damaged_ledger_is_not_written_to_until_it_is_restored(clerk: Clerk, tmp_path: Path) -> None:
    file = str(tmp_path / "one.db")
    clerk("backup", file)
    with Ledger.open(clerk.home) as ledger:
        ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    sound = (clerk.home / FILE).read_bytes()
    (clerk.home / FILE).write_bytes(b"another program's file " * 1000)
    for name in (f"{FILE}-wal", f"{FILE}-shm"):
        (clerk.home / name).unlink(missing_ok=True)
    for command in (["stock"], ["reserve", "MOUSE-001"], ["status"], ["verify"], ["backup", str(tmp_path / "no.db")]):
        done = clerk.process(*command, "-o", "json")
        assert (done.code, done.error["error"]) == (8, "damaged"), command
        assert "`invctl restore FILE`" in done.error["hint"]
    assert not (tmp_path / "no.db").exists()
    # Also where the file is whole again, which nobody can know who has not replayed it.
    (clerk.home / FILE).write_bytes(sound)
    assert clerk.stock("MOUSE-001") == (10, 0, 10)
    assert clerk("reserve", "MOUSE-001", "-o", "json").error["error"] == "damaged"
    assert clerk("init", "downtown").code == 8
    told = clerk("status").out
    assert "writes    refused, as it is damaged: file is not a database" in told
    assert clerk("restore", file, "--trade").code == 0
    assert not (clerk.home / NOTE).exists()
    assert clerk("reserve", "MOUSE-001").code == 0


def test_a_ledger_that_a_replay_finds_wrong_is_not_written_to_either(clerk: Clerk) -> None:
    import apsw

    raw = apsw.Connection(str(clerk.home / FILE))
    raw.execute("UPDATE stock SET on_hand = 11 WHERE sku = 'MOUSE-001'")
    raw.close()
    assert clerk("reserve", "LAPTOP-001").code == 0
    assert clerk("verify").code == 8
    done = clerk("reserve", "LAPTOP-001", "-o", "json")
    assert (done.code, done.error["error"]) == (8, "damaged")
    assert "on hand is 11 in the table, 10 by its events" in done.error["message"]


def test_a_false_alarm_ends_by_way_of_a_backup(clerk: Clerk, tmp_path: Path) -> None:
    (clerk.home / NOTE).write_text("2026-11-24T09:30:00.000000Z database disk image is malformed\n")
    assert clerk("reserve", "MOUSE-001").code == 8
    assert clerk("verify").code == 0
    assert clerk("reserve", "MOUSE-001").code == 8
    assert clerk("backup", str(tmp_path / "one.db")).code == 0
    assert clerk("restore", str(tmp_path / "one.db"), "--trade").code == 0
    assert clerk("reserve", "MOUSE-001").code == 0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of 8 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, *, but_bytes: int) -> Path:
    """Take all of a disk but so much."""
    found = os.statvfs(folder)
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(max(found.f_bavail * found.f_frsize - but_bytes, 0)))
    return ballast


def test_a_disk_that_runs_full(clerk: Clerk, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = small / "store"
    open_store(tmp_path / "big", MOUSE=10_000)
    shutil.copytree(tmp_path / "big", home)
    monkeypatch.setenv("INVCTL_HOME", str(home))
    monkeypatch.setenv("INVCTL_DISK_RESERVE_MB", "4")
    shop = Clerk(home, clerk._capsys)
    keys = [shop("reserve", "MOUSE-001", "-q").out.strip() for _ in range(50)]
    assert shop("status", "-o", "json").json["disk_low"] is False
    ballast = fill(small, but_bytes=3 * 1024 * 1024)
    refused = shop.process("reserve", "MOUSE-001", "-o", "json", env={"INVCTL_DISK_RESERVE_MB": "4"})
    assert (refused.code, refused.error["error"]) == (8, "disk_low")
    for begin in (["receive", "MOUSE-001", "1"], ["product", "add", "CABLE-001", "--name", "Cable"]):
        assert shop(*begin).code == 8
    # All that is reserved can be ended, and so it is.
    for number, key in enumerate(keys):
        assert shop("confirm" if number % 2 else "cancel", key).code == 0
    told = shop("status").out
    assert re.search(r"\ndisk      [0-2] MB free, 4 MB are kept for ending what is reserved\n", told)
    record = shop("status", "-o", "json").json
    assert record["disk_low"] is True
    assert record["disk_free_bytes"] < record["disk_reserve_bytes"] == 4 * 1024 * 1024
    # Turned off, it goes on to the last byte.
    monkeypatch.setenv("INVCTL_DISK_RESERVE_MB", "0")
    ballast.unlink()
    ballast = fill(small, but_bytes=256 * 1024)
    acknowledged = []
    while (done := shop("reserve", "MOUSE-001", "-o", "json")).code == 0:
        acknowledged.append(done.json["reservation"])
    assert (done.code, done.error["error"]) == (8, "refused")
    assert "disk" in done.error["message"]
    assert acknowledged
    assert shop("stock", "MOUSE-001").code == 0
    ballast.unlink()
    assert shop("reserve", "MOUSE-001").code == 0
    assert shop("verify").code == 0
    assert set(acknowledged) <= set(shop("reservations", "--limit", "1000", "-q").out.split())


def test_without_room_for_a_backup_nothing_is_restored(clerk: Clerk, small: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.db"
    clerk("backup", str(file))
    home = small / "store"
    shutil.copytree(clerk.home, home)
    fill(small, but_bytes=20_000)
    before = {path.name: path.read_bytes() for path in home.glob("ledger*")}
    done = clerk("restore", str(file), "--force", "--home", str(home))
    assert (done.code, done.out) == (8, "")
    assert done.err.startswith(f"error: there is no room for the backup in {home}\n")
    assert {path.name: path.read_bytes() for path in home.glob("ledger*")} == before
    assert not list(home.glob(".restore-*"))

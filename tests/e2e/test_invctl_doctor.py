"""What is wrong with a store is found, each with what mends it, and support sees nothing that is not its business."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import re
import stat
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from invctl.cli import checkup
from invctl.clock import ManualClock, SystemClock
from invctl.ledger import disk, outbox, products
from invctl.ledger.ledger import Ledger
from invctl.settings import CONFIG_FILE, LOCK_FILE, LOG_FILE, PID_FILE, RUN, STATUS_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.clerk import Clerk

pytestmark = pytest.mark.cli


@contextmanager
def daemon(home: Path, **said: Any) -> Iterator[None]:
    """What a running daemon leaves in the store's folder, without one."""
    run = home / RUN
    run.mkdir()
    with (run / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (run / PID_FILE).write_text(f"{os.getpid()}\n")
        (run / STATUS_FILE).write_text(json.dumps({"pid": os.getpid(), "broker": "redis here:1", **said}))
        yield


def found(clerk: Clerk, check: str) -> dict[str, Any]:
    """What the doctor says under `-o json` of one thing that is not right, or else that it is."""
    clerk_says = clerk("doctor", "-o", "json")
    rows = [row for row in json.loads(clerk_says.out) if row["check"] == check]
    worst = max(rows, key=lambda row: ["ok", "warning", "problem"].index(row["state"]))
    return {**worst, "code": clerk_says.code}


def test_all_is_well(clerk: Clerk) -> None:
    with daemon(clerk.home, connection="connected"):
        done = clerk("doctor")
        assert (done.code, done.err) == (0, "")
        assert all(re.match(r"[a-z ]+  ok: ", line) for line in done.out.splitlines())
        checks = [row["check"] for row in clerk("doctor", "-o", "json").json]
    assert checks == [
        "ledger", "clock", "disk", "file system", "modes", "settings", "daemon", "broker", "versions",
    ]  # fmt: skip


def test_programs_get_the_same_in_every_form(clerk: Clerk) -> None:
    names = ["check", "state", "what", "todo"]
    rows = clerk("doctor", "-o", "json").json
    assert all(list(row) == names for row in rows)
    assert len(clerk("doctor", "-o", "ndjson").out.splitlines()) == len(rows)
    head, *cells = csv.reader(clerk("doctor", "-o", "csv").out.splitlines())
    assert (head, [row[0] for row in cells]) == (names, [row["check"] for row in rows])
    assert clerk("doctor", "-q").out.splitlines() == [row["check"] for row in rows]


def test_without_a_daemon_one_is_warned(clerk: Clerk) -> None:
    row = found(clerk, "daemon")
    assert (row["state"], row["todo"], row["code"]) == ("warning", "`invctl daemon start`", 0)
    assert "\ndaemon       warning: not running" in clerk("doctor").out


def test_a_broker_that_is_lost(clerk: Clerk) -> None:
    with daemon(clerk.home, connection="lost", why="the broker refuses", hint="start it"):
        row = found(clerk, "broker")
        done = clerk("doctor")
    assert (row["state"], row["what"], row["todo"], row["code"]) == ("problem", "the broker refuses", "start it", 7)
    assert done.err == "error: 1 problem: broker\nhint: start it\n"
    assert "\nbroker       problem: the broker refuses\n             start it\n" in done.out


def test_a_daemon_that_stands_still(clerk: Clerk) -> None:
    with daemon(clerk.home, connection="connected"):
        os.utime(clerk.home / RUN / STATUS_FILE, (1, 1))
        row = found(clerk, "daemon")
    assert (row["state"], row["code"]) == ("problem", 7)
    assert row["todo"].startswith(f"`kill -9 {os.getpid()}`")


def test_no_store(clerk: Clerk) -> None:
    done = clerk("doctor", "--home", str(clerk.home / "none"))
    assert done.code == 3
    assert "`invctl init STORE` opens one" in done.out


def test_a_ledger_whose_pages_are_damaged(clerk: Clerk) -> None:
    with Ledger.open(clerk.home) as ledger:
        ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = ledger.row("SELECT rootpage FROM sqlite_schema WHERE name = 'movements'")
        (size,) = ledger.row("PRAGMA page_size")
    with (clerk.home / "ledger.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 64)
    row = found(clerk, "ledger")
    assert (row["state"], row["todo"], row["code"]) == ("problem", disk.HINT, 8)


def test_a_ledger_that_is_noted_as_damaged_or_may_not_be_written(clerk: Clerk) -> None:
    disk.note(clerk.home / "ledger.db", "event 3 does not hold")
    row = found(clerk, "ledger")
    assert (row["state"], row["code"]) == ("problem", 8)
    assert "event 3 does not hold" in row["what"]
    disk.forget(clerk.home / "ledger.db")
    with Ledger.open(clerk.home) as ledger:
        ledger.connection.execute("UPDATE link SET frozen = 'it lacks events'")
    row = found(clerk, "ledger")
    assert (row["state"], row["what"]) == ("problem", "nothing can be written: it lacks events")
    assert clerk("doctor", "-o", "json").err.startswith('{"error": "frozen"')


def test_head_office_that_takes_nothing(clerk: Clerk) -> None:
    with Ledger.open(clerk.home) as ledger:
        outbox.remember_link(ledger, acked_seq=0, state="refused", reason="not_admitted", suspects=0)
    row = found(clerk, "head office")
    assert (row["state"], row["code"]) == ("problem", 5)
    assert "invcentral stores admit downtown" in row["todo"]


def test_a_clock_that_is_behind_the_ledger(clerk: Clerk) -> None:
    with Ledger.open(clerk.home, clock=ManualClock(SystemClock().now_us() + 7200 * 1_000_000)) as ledger:
        products.add(ledger, "CABLE-1", "Cable")
    row = found(clerk, "clock")
    assert (row["state"], row["code"]) == ("problem", 5)
    assert "the last event is 1 h 59 min ahead" in row["what"]


def test_a_disk_that_is_low(clerk: Clerk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "free_bytes", lambda _: 3 * 1024 * 1024)
    row = found(clerk, "disk")
    assert (row["state"], row["code"]) == ("problem", 8)
    assert row["what"].startswith("3 MB free, 64 MB are kept")


@pytest.mark.parametrize(("kind", "state"), [("nfs4", "problem"), ("ext4", "ok"), ("fuse.sshfs", "problem")])
def test_a_network_file_system(clerk: Clerk, monkeypatch: pytest.MonkeyPatch, kind: str, state: str) -> None:
    mounts = clerk.home.parent / "mountinfo"
    place = str(clerk.home.resolve())
    mounts.write_text(
        "22 1 254:0 / / rw,relatime shared:1 - xfs /dev/vda rw\n"
        f"23 22 0:5 / {place} rw,relatime - {kind} office:/stores rw\n"
        f"24 22 0:5 / {place}-other rw,relatime - tmpfs tmpfs rw\n"
    )
    monkeypatch.setattr(checkup, "MOUNTS", str(mounts))
    row = found(clerk, "file system")
    assert (row["state"], kind in row["what"]) == (state, True)
    assert row["code"] == (8 if state == "problem" else 0)


def test_modes(clerk: Clerk, monkeypatch: pytest.MonkeyPatch) -> None:
    config = clerk.home / CONFIG_FILE
    config.write_text('redis_url = "redis://:s3cret@office"\n')
    config.chmod(0o644)
    row = found(clerk, "modes")
    assert (row["state"], row["todo"], row["code"]) == ("warning", f"`chmod 600 {config}`", 0)
    config.chmod(0o600)
    clerk.home.chmod(0o777)
    assert found(clerk, "modes")["todo"] == f"`chmod o-w {clerk.home}`"
    clerk.home.chmod(0o700)
    assert found(clerk, "modes")["state"] == "ok"
    # Whoever is root may do all.
    ledger = clerk.home / "ledger.db"
    monkeypatch.setattr(os, "access", lambda path, *_: path != ledger)
    with monkeypatch.context() as patch:
        patch.setattr(disk, "refuse", lambda _: None)
        row = found(clerk, "modes")
    assert (row["state"], row["todo"], row["code"]) == ("problem", f"`sudo chown $(id -u) {ledger}`", 8)


@pytest.mark.parametrize(
    ("text", "state", "code"), [("nothing = 1", "warning", 0), ("metrics_port = 'x'", "problem", 2)]
)
def test_settings(clerk: Clerk, text: str, state: str, code: int) -> None:
    (clerk.home / CONFIG_FILE).write_text(text)
    row = found(clerk, "settings")
    assert (row["state"], row["code"]) == (state, code)


class TestBundle:
    def test_it_has_what_support_needs_and_nothing_that_is_not_its_business(
        self, clerk: Clerk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("INVCTL_CLERK", "Ana Customer")
        monkeypatch.setenv("INVCTL_REDIS_URL", "redis://:s3cret@office:6379/0")
        clerk("reserve", "MOUSE-001", "--order", "Mr Customer")
        lines: list[dict[str, Any]] = [
            {"time": "t", "action": "bus.lost", "seq": 7, "message": "redis://:s3cret@office is away"},
            {"action": "x", "order": "Customer", "clerk": "Customer", "note": "Customer", "name": "Customer"},
        ]
        file = clerk.home.parent / "b.tar.gz"
        with daemon(clerk.home, connection="lost", why="redis://:s3cret@office is away"):
            log = clerk.home / RUN / LOG_FILE
            log.write_text("".join(json.dumps(line) + "\n" for line in lines) + "Traceback redis://a:s3cret@b\n")
            done = clerk("doctor", "--bundle", str(file))
        # What it found is told all the same.
        assert done.code == 7
        assert f"packed in {file}" in done.err
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        with tarfile.open(file) as archive:
            found = {name: archive.extractfile(name).read().decode() for name in archive.getnames()}  # type: ignore[union-attr]
        assert set(found) == {
            f"invctl-support/{name}" for name in ("doctor.json", "config.json", "daemon.json", "invd.log")
        }
        whole = "".join(found.values())
        assert "s3cret" not in whole
        assert "Customer" not in whole
        first, second, third = found["invctl-support/invd.log"].splitlines()
        assert json.loads(first) == {**lines[0], "message": "redis://:***@office is away"}
        assert json.loads(second) == {"action": "x"}
        assert third.startswith("Traceback ")
        config = {row["setting"]: row for row in json.loads(found["invctl-support/config.json"])}
        assert config["redis_url"]["origin"] == "environment"
        assert json.loads(found["invctl-support/daemon.json"])["connection"] == "lost"

    def test_without_a_store_and_with_settings_that_cannot_be_read(self, clerk: Clerk) -> None:
        home = clerk.home.parent / "other"
        home.mkdir()
        (home / CONFIG_FILE).write_text("nonsense\n")
        file = clerk.home.parent / "b.tar.gz"
        assert clerk("doctor", "--home", str(home), "--bundle", str(file)).code == 3
        with tarfile.open(file) as archive:
            assert "invctl-support/doctor.json" in archive.getnames()

    def test_nothing_is_written_over(self, clerk: Clerk) -> None:
        file = clerk.home.parent / "b.tar.gz"
        file.write_text("mine")
        done = clerk("doctor", "--bundle", str(file))
        assert done.code == 8
        assert file.read_text() == "mine"
        assert clerk("doctor", "--bundle", str(clerk.home.parent / "no" / "b.tar.gz")).code == 8

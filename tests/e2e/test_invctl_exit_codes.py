"""Every exit code, from a real process, with what is said on its account."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest

from invctl.ledger.ledger import FILE, Ledger
from invctl.settings import LOG_FILE, RUN
from tests.e2e.clerk import INVCTL, environment

if TYPE_CHECKING:
    from tests.e2e.clerk import Clerk, Done

pytestmark = pytest.mark.cli


def assert_refused(done: Done, code: int, error: str) -> None:
    said = done.error
    assert (done.code, said["error"]) == (code, error)
    assert said["message"]
    assert said["hint"]


def test_0_done(clerk: Clerk) -> None:
    done = clerk.process("reserve", "MOUSE-001", "-q")
    assert (done.code, done.err) == (0, "")
    assert clerk("reservations", "-q").out == done.out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_1_unexpected(clerk: Clerk) -> None:
    with Path("/dev/full").open("w") as full:
        done = clerk.process("stock", "-q", stdout=full)
    assert (done.code, done.err) == (1, "error: cannot write the result: No space left on device\n")


def test_2_usage(clerk: Clerk) -> None:
    assert_refused(clerk.process("reserve", "MOUSE-001=two", "-o", "json"), 2, "usage")


def test_an_error_is_json_wherever_that_was_asked_for(clerk: Clerk) -> None:
    assert_refused(clerk.process("-o", "json", "reserve", "MOUSE-001=two"), 2, "usage")
    assert_refused(clerk.process("-o", "json"), 2, "usage")


def test_8_a_file_of_the_store_that_cannot_be_used(clerk: Clerk) -> None:
    (clerk.home / RUN).write_text("in the place of a folder")
    done = clerk.process("daemon", "start", "-o", "json")
    assert_refused(done, 8, "refused")
    assert done.error["message"].startswith(f"{clerk.home / RUN}")


def test_3_not_found(clerk: Clerk) -> None:
    assert_refused(clerk.process("show", "R-7K4QM2", "-o", "json"), 3, "not_found")


def test_4_not_enough_stock(clerk: Clerk) -> None:
    assert_refused(clerk.process("reserve", "KEYBOARD-001", "-o", "json"), 4, "not_enough_stock")


def test_5_wrong_state(clerk: Clerk) -> None:
    key = clerk("reserve", "MOUSE-001", "-q").out.strip()
    clerk("confirm", key)
    assert_refused(clerk.process("cancel", key, "-o", "json"), 5, "wrong_state")


@pytest.mark.concurrency
def test_6_busy(clerk: Clerk, monkeypatch: pytest.MonkeyPatch) -> None:
    # In this process, where the ten seconds of patience can be cut short.
    monkeypatch.setitem(Ledger.open.__func__.__kwdefaults__, "queue_timeout_s", 0.01)  # type: ignore[attr-defined] # of a class method
    with Ledger.open(clerk.home) as other, other.write():
        assert_refused(clerk("reserve", "MOUSE-001", "-o", "json"), 6, "busy")
        # Who reads does not wait for who writes.
        assert clerk.stock("MOUSE-001") == (10, 0, 10)


def test_7_cannot_reach(clerk: Clerk) -> None:
    done = clerk.process("sync", "--wait", "-o", "json")
    assert_refused(done, 7, "unreachable")
    assert done.error["message"] == "no daemon runs, and 6 events not acknowledged"
    assert (done.error["pending_events"], done.error["acked_seq"], done.error["head_seq"]) == (6, 0, 6)


def test_8_refused_for_safety(clerk: Clerk) -> None:
    assert_refused(clerk.process("init", "uptown", "-o", "json"), 8, "refused")


def test_8_a_ledger_that_does_not_hold(clerk: Clerk) -> None:
    ledger = apsw.Connection(str(clerk.home / FILE))
    ledger.execute("UPDATE stock SET on_hand = 11 WHERE sku = 'MOUSE-001'")
    ledger.close()
    done = clerk.process("verify", "-o", "json")
    assert (done.code, done.err) == (8, "")
    assert done.json["sound"] is False
    (finding,) = done.json["findings"]
    assert finding == "stock of MOUSE-001: on hand is 11 in the table, 10 by its events"
    told = clerk("verify")
    assert told.code == 8
    assert told.out.splitlines()[:3] == ["downtown does not hold:", f"  {finding}", "what it means"]
    assert "what to do" in told.out


def test_9_request_id_reused(clerk: Clerk) -> None:
    clerk("reserve", "MOUSE-001", "--request-id", "r1")
    assert_refused(clerk.process("receive", "MOUSE-001", "1", "--request-id", "r1", "-o", "json"), 9, "request_reused")


def test_130_interrupted(clerk: Clerk) -> None:
    (clerk.home / RUN).mkdir()
    (clerk.home / RUN / LOG_FILE).write_text("one line\n")
    with subprocess.Popen(
        [*INVCTL, "daemon", "logs", "-f"],
        env=environment(clerk.home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "one line\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


@pytest.mark.parametrize("module", ["invctl", "daemon", "central"])
def test_130_interrupted_while_its_own_modules_are_loaded(clerk: Clerk, module: str) -> None:
    interrupted = (
        "import runpy, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'invctl.console.main':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        f"runpy.run_module('{module}', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", interrupted],
        env=environment(clerk.home),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_without_a_store_there_is_one_clear_error(clerk: Clerk) -> None:
    elsewhere = str(clerk.home.parent / "elsewhere")
    for command in (["stock"], ["reserve", "MOUSE-001"], ["status"], ["daemon", "start"], ["sync", "--wait"]):
        done = clerk(*command, "--home", elsewhere)
        assert done.code == 3
        assert done.err == f"error: there is no ledger at {elsewhere}/ledger.db\nhint: `invctl init STORE` opens one\n"
    assert not Path(elsewhere).exists()


@pytest.mark.parametrize(
    "command",
    [
        "reserve",
        "reserve MOUSE_001%",
        "reserve MOUSE-001=0",
        "reserve MOUSE-001=-1",
        "reserve MOUSE-001=1.5",
        "reserve MOUSE-001=",
        "reserve MOUSE-001=1_0",
        "reserve MOUSE-001=9999999999",
        "reserve MOUSE-001=1000000000 MOUSE-001=1",
        "reserve MOUSE-001 --for 0s",
        "reserve MOUSE-001 --for 10",
        "reserve MOUSE-001 --for 9999d",
        "reserve MOUSE-001 --request-id two\u00a0words",
        "reserve MOUSE-001 --order",
        "receive MOUSE-001 -5",
        "receive MOUSE-001",
        "adjust MOUSE-001 -1",
        "adjust MOUSE-001 0 --reason correction",
        "adjust MOUSE-001 +1 --reason damaged",
        "adjust MOUSE-001 1 --reason bored",
        "adjust MOUSE-001 1 --reason reset",
        "adjust MOUSE-001 -1 -reason damaged",
        "confirm",
        "confirm R-",
        "extend R-7K4QM2 --for soon",
        "reservations --status done",
        "reservations --status pending --all",
        "reservations --limit 0",
        "history --limit x",
        "product add CABLE-001",
        "product add CABLE-001 --name Cable --price 1.234",
        "product add CABLE-001 --name Cable --price -1",
        "product edit MOUSE-001",
        "product edit MOUSE-001 --price 1 --no-price",
        "init Uptown --home NEW",
        "init uptown --home NEW --currency usd",
        "init uptown --home NEW --timezone Mars/Olympus",
        "stock -o yaml",
        "stok",
        "sync --timeout never",
    ],
)
def test_bad_input_is_one_clear_error_and_nothing_is_lost(clerk: Clerk, command: str) -> None:
    new = str(clerk.home.parent / "new")
    argv = [new if word == "NEW" else word for word in command.split(" ")]
    done = clerk(*argv)
    assert (done.code, done.out) == (2, "")
    lines = done.err.splitlines()
    assert lines[0].startswith("error: ")
    assert lines[-1].startswith("hint: ")
    assert len(lines) <= 3
    assert clerk("sync", "-o", "json").json["head_seq"] == 6
    assert not Path(new).exists()

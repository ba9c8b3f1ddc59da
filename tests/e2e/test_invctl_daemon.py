"""The daemon, as its store's clerk starts, asks and ends it. No broker runs, and none is needed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from invctl.cli.daemon import LOG_BYTES_MAX
from invctl.cli.invd import running
from invctl.cli.sync import SILENT_S
from invctl.ledger.ledger import Ledger
from invctl.settings import CONFIG_FILE, LOG_FILE, RUN, STATUS_FILE
from scripts.chain.waiting import wait_until
from tests.e2e.clerk import INVCTL, environment, hold_in_the_past
from tests.integration.ledger.processes import queue_locks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.clerk import Clerk

pytestmark = pytest.mark.cli


@pytest.fixture
def at_home(clerk: Clerk) -> Iterator[Clerk]:
    """A clerk whose daemon, if there is one, ends with the test."""
    yield clerk
    invd = running(clerk.home)
    if invd is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(invd.pid, signal.SIGKILL)


def test_start_status_logs_stop(at_home: Clerk) -> None:
    clerk = at_home
    assert clerk("daemon", "status").out == "not running: `invctl daemon start` starts it\n"

    started = clerk.process("daemon", "start", "-o", "json").json
    assert (started["running"], started["changed"]) == (True, True)
    pid = started["pid"]
    assert running(clerk.home) is not None
    # Detached: neither Ctrl-C nor the end of the terminal reaches it.
    assert os.getsid(pid) == pid

    again = clerk.process("daemon", "start", "-o", "json").json
    assert (again["pid"], again["changed"]) == (pid, False)

    status = clerk("daemon", "status", "-o", "json").json
    assert status.pop("since") == started["since"]
    assert status.pop("breaker")["state"] in ("closed", "open", "half_open")
    assert status.pop("metrics").startswith("http://127.0.0.1:")
    assert status.pop("metrics_trouble") is status.pop("stands_still_s") is None
    why = "Redis at 127.0.0.1:1 cannot be used: Connection refused"
    assert status == {
        "running": True,
        "pid": pid,
        "broker": "redis 127.0.0.1:1",
        "namespace": "inv",
        "connection": "lost",
        "why": why,
        "hint": "see that the broker runs and its URL is right",
        "stores": ["downtown"],
    }
    # Starting it waited for the first attempt, and told the same.
    assert (started["connection"], started["why"]) == ("lost", why)
    told = clerk("daemon", "status")
    assert f", pid {pid}; {why} (see `invctl daemon logs`)" in told.out
    assert told.out.endswith("/metrics\n")
    assert told.err == "hint: see that the broker runs and its URL is right\n"
    whole = clerk("status", "-o", "json").json
    assert (whole["daemon"]["pid"], whole["link"], whole["pending_events"]) == (pid, "unknown", 6)
    assert f"pid {pid}; {why} (see `invctl daemon logs`)" in clerk("status").out

    actions = [record["action"] for record in map(json.loads, clerk("daemon", "logs", "-o", "ndjson").out.splitlines())]
    assert "daemon.started" in actions
    assert "daemon.started" in clerk("daemon", "logs").out

    stopped = clerk("daemon", "stop", "-o", "json").json
    assert (stopped["running"], stopped["changed"]) == (False, True)
    assert running(clerk.home) is None
    assert clerk("daemon", "stop").out == "the daemon was not running\n"


@pytest.mark.fault_tolerance
def test_one_that_was_killed_is_not_taken_for_running_and_can_be_started_again(at_home: Clerk) -> None:
    clerk = at_home
    pid = clerk.process("daemon", "start", "-o", "json").json["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)
    assert clerk("daemon", "status", "-q").out == ""
    assert clerk("status", "-o", "json").json["reason"] == "no daemon runs"
    assert clerk.process("daemon", "start", "-o", "json").json["changed"] is True


def wait_until_gone(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    fd = os.pidfd_open(pid)
    try:
        assert select.select([fd], [], [], 30)[0]
    finally:
        os.close(fd)


def test_one_that_ends_at_once_is_told_with_its_reason(at_home: Clerk) -> None:
    clerk = at_home
    (clerk.home / CONFIG_FILE).write_text("redis_url = \n")
    done = clerk.process("daemon", "start", "-o", "json", env={"INVCTL_REDIS_URL": ""})
    assert done.code == 2
    assert done.error["message"].startswith("the daemon ended at once: ")
    assert "config.toml is not TOML" in done.error["message"]
    assert done.error["hint"] == "mend it, or take it away"
    assert running(clerk.home) is None
    assert "config.toml is not TOML" in clerk("daemon", "logs").out


def test_a_broker_s_url_that_cannot_be_read_is_told_with_the_forms_that_can(at_home: Clerk) -> None:
    done = at_home.process("daemon", "start", "-o", "json", env={"INVCTL_REDIS_URL": "foo://x"})
    assert (done.code, done.error["message"]) == (2, "the daemon ended at once: the broker's URL cannot be read")
    assert done.error["hint"].startswith("write redis://")


@pytest.mark.fault_tolerance
def test_one_that_stands_still_is_told_by_all_who_ask_and_nothing_that_it_said_is_believed(at_home: Clerk) -> None:
    clerk = at_home
    pid = clerk.process("daemon", "start", "--log-level", "debug", "-o", "json").json["pid"]
    assert '"level": "debug"' in (clerk.home / RUN / LOG_FILE).read_text()
    assert "it goes on at the log level that it was started with" in clerk("daemon", "start", "--log-level", "info").err
    os.kill(pid, signal.SIGSTOP)
    long_ago_s = time.time() - 60
    os.utime(clerk.home / RUN / STATUS_FILE, (long_ago_s, long_ago_s))
    todo = f"`kill -9 {pid}` ends it, and loses nothing; then `invctl daemon start`"
    for command in (("status",), ("daemon", "status"), ("daemon", "start")):
        told = clerk(*command)
        assert "stands still since " in told.out
        assert f", pid {pid}: {todo}" in told.out
    assert "link      silent: the daemon stands still\n" in clerk("status").out
    whole = clerk("status", "-o", "json").json
    assert (whole["link"], whole["reason"]) == ("unknown", "the daemon stands still")
    waited = clerk("sync", "--wait", "--timeout", "1h", "-o", "json")
    assert (waited.code, waited.error["message"], waited.error["hint"]) == (
        7,
        "the daemon stands still, and 6 events not acknowledged",
        todo,
    )
    # What was not long ago may be a pause; but it is not the link's.
    lately_s = time.time() - SILENT_S
    os.utime(clerk.home / RUN / STATUS_FILE, (lately_s, lately_s))
    waited = clerk("sync", "--wait", "--timeout", "1s", "-o", "json")
    assert re.fullmatch(r"the daemon has said nothing for \d+ s: see `invctl daemon status`", waited.error["hint"])
    # Once it goes on, so does what is told.
    os.kill(pid, signal.SIGCONT)
    assert wait_until(lambda: "stands still" not in clerk("daemon", "status").out, timeout_s=30)


def test_a_setting_that_nobody_reads_is_told_by_all_who_look(at_home: Clerk) -> None:
    clerk = at_home
    (clerk.home / CONFIG_FILE).write_text('redis-url = "redis://office:6379/0"\n')
    warning = f"redis-url in {clerk.home / CONFIG_FILE} is not a setting, and does nothing: did you mean redis_url?"
    started = clerk.process("daemon", "start")
    assert started.code == 0
    assert started.err.splitlines()[-1] == f"warning: {warning}"
    assert clerk("daemon", "status").err.splitlines()[-1] == f"warning: {warning}"
    assert clerk("daemon", "status", "-o", "json").err == ""
    assert clerk("status").out.splitlines()[-1] == f"settings  {warning}"
    assert clerk("status", "-o", "json").json["warnings"] == [warning]
    logged = [json.loads(line) for line in clerk("daemon", "logs", "-o", "ndjson").out.splitlines()]
    (record,) = [each for each in logged if each["action"] == "settings.ignored"]
    assert (record["level"], record["warning"]) == ("warning", warning)
    # Whoever sells is not the one to mend it.
    assert clerk("reserve", "MOUSE-001").err == ""
    assert clerk("daemon", "stop").err == ""


def test_what_lies_in_the_folder_is_not_taken_for_the_daemon(at_home: Clerk) -> None:
    clerk = at_home
    (clerk.home / "daemon.py").write_text("raise SystemExit('not this')")
    assert clerk.process("daemon", "start", "-o", "json").json["running"] is True


def test_sync_waits_for_a_daemon_that_runs_and_says_how_the_link_is(at_home: Clerk) -> None:
    clerk = at_home
    clerk.process("daemon", "start")
    done = clerk("sync", "--wait", "--timeout", "0s", "-o", "json")
    assert done.code == 7
    assert done.error["message"] == "time ran out with 6 events not acknowledged"
    assert done.error["hint"] == "the link is silent: head office has never answered"


def test_a_log_that_has_grown_large_is_turned_over(at_home: Clerk) -> None:
    log = at_home.home / RUN / LOG_FILE
    log.parent.mkdir()
    for size, is_turned in ((LOG_BYTES_MAX, False), (LOG_BYTES_MAX + 1, True)):
        with log.open("wb") as file:
            file.truncate(size)
        at_home.process("daemon", "start")
        at_home.process("daemon", "stop")
        assert log.with_name("invd.log.1").exists() is is_turned
        assert (log.stat().st_size < LOG_BYTES_MAX) is is_turned


def test_a_broker_that_does_not_answer_is_not_waited_for(at_home: Clerk) -> None:
    # It accepts, and says nothing.
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"redis://127.0.0.1:{server.getsockname()[1]}"
        done = at_home.process("daemon", "start", env={"INVCTL_REDIS_URL": url})
    assert done.code == 0
    assert ", connecting to redis 127.0.0.1:" in done.out


def test_one_that_serves_other_stores_is_ended_for_all_or_not_at_all(at_home: Clerk) -> None:
    clerk, other = at_home, at_home.home.parent / "other"
    Ledger.create(other, "uptown").close()
    run = [sys.executable, "-m", "daemon", "run", str(clerk.home), str(other)]
    with subprocess.Popen(run, env=environment(clerk.home), stderr=subprocess.DEVNULL) as daemon:
        # One that a clerk starts besides, before it has taken hold of the folders, would serve this store instead.
        while (invd := running(clerk.home)) is None or invd.stores is None:
            assert daemon.poll() is None
        assert (invd.pid, invd.stores) == (daemon.pid, ["downtown", "uptown"])
        assert "\nstores: downtown, uptown\n" in clerk("daemon", "status").out
        done = clerk("daemon", "stop", "-o", "json")
        assert (done.code, done.error["error"]) == (5, "wrong_state")
        assert done.error["message"] == f"daemon {daemon.pid} serves 2 stores: downtown, uptown"
        assert done.error["hint"] == "`invctl daemon stop --all` ends it for all of them"
        assert running(other) is not None
        assert clerk("daemon", "stop", "--all").code == 0
        # It waits for this store's folder; the process lets go of one after the other.
        assert daemon.wait(timeout=60) == 0
        assert running(other) is None


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("is_queued", [True, False])
def test_it_ends_in_order_while_another_process_holds_the_ledger(at_home: Clerk, is_queued: bool) -> None:
    clerk = at_home
    hold_in_the_past(clerk.home, MOUSE=1)
    run = [sys.executable, "-m", "daemon", "run", str(clerk.home), "--log-format", "json"]
    with ExitStack() as holding:
        other = holding.enter_context(Ledger.open(clerk.home))
        if is_queued:
            holding.enter_context(other.write())
        else:
            other.connection.execute("BEGIN IMMEDIATE")
        with subprocess.Popen(run, env=environment(clerk.home), stderr=subprocess.PIPE, text=True) as daemon:
            # It wants to let the reservation expire: it waits in the queue, or inside, for SQLite.
            while not any("->" in lock or not is_queued for lock in queue_locks(clerk.home)):
                assert daemon.poll() is None
            daemon.send_signal(signal.SIGTERM)
            _, err = daemon.communicate(timeout=60)
    assert daemon.returncode == 0
    assert json.loads(err.splitlines()[-1])["action"] == "daemon.stopped"


@pytest.mark.concurrency
def test_two_that_start_it_at_once_start_one(at_home: Clerk) -> None:
    start = [*INVCTL, "daemon", "start", "-o", "json"]
    both = [subprocess.Popen(start, env=environment(at_home.home), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert told[0]["pid"] == told[1]["pid"]
    assert all(record["running"] for record in told)

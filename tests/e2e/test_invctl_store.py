"""A store and its products, its status, and the way to head office as the clerk sees it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
from typing import TYPE_CHECKING

import pytest

from invctl.cli.sync import REJOINED_S, SETTLED_S
from invctl.clock import SystemClock, format_time
from invctl.ledger import adjustments, outbox
from invctl.ledger.ledger import Ledger
from invctl.settings import CONFIG_FILE, LOCK_FILE, PID_FILE, RUN, STATUS_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.clerk import Clerk, Done

pytestmark = [pytest.mark.business, pytest.mark.cli]

SINCE = "2026-01-01T09:00:00.000000Z"


def acknowledge(home: Path, acked_seq: int, state: str = "up", reason: str = "", suspects: int = 0) -> None:
    """Do to the ledger what a daemon does when central answers."""
    with Ledger.open(home) as ledger:
        outbox.remember_link(ledger, acked_seq=acked_seq, state=state, reason=reason, suspects=suspects)


@pytest.fixture
def daemon(clerk: Clerk) -> Iterator[None]:
    """What a running daemon leaves in the store's folder, without one."""
    run = clerk.home / RUN
    run.mkdir()
    with (run / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (run / PID_FILE).write_text(f"{os.getpid()}\n")
        said = {
            "pid": os.getpid(),
            "since": SINCE,
            "broker": "redis here:1",
            "connection": "connected",
            "stores": ["downtown"],
        }
        (run / STATUS_FILE).write_text(json.dumps(said))
        yield


class TestInit:
    def test_a_new_store(self, clerk: Clerk) -> None:
        home = clerk.home.parent / "new"
        argv = ("--home", str(home))
        done = clerk("init", "kyoto", "--name", "京都店", "--currency", "JPY", "--timezone", "Asia/Tokyo", *argv)
        assert done.code == 0
        assert done.out == f"kyoto (京都店) is open in {home}: prices in JPY, times of Asia/Tokyo\n"
        assert done.err.startswith("next: ")
        assert clerk("product", "add", "TEA-1", "--name", "Tea", "--price", "500", *argv).code == 0
        assert clerk("product", "show", "TEA-1", "-o", "json", *argv).json["price"] == 500
        assert clerk("product", "add", "TEA-2", "--name", "Tea", "--price", "5.00", *argv).code == 2
        # It may come to hold the broker's password.
        assert stat.S_IMODE((home / CONFIG_FILE).stat().st_mode) == 0o600
        assert (home / RUN).is_dir()

    def test_the_broker_goes_into_the_settings_and_settings_that_are_there_stay(self, clerk: Clerk) -> None:
        home = clerk.home.parent / "new"
        argv = ("--home", str(home), "--redis-url", "redis://office:6379/0", "--namespace", "chain")
        assert clerk("init", "uptown", *argv).code == 0
        text = (home / CONFIG_FILE).read_text()
        assert 'redis_url = "redis://office:6379/0"\nnamespace = "chain"\n' in text
        (home / "ledger.db").unlink()
        (home / "ledger.db-wal").unlink()
        assert clerk("init", "uptown", "--home", str(home)).code == 0
        assert (home / CONFIG_FILE).read_text() == text

    def test_twice_is_refused_and_changes_nothing(self, clerk: Clerk) -> None:
        done = clerk("init", "uptown")
        assert (done.code, done.out) == (8, "")
        assert done.err.startswith("error: there is a ledger here already, of store downtown\nhint: ")
        # Whoever names a broker most likely wants this store to have it.
        for setting in (("--redis-url", "redis://office:6379/0"), ("--namespace", "chain")):
            done = clerk("init", "downtown", *setting)
            assert done.code == 8
            assert f"\nhint: set redis_url and namespace in {clerk.home / CONFIG_FILE};" in done.err
        assert clerk("status", "-q").out == "downtown\n"

    def test_the_time_zone_is_the_machines_unless_said_otherwise(
        self, clerk: Clerk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TZ", "Asia/Kolkata")
        home = str(clerk.home.parent / "new")
        assert clerk("init", "uptown", "--home", home, "-o", "json").json["timezone"] == "Asia/Kolkata"

    def test_a_machine_with_a_time_zone_that_has_no_name(self, clerk: Clerk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TZ", "<+0530>-5:30")
        home = str(clerk.home.parent / "new")
        assert clerk("init", "uptown", "--home", home, "-o", "json").json["timezone"] == "UTC"

    def test_a_folder_that_cannot_be(self, clerk: Clerk) -> None:
        (clerk.home.parent / "file").write_text("")
        done = clerk("init", "uptown", "--home", str(clerk.home.parent / "file" / "new"), "-o", "json")
        assert (done.code, done.error["error"]) == (8, "refused")


class TestProducts:
    def test_add_edit_show(self, clerk: Clerk) -> None:
        assert clerk("product", "add", "cable-1", "--name", "Cable").out == "CABLE-1 (Cable) added\n"
        edited = clerk("product", "edit", "CABLE-1", "--price", "9.5", "--name", "Cable 2 m")
        assert edited.out == "CABLE-1 (Cable 2 m, 9.50 USD) edited\n"
        shown = "CABLE-1 (Cable 2 m, 9.50 USD)\n0 on hand, 0 reserved, 0 available\n"
        assert clerk("product", "show", "cable-1").out == shown
        assert clerk("product", "edit", "CABLE-1", "--no-price").out == "CABLE-1 (Cable 2 m) edited\n"

    def test_an_edit_that_changes_nothing_writes_nothing(self, clerk: Clerk) -> None:
        done = clerk("product", "edit", "MOUSE-001", "--price", "80")
        assert done.out == "MOUSE-001 (Mouse, 80.00 USD) is so already; nothing was done\n"
        assert clerk("product", "edit", "MOUSE-001", "--price", "80", "-o", "json").json["seq"] is None
        assert clerk("sync", "-o", "json").json["head_seq"] == 6

    def test_one_that_is_there(self, clerk: Clerk) -> None:
        done = clerk("product", "add", "MOUSE-001", "--name", "Mouse", "-o", "json")
        assert (done.code, done.error["error"]) == (5, "wrong_state")

    def test_a_name_cannot_steer_the_terminal(self, clerk: Clerk) -> None:
        assert clerk("product", "add", "CABLE-1", "--name", "Cable\x1b[2J").code == 2


class TestStatus:
    def test_without_a_daemon_nobody_knows_how_the_link_is(self, clerk: Clerk) -> None:
        acknowledge(clerk.home, 2)
        record = clerk("status", "-o", "json").json
        # The store was an hour old when these tests began, and head office has its first two events.
        assert 3600 <= record.pop("oldest_pending_age_s") < 7200
        assert record["last_event_at"] < record["acked_at"]
        assert (record["head_seq"], record["acked_seq"], record["pending_events"]) == (6, 2, 4)
        assert (record["link"], record["reason"]) == ("unknown", "no daemon runs")
        assert (record["products"], record["open_reservations"], record["suspects"]) == (3, 0, 0)

    @pytest.mark.usefixtures("daemon")
    def test_a_link_that_is_up(self, clerk: Clerk) -> None:
        acknowledge(clerk.home, 6)
        record = clerk("status", "-o", "json").json
        assert (record["pending_events"], record["oldest_pending_age_s"]) == (0, None)
        assert (record["link"], record["reason"]) == ("up", None)
        told = clerk("status").out.splitlines()
        assert told[0] == f"downtown (Tech Store Downtown) in {clerk.home}"
        assert [line.split()[0] for line in told[1:]] == ["ledger", "stock", "central", "link", "daemon"]
        assert told[2] == "stock     3 products, 0 open reservations"
        assert told[4] == "link      up"
        assert re.fullmatch(rf"daemon    running since .*, pid {os.getpid()}, connected to redis here:1", told[5])

    @pytest.mark.usefixtures("daemon")
    def test_a_store_that_waits_to_be_admitted(self, clerk: Clerk) -> None:
        acknowledge(clerk.home, 0, "refused", "not_admitted")
        record = clerk("status", "-o", "json").json
        assert (record["link"], record["reason"]) == ("refused", "not_admitted")
        told = clerk("status").out
        assert "central   has acknowledged nothing, answered at" in told
        # The store was opened an hour before the first test of this run.
        assert "; 6 pending, the oldest for 1 h" in told
        assert "`invcentral stores admit downtown`" in told

    @pytest.mark.usefixtures("daemon")
    def test_items_that_head_office_doubts(self, clerk: Clerk) -> None:
        acknowledge(clerk.home, 6, suspects=2)
        assert clerk("status").out.splitlines()[-3:] == [
            "suspect   2 items: head office doubts their levels; count them",
            "          `invcentral suspects list --store downtown` there says which",
            "          `invctl adjust SKU CHANGE --reason cycle_count` settles it; CHANGE may be 0",
        ]
        acknowledge(clerk.home, 6, suspects=1)
        assert "suspect   1 item: head office doubts its level; count it\n" in clerk("status").out
        assert clerk("status", "-o", "json").json["suspects"] == 1


class TestSync:
    def test_nothing_to_wait_for(self, clerk: Clerk) -> None:
        acknowledge(clerk.home, 6)
        done = clerk("sync", "--wait")
        assert (done.code, done.out) == (0, "head office has everything, up to event 6\n")

    def test_without_wait_it_tells(self, clerk: Clerk) -> None:
        acknowledge(clerk.home, 5)
        assert clerk("sync").out == "1 event not acknowledged yet: `invctl sync --wait` waits\n"

    @pytest.mark.usefixtures("daemon")
    def test_it_waits_for_what_was_committed_when_it_began(self, clerk: Clerk, monkeypatch: pytest.MonkeyPatch) -> None:
        looked = iter(range(7))

        def at_each_look(_: float) -> None:
            """Let central have one event more, and the store trade on."""
            acknowledge(clerk.home, next(looked))
            with Ledger.open(clerk.home) as ledger:
                adjustments.adjust(ledger, {"MOUSE-001": 1}, "received")

        monkeypatch.setattr("invctl.cli.sync.time.sleep", at_each_look)
        record = clerk("sync", "--wait", "-o", "json").json
        assert (record["head_seq"], record["acked_seq"], record["pending_events"]) == (6, 6, 0)
        assert next(looked, None) is None

    @pytest.mark.usefixtures("daemon")
    def test_a_daemon_that_ends_meanwhile(self, clerk: Clerk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("invctl.cli.sync.LOOKS_A_DAEMON", 1)
        monkeypatch.setattr("invctl.cli.sync.time.sleep", lambda _: (clerk.home / RUN / PID_FILE).unlink())
        done = clerk("sync", "--wait", "-o", "json")
        assert (done.code, done.error["message"]) == (7, "no daemon runs, and 6 events not acknowledged")


class Hands:
    """A clock's hands, in the place of the module `time`: who sleeps moves them, and something happens meanwhile."""

    def __init__(self, happens: Callable[[float], None]) -> None:
        self.now_s = 0.0
        self._happens = happens

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self._happens(self.now_s)


@pytest.mark.usefixtures("daemon")
class TestSyncThatIsRefused:
    @staticmethod
    def sync(clerk: Clerk, monkeypatch: pytest.MonkeyPatch, happens: Callable[[float], None]) -> tuple[Done, float]:
        hands = Hands(happens)
        monkeypatch.setattr("invctl.cli.sync.time", hands)
        return clerk("sync", "--wait", "--timeout", "60s", "-o", "json"), hands.now_s

    @pytest.mark.parametrize(
        ("state", "reason", "why", "hint"),
        [
            ("refused", "not_admitted", "head office has not admitted", "`invcentral stores admit downtown`"),
            ("refused", "other_ledger", "head office knows another ledger as downtown", "stop selling here"),
            ("diverged", "head office holds an event 9", "head office holds an event 9", "takes what it lacks"),
        ],
    )
    def test_it_ends_when_a_heartbeat_has_not_lifted_it(
        self, clerk: Clerk, monkeypatch: pytest.MonkeyPatch, state: str, reason: str, why: str, hint: str
    ) -> None:
        acknowledge(clerk.home, 2, state, reason)
        done, waited_s = self.sync(clerk, monkeypatch, lambda _: None)
        assert (done.code, done.error["error"]) == (7, "unreachable")
        assert done.error["message"].startswith(f"4 events not acknowledged: {why}")
        assert hint in done.error["hint"]
        assert (done.error["link"], done.error["reason"], done.error["acked_seq"]) == (state, reason, 2)
        settled_s = REJOINED_S if state == "diverged" else SETTLED_S
        assert settled_s <= waited_s < settled_s + 1

    def test_what_was_acknowledged_before_it_refused_is_not_taken_for_granted(
        self, clerk: Clerk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Head office was set up anew: it refuses the store, and has nothing of it."""
        acknowledge(clerk.home, 6, "refused", "not_admitted")
        done, waited_s = self.sync(clerk, monkeypatch, lambda _: None)
        assert (done.code, done.error["reason"], done.error["pending_events"]) == (7, "not_admitted", 0)
        assert done.error["message"].startswith("it may not have everything any more: head office has not admitted")
        assert waited_s < SETTLED_S + 1
        told = clerk("sync").out
        assert told.startswith("head office had everything, up to event 6, but now the link is refused: ")

    def test_one_that_was_just_admitted_is_waited_for(self, clerk: Clerk, monkeypatch: pytest.MonkeyPatch) -> None:
        acknowledge(clerk.home, 0, "refused", "not_admitted")

        def next_heartbeat(now_s: float) -> None:
            if now_s > SETTLED_S - 0.1:
                acknowledge(clerk.home, 6)

        done, _ = self.sync(clerk, monkeypatch, next_heartbeat)
        assert (done.code, done.json["pending_events"]) == (0, 0)

    def test_progress_is_waited_for(self, clerk: Clerk, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of an event that is refused, the hello before it is acknowledged: the state goes to and fro."""
        acknowledge(clerk.home, 0, "refused", "unreadable")

        def one_a_second(now_s: float) -> None:
            acknowledge(clerk.home, min(int(now_s), 6), *(("refused", "unreadable") if now_s < 7 else ()))

        done, waited_s = self.sync(clerk, monkeypatch, one_a_second)
        assert done.code == 0
        assert waited_s >= 6

    def test_what_an_earlier_daemon_was_told_is_not_believed(
        self, clerk: Clerk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        acknowledge(clerk.home, 2, "refused", "not_admitted")
        said = json.loads((clerk.home / RUN / STATUS_FILE).read_text())
        since = format_time(SystemClock().now_us() + 3600 * 1_000_000)
        (clerk.home / RUN / STATUS_FILE).write_text(json.dumps({**said, "since": since}))
        done, waited_s = self.sync(clerk, monkeypatch, lambda _: None)
        assert (done.code, waited_s >= 60) == (7, True)
        assert done.error["message"] == "time ran out with 4 events not acknowledged"


WRITES = [
    "reserve LAPTOP-001",
    "confirm KEY",
    "cancel KEY",
    "extend KEY",
    "receive MOUSE-001 1",
    "adjust MOUSE-001 -1 --reason damaged",
    "product add CABLE-1 --name Cable",
    "product edit MOUSE-001 --name Maus",
]


class TestWritingWhereHeadOfficeHoldsAnotherHistory:
    @pytest.mark.parametrize("command", WRITES)
    def test_of_another_ledger_a_person_is_warned_once_in_one_line(self, clerk: Clerk, command: str) -> None:
        key = clerk("reserve", "MOUSE-001", "-q").out.strip()
        acknowledge(clerk.home, 2, "refused", "other_ledger")
        done = clerk(*command.replace("KEY", key).split())
        assert done.code == 0
        (line,) = done.err.splitlines()
        assert line == "warning: head office holds another history of downtown: see `invctl status`"

    @pytest.mark.parametrize("options", [["-q"], ["-o", "json"], ["-o", "csv"]])
    def test_a_program_is_not(self, clerk: Clerk, options: list[str]) -> None:
        acknowledge(clerk.home, 2, "refused", "other_ledger")
        done = clerk("receive", "MOUSE-001", "1", *options)
        assert (done.code, done.err) == (0, "")

    @pytest.mark.fault_tolerance
    @pytest.mark.parametrize("command", WRITES)
    def test_what_the_ledger_lacks_freezes_it_until_head_office_agrees(self, clerk: Clerk, command: str) -> None:
        key = clerk("reserve", "MOUSE-001", "-q").out.strip()
        acknowledge(clerk.home, 2, "diverged", "head office holds an event 9 that this ledger does not have")
        for state, reason in (("diverged", ""), ("unknown", ""), ("refused", "not_admitted")):
            done = clerk(*command.replace("KEY", key).split(), "-o", "json")
            assert (done.code, done.error["error"]) == (8, "frozen")
            if state != "diverged":
                acknowledge(clerk.home, 2, state, reason)
        acknowledge(clerk.home, 2, "up")
        assert clerk(*command.replace("KEY", key).split()).code == 0

    @pytest.mark.parametrize(("state", "reason"), [("up", ""), ("unknown", ""), ("refused", "not_admitted")])
    def test_of_what_may_come_to_head_office_nothing_is_said(self, clerk: Clerk, state: str, reason: str) -> None:
        acknowledge(clerk.home, 2, state, reason)
        assert clerk("receive", "MOUSE-001", "1").err == ""

    def test_where_it_points_to_the_same_is_told_also_without_a_daemon(self, clerk: Clerk) -> None:
        acknowledge(clerk.home, 2, "refused", "other_ledger")
        told = (
            "link      silent: no daemon runs\n          before that it was refused: head office knows another ledger"
        )
        assert told in clerk("status").out


class TestTrace:
    def test_each_change_is_a_trace_of_its_own(self, clerk: Clerk) -> None:
        traces = [self.trace(clerk, "receive", "MOUSE-001", "1") for _ in range(2)]
        assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace) for trace in traces)
        assert traces[0][3:35] != traces[1][3:35]

    @pytest.mark.parametrize(
        "command",
        [
            "reserve MOUSE-001",
            "confirm KEY",
            "cancel KEY",
            "extend KEY",
            "receive MOUSE-001 1",
            "adjust MOUSE-001 -1 --reason damaged",
            "product add CABLE-1 --name Cable",
            "product edit MOUSE-001 --name Maus",
        ],
    )
    def test_every_change_is_a_step_of_the_trace_that_it_is_called_in(
        self, clerk: Clerk, monkeypatch: pytest.MonkeyPatch, command: str
    ) -> None:
        key = clerk("reserve", "MOUSE-001", "-q").out.strip()
        parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
        monkeypatch.setenv("TRACEPARENT", parent)
        trace = self.trace(clerk, *command.replace("KEY", key).split())
        assert trace != parent
        assert (trace[:35], trace[-2:]) == (parent[:35], "00")

    @staticmethod
    def trace(clerk: Clerk, *argv: str) -> str:
        seq = clerk(*argv, "-o", "json").json["seq"]
        with Ledger.open(clerk.home) as ledger:
            (body,) = ledger.row("SELECT body FROM events WHERE seq = ?", (seq,))
        return str(json.loads(body)["traceparent"])


def test_the_store_is_that_of_the_flag_else_of_the_environment(clerk: Clerk, monkeypatch: pytest.MonkeyPatch) -> None:
    other = clerk.home.parent / "other"
    clerk("init", "uptown", "--home", str(other))
    assert clerk("status", "-q").out == "downtown\n"
    assert clerk("--home", str(other), "status", "-q").out == "uptown\n"
    assert clerk("status", "--home", str(other), "-q").out == "uptown\n"
    monkeypatch.delenv("INVCTL_HOME")
    monkeypatch.setenv("HOME", str(clerk.home.parent))
    clerk("init", "midtown")
    assert (clerk.home.parent / ".invctl" / "ledger.db").exists()
    assert clerk("status", "-q").out == "midtown\n"


def test_a_clerks_change_pokes_the_daemon(clerk: Clerk) -> None:
    (clerk.home / RUN).mkdir()
    poke = clerk.home / RUN / "poke"
    os.mkfifo(poke)
    fd = os.open(poke, os.O_RDWR | os.O_NONBLOCK)
    try:
        clerk("stock")
        with pytest.raises(BlockingIOError):
            os.read(fd, 10)
        clerk("reserve", "MOUSE-001")
        assert os.read(fd, 10) == b"!"
    finally:
        os.close(fd)


def test_verify_replays_it_all(clerk: Clerk) -> None:
    key = clerk("reserve", "MOUSE-001", "-q").out.strip()
    clerk("confirm", key)
    told = clerk("verify").out
    assert re.fullmatch(r"downtown holds: 8 events, 3 SKUs, 1 reservation replayed; head [0-9a-f]{16}\n", told)

"""Whether a daemon runs, as its files tell."""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.service import MEASURE_EVERY_S
from invctl.cli import invd
from invctl.cli.link import _REFUSED, in_words, last_known
from invctl.cli.sync import SETTLED_S
from invctl.cli.times import StoreTime
from invctl.clock import SystemClock
from invctl.ledger.reads import LinkRow
from invctl.runtime import status
from invctl.settings import LOCK_FILE, PID_FILE, RUN, STATUS_FILE
from invctl.sync import frames
from invctl.sync.shipper import HEARTBEAT_S, SILENCE_S, Link

pytestmark = pytest.mark.cli

BREAKER = {
    "state": "open",
    "since": "2026-11-24T09:01:00.000000Z",
    "failures": 7,
    "next_attempt_at": "2026-11-24T09:05:00.000000Z",
    "why": "nobody is there",
}
PAUSED = "sends nothing since 2026-11-24 09:01:00 UTC after 7 failures in a row"
SAID = {
    "pid": 4711,
    "since": "2026-11-24T09:00:00.000000Z",
    "broker": "redis here:1",
    "namespace": "inv",
    "connection": "lost",
    "why": "nobody is there",
    "hint": "look",
    "breaker": BREAKER,
    "metrics": "http://127.0.0.1:9464",
    "metrics_trouble": None,
    "stores": ["downtown"],
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / RUN).mkdir()
    (tmp_path / RUN / LOCK_FILE).touch()
    (tmp_path / RUN / PID_FILE).write_text("4711\n")
    (tmp_path / RUN / STATUS_FILE).write_text(json.dumps(SAID))
    return tmp_path


@pytest.fixture
def held(home: Path) -> Iterator[Path]:
    """A folder whose lock is held, as by a daemon."""
    with (home / RUN / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield home


def test_one_that_runs(held: Path) -> None:
    assert invd.as_record(invd.running(held)) == {"running": True, **SAID, "stands_still_s": None}


@pytest.mark.fault_tolerance
def test_one_that_no_longer_says_that_it_is_there_stands_still(held: Path) -> None:
    then_s = time.time() - 60
    os.utime(held / RUN / STATUS_FILE, (then_s, then_s))
    seen = invd.running(held)
    assert seen is not None
    assert 60 <= invd.as_record(seen)["stands_still_s"] < 3600
    told = invd.describe(seen, StoreTime("UTC", SystemClock().now_us()))
    assert re.fullmatch(r"stands still since .* UTC, pid 4711: `kill -9 4711` ends it, and loses nothing; .*", told)


def test_a_daemon_and_those_who_ask_for_it_mean_the_same_by_standing_still() -> None:
    assert invd.STALLED_AFTER_S == status.STALLED_AFTER_S > MEASURE_EVERY_S * 5


def test_a_pid_without_its_lock_is_what_a_killed_one_left(home: Path) -> None:
    assert invd.running(home) is None
    assert invd.as_record(None) == {"running": False, **dict.fromkeys(SAID), "stands_still_s": None}


def test_nothing_at_all(tmp_path: Path) -> None:
    assert invd.running(tmp_path) is None


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "1"])
def test_a_pid_that_would_mean_others(held: Path, text: str) -> None:
    (held / RUN / PID_FILE).write_text(text)
    assert invd.running(held) is None


def test_no_lock_is_tried_before_there_is_a_pid(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / RUN / PID_FILE).unlink()
    monkeypatch.setattr(fcntl, "flock", lambda *_: pytest.fail("a daemon that starts would find its lock taken"))
    assert invd.running(home) is None


@pytest.mark.parametrize("text", ["", "[]", "nonsense", json.dumps({**SAID, "pid": 4712})])
def test_a_status_that_is_not_its_own_is_not_believed(held: Path, text: str) -> None:
    (held / RUN / STATUS_FILE).write_text(text)
    assert invd.running(held) == invd.Invd(4711)


def test_the_lock_is_given_back(home: Path) -> None:
    invd.running(home)
    fd = os.open(home / RUN / LOCK_FILE, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({}, "running, pid 7"),
        ({"broker": "redis here:1", "connection": "connecting"}, "running, pid 7, connecting to redis here:1"),
        ({"broker": "redis here:1", "connection": "connected"}, "running, pid 7, connected to redis here:1"),
        (
            {"broker": "redis here:1", "namespace": "chain", "connection": "connected"},
            "running, pid 7, connected to redis here:1, namespace chain",
        ),
        ({"connection": "lost", "why": "wrong password"}, "running, pid 7; wrong password (see `invctl daemon logs`)"),
        (
            {"connection": "lost", "why": "gone", "breaker": BREAKER},
            f"running, pid 7; gone (see `invctl daemon logs`); {PAUSED}, tries again at 2026-11-24 09:05:00 UTC",
        ),
        (
            {
                "broker": "redis here:1",
                "connection": "connected",
                "breaker": {**BREAKER, "state": "half_open", "next_attempt_at": None},
            },
            f"running, pid 7, connected to redis here:1; {PAUSED}",
        ),
        (
            {"connection": "lost", "why": "gone", "breaker": {**BREAKER, "state": "closed"}},
            "running, pid 7; gone (see `invctl daemon logs`)",
        ),
        ({"stores": ["a"]}, "running, pid 7"),
        ({"stores": ["a", "b"]}, "running, pid 7, serves 2 stores"),
    ],
)
def test_a_daemon_in_words(known: dict[str, Any], told: str) -> None:
    assert invd.describe(invd.Invd(7, **known), StoreTime("UTC", 0)) == told


class TestLink:
    def test_every_reason_for_which_central_refuses_has_its_words(self) -> None:
        reasons = {frames.NOT_ADMITTED, frames.OTHER_LEDGER, frames.UNKNOWN_VERSION}
        reasons |= {frames.UNREADABLE, frames.BYTES_DO_NOT_HASH}
        assert _REFUSED.keys() == reasons
        told = {in_words(LinkRow(1, 1, Link.REFUSED, reason, 0), "downtown") for reason in reasons}
        assert len(told) == len(reasons)
        assert all(words.startswith("refused: ") and "{" not in words for words in told)
        assert in_words(LinkRow(1, 1, Link.REFUSED, "of another age", 0), "d") == (
            "refused: of another age; see `invctl daemon logs`"
        )

    def test_the_other_states(self) -> None:
        assert in_words(LinkRow(1, 1, Link.UP, "", 0), "d") == "up"
        assert in_words(LinkRow(0, 0, Link.UNKNOWN, "", 0), "d") == "silent: head office has never answered"
        assert in_words(LinkRow(1, 1, Link.UNKNOWN, "", 0), "d") == "silent: head office does not answer"
        assert in_words(LinkRow(1, 1, Link.DIVERGED, "why", 0), "d") == (
            "diverged: why; it was restored from a backup, and takes what it lacks within seconds"
        )

    def test_without_a_daemon_what_was_wrong_before_is_not_forgotten(self) -> None:
        for state in (Link.UP, Link.UNKNOWN):
            assert last_known(LinkRow(1, 1, state, "", 0), "d") == "silent: no daemon runs"
        told = last_known(LinkRow(1, 1, Link.REFUSED, frames.OTHER_LEDGER, 0), "d")
        assert told.startswith("silent: no daemon runs; before that it was refused: head office knows another ledger")

    def test_a_refusal_is_believed_no_sooner_than_a_heartbeat_could_have_lifted_it(self) -> None:
        # The latest that the next heartbeat comes.
        assert HEARTBEAT_S * 1.1 < SETTLED_S < SILENCE_S

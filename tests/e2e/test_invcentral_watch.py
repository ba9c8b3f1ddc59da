"""`invcentral status --watch` on a terminal: one screen, those first who need somebody, and drawn anew."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING, Any

import pytest

from central.cli import status_board
from central.freshness import Freshness
from central.views import Status
from tests.e2e.head_office import PATIENCE_S, eventually
from tests.unit.central_service.test_metrics import store_row

if TYPE_CHECKING:
    from central.views import StoreRow
    from tests.e2e.head_office import Office

pytestmark = pytest.mark.cli
WELL = Freshness(7, 0.4, False, 7, 0.5, False, None)
NOW_US = 1_767_225_600_000_000


def row(store: str, **changed: Any) -> StoreRow:
    return store_row(store)._replace(lag=0, suspects=0, fresh=WELL)._replace(**changed)


STORES = [
    row("a-well"),
    row("b-waits", status="pending"),
    row("c-suspect", suspects=2),
    row("d-behind", lag=3),
    row("e-silent", fresh=WELL._replace(silent=True, heard_s=90.0)),
    row("f-refused", other_ledger_us=NOW_US - 5_000_000),
    row("g-diverged", fresh=WELL._replace(lacks_seq=5)),
    row("h-behind", lag=30),
]


def drawn(monkeypatch: pytest.MonkeyPatch, *, lines: int = 40, trouble: str = "") -> list[str]:
    monkeypatch.setenv("LINES", str(lines))
    monkeypatch.setenv("COLUMNS", "100")
    now = Status(now_us=NOW_US, centrals=[], shards=[], stores=STORES, events=56)
    return status_board.board(now, "sqlite:///here", 2, trouble, stream=io.StringIO())


def test_who_needs_somebody_stands_at_the_top_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    board = drawn(monkeypatch)
    # What has to be seen stands before a database's name, which may be long.
    assert board[0] == "head office  as of 00:00:00 UTC, every 2 s; Ctrl-C ends it; sqlite:///here"
    assert "8 stores, 7 not well; 56 events here" in board[1]
    rows = [line for line in board if re.match(r"[a-h]-", line)]
    states = [line.split()[:2] for line in rows]
    assert states == [
        ["g-diverged", "diverged"],
        ["f-refused", "refused"],
        ["e-silent", "silent"],
        ["h-behind", "behind"],
        ["d-behind", "behind"],
        ["c-suspect", "suspect"],
        ["b-waits", "waits"],
        ["a-well", "well"],
    ]
    told = [
        "lacks event 5",
        "another ledger",
        "`invctl status` there says why",
        " 30 ",
        " 3 ",
        " 2",
        "stores list",
        "0.4s",
    ]
    assert [word in line for word, line in zip(told, rows, strict=True)] == [True] * 8


def test_it_is_one_screen_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    board = drawn(monkeypatch, lines=9, trouble="the database is away")
    assert len(board) == 8
    assert board[-1] == "..."
    assert "the database is away; what is shown is what was read last" in board[1]


def test_it_is_drawn_anew_and_the_terminal_is_given_back(filled: Office) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    seen = bytearray()

    def shows(text: str) -> bool:
        while select.select([ours], [], [], 0)[0]:
            seen.extend(os.read(ours, 65536))
        return text.encode() in seen.rpartition(b"\x1b[H")[2]

    with subprocess.Popen(
        [sys.executable, "-P", "-m", "central", "status", "--watch", "1"],
        stdout=theirs,
        stderr=theirs,
        stdin=subprocess.DEVNULL,
        env={**filled.environ, "TERM": "xterm", "NO_COLOR": "1"},
    ) as watch:
        try:
            eventually(lambda: shows("3 stores, "), lambda: seen)
            assert not shows("midtown    behind")
            with filled.engine() as engine, engine.begin() as connection:
                connection.exec_driver_sql("UPDATE cursors SET head_seq = 47 WHERE store = 'midtown'")
            eventually(lambda: shows(" 42 "), lambda: seen)
            watch.send_signal(signal.SIGINT)
            assert watch.wait(PATIENCE_S) == 130
        finally:
            watch.kill()
    shows("")
    os.close(ours)
    os.close(theirs)
    assert seen.startswith(b"\x1b[?1049h")
    assert seen.endswith(b"\x1b[?25h\x1b[?1049l")


def test_for_programs_it_is_a_record_each_time(filled: Office) -> None:
    watch = filled.start("status", "--watch", "1", "-o", "ndjson")
    eventually(lambda: len(watch.lines()) >= 2, watch.err)
    assert watch.send(signal.SIGINT) == 130
    assert [each["store"] for each in watch.lines()[0]["stores"]] == ["downtown", "harlem", "midtown"]


@pytest.mark.parametrize(
    "argv", [["status", "--watch"], ["status", "5"], ["status", "--watch", "-o", "csv"], ["status", "--watch", "0"]]
)
def test_what_it_cannot_do_is_said(filled: Office, argv: list[str]) -> None:
    done = filled(*argv)
    assert (done.code, done.out) == (2, "")
    assert "hint: " in done.err

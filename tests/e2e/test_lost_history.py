"""A store that lost history, and one that runs twice: real processes, a real broker, a real ledger put back."""

from __future__ import annotations

import shutil
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from invctl.ledger.ledger import FILE
from tests.e2e.clerk import Clerk
from tests.e2e.head_office import Office, Process, eventually, head_seq, serve_store
from tests.servers import postgres_url_of_a_server, schema_of_its_own, shared_broker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.fault_tolerance, pytest.mark.slow]


@pytest.fixture(params=["sqlite", "postgresql"])
def office(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Office]:
    with ExitStack() as running:
        broker = running.enter_context(shared_broker())
        url = None
        if request.param == "postgresql":
            url = running.enter_context(schema_of_its_own(postgres_url_of_a_server()))
        office = Office(tmp_path / "office", broker, running, capsys, url)
        for name in ("NO_COLOR", "FORCE_COLOR", "INVCTL_DEBUG", "INVCENTRAL_DATABASE_URL", "INVCTL_CLERK"):
            monkeypatch.delenv(name, raising=False)
        for name, value in office.environ.items():
            monkeypatch.setenv(name, value)
        assert office("init").code == 0
        office.serve("--admit-any")
        yield office


@pytest.fixture
def clerk(office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Clerk:
    clerk = at_home(tmp_path / "downtown", monkeypatch, capsys)
    assert clerk("init", "downtown").code == 0
    for sku in ("MOUSE", "LAPTOP"):
        assert clerk("product", "add", sku, "--name", sku).code == 0
        assert clerk("receive", sku, "10").code == 0
    return clerk


def at_home(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Clerk:
    monkeypatch.setenv("INVCTL_HOME", str(home))
    return Clerk(home, capsys)


def copy_of(clerk: Clerk, to: Path) -> Path:
    """Copy the ledger as it is."""
    to.mkdir()
    connection = apsw.Connection(str(clerk.home / FILE))
    connection.execute("VACUUM INTO ?", (str(to / FILE),))
    connection.close()
    return to


def put_back(clerk: Clerk, copy: Path) -> None:
    """Do what nobody should: copy a ledger's file over the one that is there, with no word to anybody."""
    for suffix in ("", "-wal", "-shm"):
        (clerk.home / (FILE + suffix)).unlink(missing_ok=True)
    shutil.copy(copy / FILE, clerk.home / FILE)


def settled(office: Office, clerk: Clerk) -> Callable[[], bool]:
    """Whether head office has all that the store has, and the store knows it."""

    def is_settled() -> bool:
        said = clerk("status", "-o", "json").json
        applied_seq = office.applied("downtown")
        return (said["link"], said["head_seq"], said["acked_seq"]) == ("up", applied_seq, applied_seq)

    return is_settled


def assert_whole(office: Office, clerk: Clerk, daemon: Process) -> None:
    eventually(settled(office, clerk), daemon.err)
    assert clerk("verify").code == 0
    done = office("verify", "downtown", "-o", "json")
    assert done.code == 0, done


def test_a_store_that_was_put_back_to_an_older_copy_is_told_rejoins_and_forgets_nothing(
    office: Office, clerk: Clerk, tmp_path: Path
) -> None:
    copy = copy_of(clerk, tmp_path / "copy")
    daemon = serve_store(office, clerk)
    sold = clerk("reserve", "MOUSE=4", "-q").out.strip()
    assert clerk("confirm", sold).code == 0
    eventually(settled(office, clerk), daemon.err)
    assert daemon.send(signal.SIGTERM) == 0

    put_back(clerk, copy)
    # Nobody knows yet: what is decided now is decided on a level of long ago.
    mine = clerk("reserve", "MOUSE=7", "--order", "A-17", "-q").out.strip()
    fits = clerk("reserve", "LAPTOP=2", "--order", "A-18", "-q").out.strip()
    daemon = serve_store(office, clerk)
    eventually(lambda: clerk("status", "-o", "json").json["link"] == "diverged", daemon.err)
    refused = clerk("reserve", "MOUSE=1", "-o", "json")
    assert (refused.code, refused.error["error"]) == (8, "frozen")
    assert "head office holds" in refused.error["message"]

    assert_whole(office, clerk, daemon)
    # The four that were sold stay sold; the seven that were promised on top of them cannot be kept.
    assert clerk.stock("MOUSE") == (6, 0, 6)
    assert clerk.stock("LAPTOP") == (10, 2, 8)
    assert clerk("show", sold, "-o", "json").json["status"] == "confirmed"
    assert clerk("confirm", fits).code == 0
    assert clerk("confirm", mine).code == 3
    assert "ledger.rebased" in daemon.actions()
    assert clerk("status", "-o", "json").json["recounts"] == ["LAPTOP", "MOUSE"]
    assert "count     2 items: LAPTOP, MOUSE" in clerk("status").out
    assert clerk("adjust", "MOUSE", "0", "--reason", "cycle_count").code == 0
    assert clerk("status", "-o", "json").json["recounts"] == ["LAPTOP"]
    assert_whole(office, clerk, daemon)


def test_of_two_machines_one_goes_on_and_the_other_waits_for_an_operator(
    office: Office,
    clerk: Clerk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    daemon = serve_store(office, clerk)
    eventually(settled(office, clerk), daemon.err)
    home = copy_of(clerk, tmp_path / "twin")
    twins_daemon = office.start("run", str(home), "--log-format", "json", module="daemon")
    twins_daemon.until("bus.subscribed")
    assert clerk("reserve", "MOUSE=6").code == 0
    twin = at_home(home, monkeypatch, capsys)
    eventually(lambda: twin("status", "-o", "json").json["link"] == "diverged", twins_daemon.err)
    assert twin("reserve", "MOUSE=6", "-o", "json").error["error"] == "frozen"
    eventually(lambda: "another machine" in twin("status", "-o", "json").json["reason"], twins_daemon.err)

    def shown() -> dict[str, Any]:
        said: dict[str, Any] = office("stores", "show", "downtown", "-o", "json").json
        return said

    eventually(lambda: shown()["asking"])
    (asking,) = shown()["asking"]
    assert shown()["copies_at"] is not None
    assert "two machines spoke for it at once" in office("stores", "show", "downtown").err

    # The one that agrees goes on meanwhile.
    clerk = at_home(clerk.home, monkeypatch, capsys)
    assert clerk("receive", "LAPTOP", "1").code == 0
    assert_whole(office, clerk, daemon)
    seq = head_seq(clerk)
    assert office.applied("downtown") == seq

    # The operator wants the other one to be the store.
    assert daemon.send(signal.SIGTERM) == 0
    done = office("stores", "readmit", "downtown", "-o", "json").json
    assert done["boot"] == asking["boot"]
    twin = at_home(home, monkeypatch, capsys)
    assert_whole(office, twin, twins_daemon)
    assert twin.stock("MOUSE") == (10, 6, 4)
    assert (shown()["epoch"], shown()["asking"], shown()["copies_at"]) == (2, [], None)

    # And now the first one does not fit.
    clerk = at_home(clerk.home, monkeypatch, capsys)
    daemon = serve_store(office, clerk)
    eventually(lambda: clerk("status", "-o", "json").json["link"] == "diverged", daemon.err)
    assert clerk("reserve", "MOUSE=1", "-o", "json").error["error"] == "frozen"

"""A store and head office on a broker that speaks TLS: what they say of certificate and password."""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from central.app import build
from invctl.cli.invd import running
from invctl.console.main import run
from invctl.settings import CONFIG_FILE, LOG_FILE, RUN
from tests.certificates import self_signed, tls_broker
from tests.e2e.chain import Chain, eventually
from tests.e2e.clerk import Done
from tests.watching import get, scrape

if TYPE_CHECKING:
    from tests.e2e.clerk import Clerk
    from tests.watching import Seen

pytestmark = pytest.mark.fault_tolerance


class Trade:
    """A store whose settings file has the broker's URL, and head office, whose environment has it."""

    def __init__(self, clerk: Clerk, office: Path, url: str, password: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.clerk = clerk
        self._capsys = capsys
        self._chain = Chain(clerk, office, url)
        self._spellings = (password, quote(password, safe=""))
        namespace = self._chain.environ["INVCTL_NAMESPACE"]
        (clerk.home / CONFIG_FILE).write_text(f'redis_url = "{url}"\nnamespace = "{namespace}"\n')
        (clerk.home / CONFIG_FILE).chmod(0o600)
        self.invd = self.office = ""
        self._bundles = 0

    def start(self) -> None:
        done = self.clerk.process("daemon", "start", env={"INVCTL_REDIS_URL": ""})
        assert done.code == 0, done.err
        invd = running(self.clerk.home)
        assert invd is not None
        assert invd.metrics
        self.invd, self.office = invd.metrics, self._chain.start_central()

    def end(self) -> None:
        self._chain.end()
        if invd := running(self.clerk.home):
            os.kill(invd.pid, signal.SIGKILL)

    def logs(self) -> list[str]:
        return [(self.clerk.home / RUN / LOG_FILE).read_text(), (self._chain.office.parent / "0.log").read_text()]

    def says(self, what: str) -> None:
        """Both daemons come to say it, each where it is asked, and in a line of its log with what to do about it."""
        eventually(lambda: all(what in log for log in self.logs()))
        # Of a pause, the reason is that of the attempt before it.
        eventually(lambda: all(what in why for seen in self.ready() for why in seen.json["reasons"].values()))
        assert [seen.status for seen in self.ready()] == [503, 503]
        asked = (("status",), ("daemon", "status"), ("doctor",))
        eventually(lambda: all(what in self.clerk(*argv).out for argv in asked))
        eventually(lambda: what in self.central("status").out)
        reasons = self.central("status", "-o", "json").json["process"]["reasons"]
        assert reasons
        assert all(what in why for why in reasons.values())
        for log in self.logs():
            assert all("hint" in line for line in log.splitlines() if what in line)
            assert "Traceback" not in log

    def ready(self) -> list[Seen]:
        return [get(url, "/readyz") for url in (self.invd, self.office)]

    def hides(self) -> None:
        """No place that anybody may look at has the password."""
        self._bundles += 1
        bundle = self.clerk.home.parent / f"support-{self._bundles}.tar.gz"
        self.clerk("doctor", "--bundle", str(bundle))
        shown = [
            *self.logs(),
            gzip.decompress(bundle.read_bytes()).decode(),
            *(seen.body.decode() for seen in self.ready()),
            *(get(url, "/metrics").body.decode() for url in (self.invd, self.office)),
            *commands(),
        ]
        asked = (("config", "show", "--origin"), ("doctor",), ("status",), ("daemon", "status"), ("daemon", "logs"))
        told = [self.clerk(*argv, "-o", "json") for argv in asked] + [self.clerk(*argv) for argv in asked]
        told += [self.central("status"), self.central("status", "-o", "json")]
        shown += [text for each in told for text in (each.out, each.err)]
        assert all(each.out for each in told)
        assert not [text for text in shown for password in self._spellings if password in text]

    def central(self, *argv: str) -> Done:
        """Run a command of head office in this process."""
        code = run("invcentral", build, [*argv, "--home", str(self._chain.office)])
        return Done(int(code), *self._capsys.readouterr())


def commands() -> list[str]:
    """Every command that runs on this machine, as `ps` shows it to anybody."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    assert sys.platform != "linux" or {"daemon run", "central run"} <= {
        name for name in ("daemon run", "central run") for each in found if f"-m {name}" in each
    }
    return found


def test_what_is_wrong_is_said_a_reservation_arrives_once_it_is_mended_and_no_password_is_shown(
    clerk: Clerk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("INVCTL_REDIS_URL", raising=False)
    ours, theirs = self_signed(tmp_path / "ours"), self_signed(tmp_path / "theirs")
    password = f"geh/eim@{secrets.token_hex(8)}"
    with tls_broker(theirs, password) as broker, contextlib.ExitStack() as running_trade:
        trade = Trade(clerk, tmp_path / "office", f"{broker.url}/0?ssl_ca_certs={ours.pem}", password, capsys)
        running_trade.callback(trade.end)
        trade.start()
        trade.says("cannot be used: its certificate is not trusted: self-signed certificate")
        trade.hides()
        broker.show(ours, "another")
        trade.says("cannot be used: invalid username-password pair or user is disabled")
        trade.hides()
        broker.show(ours, password)
        assert clerk("reserve", "MOUSE-001=2").code == 0
        eventually(lambda: scrape(trade.invd)['invd_acked_seq{store="downtown"}'] == 7)
        (row,) = trade.central("stock", "MOUSE-001", "-o", "json").json
        assert (row["reserved"], row["as_of_seq"]) == (2, 7)
        eventually(lambda: [seen.status for seen in trade.ready()] == [200, 200])
        eventually(lambda: "not ready" not in trade.central("status").out)
        trade.hides()

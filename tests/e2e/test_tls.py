"""A store and head office on a broker that speaks TLS: what they say of its certificate and password, and show of them."""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from central.home import status_path
from invctl.cli.invd import running
from invctl.settings import CONFIG_FILE, LOG_FILE, RUN
from tests.certificates import self_signed, tls_broker
from tests.e2e.chain import Chain, eventually
from tests.watching import get, scrape

if TYPE_CHECKING:
    from collections.abc import Iterator
    from tests.e2e.clerk import Clerk

pytestmark = pytest.mark.fault_tolerance

SECRET = "geh/eim@" + os.urandom(6).hex()


def test_x(clerk: Clerk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time
    ours, theirs = self_signed(tmp_path / "ours"), self_signed(tmp_path / "theirs")
    t=time.time()
    with tls_broker(theirs, SECRET) as broker:
        url = f"{broker.url}/0?ssl_ca_certs={ours.pem}"
        chain = Chain(clerk, tmp_path / "office", url)
        print(url)
        started = clerk.process("daemon", "start", "-o", "json", env=chain.environ)
        print(started)
        c = chain.start_central()
        invd = running(clerk.home).metrics
        print(clerk.home, get(invd, "/readyz"), get(c, "/readyz"))
        eventually(lambda: "trusted" in str(get(c, "/readyz").json))
        print(clerk("status").out, clerk("daemon","status"))
        monkeypatch.setenv("INVCENTRAL_HOME", str(tmp_path/"office"))
        from central.app import build
        from invctl.console.main import run
        run("invcentral", build, ["status"])
        print(time.time()-t)
        broker.show(ours, "another")
        eventually(lambda: "invalid" in str(get(c, "/readyz").json))
        print(time.time()-t)
        eventually(lambda: "invalid" in str(get(invd, "/readyz").json))
        print(get(invd, "/readyz"), get(c, "/readyz"))
        print(time.time()-t)
        broker.show(ours, SECRET)
        eventually(lambda: scrape(invd)['invd_acked_seq{store="downtown"}']==6)
        print(time.time()-t)
        print((clerk.home/"run/invd.log").read_text())
        print((tmp_path/"0.log").read_text())
        os.kill(running(clerk.home).pid, 9)
        chain.end()

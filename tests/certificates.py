"""Certificates for 127.0.0.1, and brokers that show them."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Self

from tests.proxy import Proxy
from tests.servers import READY_S, lacking, real_broker, server_binary

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from tests.servers import Broker


class Certificate(NamedTuple):
    """Files in PEM. It is signed by itself: who trusts it names `pem` as the authority."""

    pem: Path
    key: Path


def self_signed(folder: Path) -> Certificate:
    """Make a certificate of 127.0.0.1 in a folder, which is made for it where there is none."""
    if shutil.which("openssl") is None:
        lacking("openssl")
    folder.mkdir(exist_ok=True)
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(made.key), "-out", str(made.pem)),
        ],
        check=True,
        capture_output=True,
    )
    return made


def serving(certificate: Certificate) -> ssl.SSLContext:
    """What a server shows a certificate by."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.pem, certificate.key)
    return context


class TlsBroker:
    """A broker at `url` which can be told what certificate to show, and what password to want."""

    def __init__(self, broker: Broker, line: TlsLine | None) -> None:
        self._broker = broker
        self._line = line

    @property
    def url(self) -> str:
        return self._line.url if self._line else self._broker.url

    def show(self, certificate: Certificate, password: str) -> None:
        """Start anew, at the same port, with these."""
        self._broker.kill()
        self._broker.password = password
        if self._line:
            self._line.show(certificate)
        else:
            self._broker.tls = certificate
        self._broker.start()


@contextmanager
def tls_broker(certificate: Certificate, password: str) -> Iterator[TlsBroker]:
    """Run a server that speaks TLS; where there is none, the embedded one behind a line that does."""
    if server_binary(tls=True):
        with real_broker(password, certificate) as broker:
            yield TlsBroker(broker, None)
    else:
        with real_broker(password) as broker, TlsLine(broker.url, certificate) as line:
            yield TlsBroker(broker, line)


class TlsLine:
    """A line of TLS to the broker of `url`, for tests that have no event loop: it turns on a thread of its own."""

    def __init__(self, url: str, certificate: Certificate) -> None:
        self._proxy = Proxy(url, serving(certificate))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.url = self._proxy.url.replace("redis://", "rediss://")

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._proxy.heal())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._proxy.refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def show(self, certificate: Certificate) -> None:
        """Show another certificate, from the next connection on."""
        self._do(self._proxy.refuse())
        self._proxy.tls = serving(certificate)
        self._do(self._proxy.heal())

    def _do(self, what: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(READY_S)

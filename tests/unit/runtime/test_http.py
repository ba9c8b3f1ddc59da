"""The server for those who watch, over real sockets: what it answers, and what a bad client can do to it."""

from __future__ import annotations

import contextlib
import socket
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import structlog
from structlog.testing import capture_logs

from invctl.runtime import http
from invctl.runtime.http import Answer, HttpServer
from invctl.settings import Listen
from scripts.chain.broker import free_port
from tests.watching import PATIENCE_S, get

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.metrics

ANYWHERE = Listen("127.0.0.1", 0)
LARGE = bytes(8 * 1024 * 1024)


def serving(listen: Listen = ANYWHERE) -> HttpServer:
    routes = {
        "/good": lambda: Answer(HTTPStatus.OK, "text/plain", b"good"),
        "/bad": lambda: Answer(HTTPStatus.SERVICE_UNAVAILABLE, "application/json", b"{}"),
        "/large": lambda: Answer(HTTPStatus.OK, "text/plain", LARGE),
    }
    return HttpServer(routes, listen, log=structlog.get_logger())


@pytest.fixture
def server() -> Iterator[HttpServer]:
    running = serving()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def url(server: HttpServer) -> str:
    assert server.url
    return server.url


@contextlib.contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    where = urlsplit(url)
    assert where.hostname
    assert where.port
    with socket.create_connection((where.hostname, where.port), PATIENCE_S) as line:
        yield line


def all_of(line: socket.socket) -> bytes:
    """What comes until the server ends the connection, however it does."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while data := line.recv(65536):
            got += data
    return got


def test_each_path_has_its_answer(url: str) -> None:
    assert url.startswith("http://127.0.0.1:")
    assert get(url, "/good") == (200, "text/plain", b"good")
    assert get(url, "/good?debug=1") == (200, "text/plain", b"good")
    assert get(url, "/bad") == (503, "application/json", b"{}")
    assert get(url, "/").status == 404
    assert get(url, "/good/").status == 404
    assert get(url, "/large").body == LARGE


def test_it_is_for_reading_alone(url: str) -> None:
    assert get(url, "/good", "HEAD") == (200, "text/plain", b"")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert get(url, "/good", method).status == 405


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"\r\n\r\n", b"405"),
        (b"\x00\xff\r\n\r\n", b"405"),
        (b"GET\r\n\r\n", b"404"),
        (b"GET /g\xff\xfe HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /../../etc/passwd HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /good HTTP/1.1\r\nX: " + b"x" * 100_000, b"431"),
    ],
)
def test_nonsense_is_answered_and_the_next_one_is_served(url: str, said: bytes, status: bytes) -> None:
    with connected(url) as line:
        line.sendall(said)
        line.shutdown(socket.SHUT_WR)
        got = all_of(line)
    # A client that is cut off while it still sends may lose the answer.
    assert got.startswith(b"HTTP/1.1 " + status) or (not got and status == b"431")
    assert get(url, "/good").body == b"good"


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("said", [b"", b"GET /good HT", b"GET /large HTTP/1.1\r\n\r\n"], ids=["silent", "half", "deaf"])
def test_a_client_that_dawdles_is_cut_off(url: str, monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    """It says nothing, or half a request, or does not read its answer."""
    monkeypatch.setattr(http, "CLIENT_S", 0.1)
    with connected(url) as line:
        line.sendall(said)
        ended = threading.Event()
        # What is not read shows its end to whoever polls alone: the deaf one reads only after that.
        assert get(url, "/good").body == b"good"
        while not ended.is_set():
            with contextlib.suppress(BlockingIOError):
                line.setblocking(False)
                try:
                    line.send(b"x")
                except (BrokenPipeError, ConnectionResetError):
                    ended.set()
    assert get(url, "/good").body == b"good"


@pytest.mark.fault_tolerance
def test_more_clients_than_there_is_room_for_are_sent_away_and_room_comes_back(url: str) -> None:
    with contextlib.ExitStack() as idle:
        lines = [idle.enter_context(connected(url)) for _ in range(http.CLIENTS_MAX)]
        with connected(url) as one_more:
            assert all_of(one_more) == b""
        for line in lines:
            line.sendall(b"GET /good HTTP/1.1\r\n\r\n")
        assert all(line.recv(12) == b"HTTP/1.1 200" for line in lines)
    # Those have left; the server notices in its own time.
    answer = b""
    while not answer:
        with connected(url) as line:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                line.sendall(b"GET /good HTTP/1.1\r\n\r\n")
                line.shutdown(socket.SHUT_WR)
            answer = all_of(line)
    assert answer.endswith(b"good")


@pytest.mark.fault_tolerance
def test_a_port_that_is_taken_is_said_once_and_had_when_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "RETRY_S", 0.01)
    listen = Listen("127.0.0.1", free_port())
    with capture_logs() as lines:
        with socket.create_server(listen):
            late = serving(listen)
            late.start()
        while (url := late.url) is None:
            pass
        assert get(url, "/good").body == b"good"
        late.stop()
    assert [line["event"] for line in lines] == ["watch.not_served", "watch.serving"]
    assert late.url is None


def test_one_that_never_had_its_port_ends_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        late = serving(Listen(*other.getsockname()))
        late.start()
        late.stop()
    assert not late._thread.is_alive()

"""The broker's door that can be shut: each direction by itself, and nothing of what it held is lost."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from scripts.chain.broker import free_port
from scripts.chain.waiting import wait_until
from scripts.trouble.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.fault_tolerance

PATIENCE_S = 20


class Echo:
    """A server that keeps what it gets, and says it again."""

    def __init__(self, listener: socket.socket) -> None:
        self.got = b""
        self._listener = listener
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            while piece := connection.recv(4096):
                self.got += piece
                connection.sendall(piece)

    def has(self, wanted: bytes) -> bool:
        return wait_until(lambda: self.got == wanted, timeout_s=PATIENCE_S)


@pytest.fixture
def echo() -> Iterator[tuple[Echo, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Echo(listener), listener.getsockname()[1]


@pytest.fixture
def line(echo: tuple[Echo, int]) -> Iterator[tuple[Echo, Proxy, socket.socket]]:
    server, port = echo
    with Proxy(port) as proxy, socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_S) as client:
        client.sendall(b"a")
        assert client.recv(10) == b"a"
        yield server, proxy, client


def assert_nothing_came(client: socket.socket) -> None:
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(10)
    client.settimeout(PATIENCE_S)


def test_what_goes_nowhere_arrives_when_the_door_is_open_again(line: tuple[Echo, Proxy, socket.socket]) -> None:
    server, proxy, client = line
    proxy.shut(towards_broker=True)
    client.sendall(b"b")
    assert_nothing_came(client)
    assert server.got == b"a"
    proxy.open()
    assert client.recv(10) == b"b"
    assert server.got == b"ab"


def test_the_other_direction_stays_open(line: tuple[Echo, Proxy, socket.socket]) -> None:
    server, proxy, client = line
    proxy.shut(towards_client=True)
    client.sendall(b"b")
    assert server.has(b"ab")
    client.sendall(b"c")
    assert server.has(b"abc")
    assert_nothing_came(client)
    proxy.open()
    assert client.recv(1) + client.recv(1) == b"bc"


def test_the_end_of_a_connection_goes_nowhere_either(line: tuple[Echo, Proxy, socket.socket]) -> None:
    _, proxy, client = line
    proxy.shut(towards_broker=True, towards_client=True)
    client.shutdown(socket.SHUT_WR)
    assert_nothing_came(client)
    proxy.open()
    # An abort may be a reset, or an end.
    with contextlib.suppress(ConnectionResetError):
        assert client.recv(10) == b""


def test_without_a_server_a_connection_ends() -> None:
    with (
        Proxy(free_port()) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_S) as client,
        contextlib.suppress(ConnectionResetError),
    ):
        assert client.recv(10) == b""

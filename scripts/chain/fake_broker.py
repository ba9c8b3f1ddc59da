"""The broker of last resort: fakeredis behind a TCP port, on loopback, for development.

    python -m scripts.chain.fake_broker PORT

Says on stderr when it listens.
"""

from __future__ import annotations

import io
import select
import signal
import sys
from typing import TYPE_CHECKING

from fakeredis import TcpFakeServer
from fakeredis._clients._tcp_server import TCPFakeRequestHandler  # the handler has no public name

if TYPE_CHECKING:
    import socket

    from _typeshed import ReadableBuffer

_LOOPBACK = "127.0.0.1"
_STALLED_S = 10.0


class _PatientWriter(io.BufferedIOBase):
    """Writes all of it to a socket that does not block, however slowly the client reads.

    fakeredis's own writer gives up as soon as the socket's buffer is full: a subscriber is cut off by
    fifteen frames of full size that come at once.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._connection.send(rest) :]
            except BlockingIOError:
                if not select.select([], [self._connection], [], _STALLED_S)[1]:
                    raise ConnectionAbortedError("the client has stopped reading") from None
        return len(memoryview(data))


class _Handler(TCPFakeRequestHandler):
    def setup(self) -> None:
        super().setup()
        self.wfile = _PatientWriter(self.connection)
        self.writer.writer = self.wfile


class FakeBroker(TcpFakeServer):
    """A server that answers as Redis does, on a port of loopback."""

    def __init__(self, port: int) -> None:
        super().__init__((_LOOPBACK, port))
        # Its own initialiser sets both, whatever the class says.
        self.RequestHandlerClass = _Handler
        self.daemon_threads = True


def main(port: int) -> None:
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with FakeBroker(port) as broker:
        print(f"fakeredis at {_LOOPBACK}:{port}, for development only: it keeps nothing", file=sys.stderr, flush=True)
        broker.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))

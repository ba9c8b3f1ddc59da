"""A small HTTP server on a thread of its own, with an event loop of its own: for those who watch a daemon.

It goes on answering where the daemon's loop hangs. What a client can do to it is bounded: how many there are at a time,
how much each may say, and how long it may take, with its request and with reading the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import FilteringBoundLogger

    from invctl.settings import Listen

CLIENTS_MAX = 16
REQUEST_BYTES_MAX = 8192
CLIENT_S = 5.0
RETRY_S = 5.0
FIRST_ATTEMPT_S = 2.0


class Answer(NamedTuple):
    """What is answered. `kind` is the media type."""

    status: HTTPStatus
    kind: str
    body: bytes


class HttpServer:
    """Serves fixed paths by GET and HEAD, a request a connection."""

    def __init__(
        self, routes: Mapping[str, Callable[[], Answer]], listen: Listen, *, log: FilteringBoundLogger
    ) -> None:
        """Prepare. Each route's function is called on the server's thread, for each request."""
        self._routes = routes
        self._listen = listen
        self._log = log
        self._clients = 0
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._tried = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self.url: str | None = None
        """Where it serves; None while it cannot, as another process has the port."""
        self.why_not: str | None = None
        """Why it does not serve; None where it does, or has not tried yet."""

    def start(self) -> None:
        """Begin to serve. Where the port is taken, that is logged, and tried again: nobody's work waits for this."""
        self._thread.start()
        self._tried.wait(FIRST_ATTEMPT_S)

    def stop(self) -> None:
        """End, and wait for that."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(CLIENT_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self.url = None
            self._tried.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = await self._bound()
        if server is None:
            return
        async with server:
            host, port = server.sockets[0].getsockname()[:2]
            self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            self.why_not = None
            self._log.info("watch.serving", url=self.url)
            self._tried.set()
            await self._stop.wait()

    async def _bound(self) -> asyncio.Server | None:
        """Take hold of the port, when that is possible; None where it is to end before."""
        told = False
        while not self._stop.is_set():
            try:
                return await asyncio.start_server(
                    self._client, self._listen.host, self._listen.port, limit=REQUEST_BYTES_MAX, backlog=CLIENTS_MAX
                )
            except OSError as error:
                why = os.strerror(error.errno) if error.errno else str(error)
                self.why_not = f"port {self._listen.port} of {self._listen.host} cannot be had: {why}"
                if not told:
                    self._log.warning(
                        "watch.not_served", host=self._listen.host, port=self._listen.port, why=str(error)
                    )
                told = True
                self._tried.set()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_S):
                        await self._stop.wait()
        return None

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients <= CLIENTS_MAX:
                async with asyncio.timeout(CLIENT_S):
                    await self._answer(reader, writer)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # it went, or was too slow: it is told by the end of its connection
        finally:
            self._clients -= 1
            # Not close, which waits until a client that reads nothing has read everything.
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            answer, method = _plain(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE), b"GET"
        else:
            method, _, rest = request.partition(b"\r\n")[0].partition(b" ")
            answer = self._choose(method, rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1"))
        status = answer.status
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {answer.kind}\r\n"
            f"Content-Length: {len(answer.body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode("ascii") + (b"" if method == b"HEAD" else answer.body))
        # Ended by us, so that the client knows that this is all; then let it read, before the connection is cut.
        writer.write_eof()
        while await reader.read(REQUEST_BYTES_MAX):
            pass

    def _choose(self, method: bytes, path: str) -> Answer:
        if method not in (b"GET", b"HEAD"):
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED)
        route = self._routes.get(path)
        return route() if route else _plain(HTTPStatus.NOT_FOUND)


def _plain(status: HTTPStatus) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", f"{status.phrase}\n".encode())

"""A TCP line that a test can cut, refuse or turn into a black hole."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from scripts.chain.broker import free_port

if TYPE_CHECKING:
    import ssl
    from types import TracebackType


class Proxy:
    """Stands between a client and the broker of `url`; `self.url` leads through it, and speaks TLS if asked."""

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        self._target = urlsplit(url)
        self.tls = tls
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._answers_flow = asyncio.Event()
        self._answers_flow.set()
        self._port = free_port()
        self._sent_more = asyncio.Event()
        self.sent = b""
        """What clients sent and was passed on, in all."""

    @property
    def url(self) -> str:
        login, at, _ = self._target.netloc.rpartition("@")
        return self._target._replace(netloc=f"{login}{at}127.0.0.1:{self._port}").geturl()

    async def __aenter__(self) -> Self:
        await self.heal()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()

    async def cut(self) -> None:
        """End every connection; new ones are taken."""
        pumps = list(self._pumps)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    async def refuse(self) -> None:
        """End every connection, and take no new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def heal(self) -> None:
        """Take connections and pass everything on again; black holes that are open stay black."""
        self._flows = asyncio.Event()
        self._flows.set()
        self._answers_flow = asyncio.Event()
        self._answers_flow.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=self.tls)

    def swallow(self) -> None:
        """Pass nothing on any more, in either direction; every connection stays open."""
        self._flows.clear()
        self._answers_flow.clear()

    def swallow_answers(self) -> None:
        """Pass on what clients send, and none of the answers."""
        self._answers_flow.clear()

    async def until_sent(self, command: bytes, times: int) -> None:
        """Wait until clients have sent these bytes so many times."""
        while self.sent.count(command) < times:
            self._sent_more.clear()
            await self._sent_more.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        there: asyncio.StreamWriter | None = None
        try:
            back, there = await asyncio.open_connection(self._target.hostname, self._target.port)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, there, self._flows, record=True))
                both.create_task(self._pump(back, writer, self._answers_flow, record=False))
        except (asyncio.CancelledError, ExceptionGroup, OSError):
            pass  # however the line ended, both ends are told below
        finally:
            self._pumps.discard(task)
            for end in (writer, there):
                if end is not None:
                    end.transport.abort()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, flows: asyncio.Event, *, record: bool
    ) -> None:
        while data := await source.read(65536):
            await flows.wait()
            if record:
                self.sent += data
                self._sent_more.set()
            sink.write(data)
            await sink.drain()
        raise EOFError

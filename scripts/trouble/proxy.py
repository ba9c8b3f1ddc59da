"""A broker's door that can be shut: TCP that is carried on, or goes nowhere, for each direction by itself.

What goes nowhere is held, with no reset and no end of the connection, as by a network that lost its route. It arrives
once the door is open again, as what TCP has sent again does.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Self

from scripts.chain.broker import free_port

if TYPE_CHECKING:
    from collections.abc import Coroutine

_LOOPBACK = "127.0.0.1"
_CHUNK_BYTES = 65_536
_STARTS_S = 10.0


class Proxy:
    """Listens on a port of its own, on a thread of its own, and carries what comes to a server's port and back."""

    def __init__(self, server_port: int) -> None:
        """Begin with both directions open, once it is entered."""
        self.port = free_port()
        self._server_port = server_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._carriers: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The URL of a Redis behind it."""
        return f"redis://{_LOOPBACK}:{self.port}"

    def shut(self, *, towards_broker: bool = False, towards_client: bool = False) -> None:
        """Carry nothing more in these directions, on old connections and new ones."""

        def close() -> None:
            for door, closes in ((self._towards_broker, towards_broker), (self._towards_client, towards_client)):
                if closes:
                    door.clear()

        self._loop.call_soon_threadsafe(close)

    def open(self) -> None:
        """Carry everything again, and what was held before it."""

        def release() -> None:
            self._towards_broker.set()
            self._towards_client.set()

        self._loop.call_soon_threadsafe(release)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_STARTS_S)

    async def _start(self) -> None:
        self._towards_broker, self._towards_client = asyncio.Event(), asyncio.Event()
        self._towards_broker.set()
        self._towards_client.set()
        self._server = await asyncio.start_server(self._accepted, _LOOPBACK, self.port)

    async def _stop(self) -> None:
        self._server.close()
        for carrier in list(self._carriers):
            carrier.cancel()
        await asyncio.gather(*self._carriers, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_reader, to_writer = await asyncio.open_connection(_LOOPBACK, self._server_port)
        except OSError:
            writer.transport.abort()
            return
        ends = (writer, to_writer)
        for work in (
            self._carry(reader, to_writer, self._towards_broker, ends),
            self._carry(to_reader, writer, self._towards_client, ends),
        ):
            carrier = self._loop.create_task(work)
            self._carriers.add(carrier)
            carrier.add_done_callback(self._carriers.discard)

    @staticmethod
    async def _carry(
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        door: asyncio.Event,
        ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                # Not before: what was read and is held here is lost by nobody.
                await door.wait()
                writer.write(chunk)
                await writer.drain()
            # An end is news as well.
            await door.wait()
        except OSError:
            pass
        finally:
            for end in ends:
                end.transport.abort()

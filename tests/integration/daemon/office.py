"""Head office for the tests of the daemon: the real Receiver behind a bus, and a dict for a database."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from random import Random
from typing import TYPE_CHECKING

from invctl.bus.contract import Message
from invctl.clock import SystemClock
from invctl.errors import UnreachableError
from invctl.model.chain import GENESIS
from invctl.sync import channels
from invctl.sync.cursor import Cursor
from invctl.sync.receiver import Receiver

if TYPE_CHECKING:
    from invctl.bus.contract import EventBus

NAMESPACE = "test"


class Office:
    """Admits whom it is told to, and keeps what it is sent."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._clock = SystemClock()
        self.receiver = Receiver(chance=Random(1))
        self.archive: dict[str, list[bytes]] = {}

    def admit(self, store: str) -> None:
        self.receiver.load(Cursor(store, True, None, 1, 0, GENESIS))

    async def run(self) -> None:
        async with aclosing(self._bus.subscribe([f"{NAMESPACE}:up:*"])) as arrivals:
            async for arrival in arrivals:
                if isinstance(arrival, Message):
                    await self._round(arrival)

    async def _round(self, arrival: Message) -> None:
        now_us = self._clock.now_us()
        self.receiver.receive(channels.store_of(arrival.channel), arrival.payload, now_us)
        for intake in self.receiver.take():
            self.archive.setdefault(intake.store, []).extend(intake.bodies)
            self.receiver.committed(intake, epoch=1, suspects=0)
        for store, frame in self.receiver.replies(now_us):
            try:
                await self._bus.publish(channels.down(NAMESPACE, store), frame)
            except UnreachableError:
                continue


async def until(condition: object, timeout_s: float = 30.0) -> None:
    """Wait for a condition that nobody announces. The time limit only ends a test that has failed."""
    assert callable(condition)
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - a ledger announces nothing
            await asyncio.sleep(0.005)

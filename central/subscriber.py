"""Joins the bus and one shard's server: one task reads, one works, one sends.

The work is done on a thread of its own, so that the bus is read meanwhile: what arrives during one transaction is the
next one's. Nothing waits for a timer: a single frame is worked on as it comes.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING

from central.shard_server import PASSING, Frame
from invctl.backoff import Backoff
from invctl.bus.contract import Subscribed
from invctl.errors import UnreachableError
from invctl.sync import channels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from structlog.typing import FilteringBoundLogger

    from central.shard_server import Reply, ShardServer
    from invctl.backoff import Random
    from invctl.bus.contract import EventBus

ARRIVED_FRAMES_MAX = 10_000
ARRIVED_BYTES_MAX = 64 * 1024 * 1024
ROUND_FRAMES_MAX = 256
ROUND_BYTES_MAX = 2 * 1024 * 1024
REPLIES_MAX = 10_000
OPEN_RETRY_FIRST_S = 0.1
OPEN_RETRY_MAX_S = 5.0
LAST_REPLIES_S = 0.3


class Subscriber:
    """One shard at work, from the lease to its end."""

    def __init__(
        self,
        server: ShardServer,
        *,
        bus: EventBus,
        namespace: str,
        slots: Sequence[int],
        is_ours: Callable[[], bool],
        on_subscribed: Callable[[], None],
        chance: Random,
        log: FilteringBoundLogger,
    ) -> None:
        """Prepare; `run` begins.

        Args:
            server: does the work.
            bus: carries the frames.
            namespace: what every channel's name begins with.
            slots: whose channels to listen on.
            is_ours: tells whether the lease lasts. Nothing is begun once it does not.
            on_subscribed: told each time that the bus confirms the subscription.
            chance: spreads the attempts to load the cursors.
            log: told what is of the bus alone.

        """
        self.server = server
        self._bus = bus
        self._namespace = namespace
        self._slots = slots
        self._is_ours = is_ours
        self._on_subscribed = on_subscribed
        self._log = log
        self._backoff = Backoff(chance, OPEN_RETRY_FIRST_S, OPEN_RETRY_MAX_S)
        self._arrived = _Arrivals()
        self._replies: deque[Reply] = deque()
        self._has_replies = asyncio.Event()
        self._has_work = asyncio.Event()
        self._to_open = False
        self._opened = False
        self._stopping = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shard")
        self.counts: Counter[str] = Counter()

    @property
    def all_counts(self) -> Counter[str]:
        """What was done and dropped so far."""
        return self.counts + self.server.counts

    def stop(self) -> None:
        """Let `run` end after the round that is under way."""
        self._stopping.set()
        self._has_work.set()

    async def run(self) -> None:
        """Serve until `stop`. Raises, in a group, FenceLostError, and RefusedError where the database is damaged."""
        try:
            async with asyncio.TaskGroup() as group:
                others = [group.create_task(self._listen()), group.create_task(self._send())]
                await self._work()
                for task in others:
                    task.cancel()
            await self._send_last()
        finally:
            self._thread.shutdown()

    async def upkeep(self) -> int:
        """Let the server do what is due once a second. Returns 0 where it is not at work yet, or not any more.

        Raises FenceLostError.
        """
        if not self._opened or self._stopping.is_set() or not self._is_ours():
            return 0
        self._put_replies(await self._on_thread(self.server.upkeep))
        return 1

    async def tick(self) -> int:
        """Do one round of what has arrived. Returns how many frames that were."""
        if not self._is_ours():
            return 0
        if self._to_open:
            await self._open()
        frames = self._arrived.take() if self._opened else []
        if frames:
            self._put_replies(await self._on_thread(partial(self.server.round, frames)))
        return len(frames)

    async def _work(self) -> None:
        while not self._stopping.is_set():
            await self._has_work.wait()
            self._has_work.clear()
            done = await self.tick()
            if self._to_open:
                await self._pause(self._backoff.next_s())
                self._has_work.set()
            elif done and self._arrived:
                self._has_work.set()

    async def _open(self) -> None:
        """Load the cursors and greet the stores. It stays to be done where the database cannot be asked."""
        self._to_open = False
        try:
            self._put_replies(await self._on_thread(self.server.open))
        except PASSING as error:
            self._log.warning("cursors.not_loaded", error=error)
            self._to_open = True
            return
        self._opened = True
        self._backoff.reset()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _on_thread(self, work: Callable[[], list[Reply]]) -> list[Reply]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _listen(self) -> None:
        """Take what arrives, and nothing more: a reader that is slow is cut off by the broker."""
        patterns = [channels.up_pattern(self._namespace, slot) for slot in self._slots]
        async with aclosing(self._bus.subscribe(patterns)) as arrivals:
            async for arrival in arrivals:
                if isinstance(arrival, Subscribed):
                    self._to_open = True
                    self._on_subscribed()
                elif not self._arrived.put(Frame(channels.store_of(arrival.channel), arrival.payload)):
                    # It will be sent again; what is in the queue is older, and so more use.
                    self.counts["frames_dropped"] += 1
                self._has_work.set()

    def _put_replies(self, replies: Sequence[Reply]) -> None:
        room = REPLIES_MAX - len(self._replies)
        self._replies.extend(replies[:room])
        self.counts["replies_dropped"] += len(replies[room:])
        self._has_replies.set()

    async def _send(self) -> None:
        while True:
            await self._has_replies.wait()
            self._has_replies.clear()
            await self._send_all()

    async def _send_all(self) -> None:
        while self._replies:
            store, frame = self._replies.popleft()
            try:
                await self._bus.publish(channels.down(self._namespace, store), frame)
            except UnreachableError as error:
                # The others would wait as long, and be old by then. Whoever gets no answer asks again.
                self.counts["replies_dropped"] += 1 + len(self._replies)
                self._replies.clear()
                self._log.debug("reply.failed", store=store, error=error)

    async def _send_last(self) -> None:
        """Answer what the last round committed, if the bus takes it at once: it saves sending all of that again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_REPLIES_S):
                await self._send_all()


class _Arrivals:
    """Frames that wait, oldest first, in bounded space."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._frames)

    def put(self, frame: Frame) -> bool:
        """Add a frame. False where there is no room for it."""
        if len(self._frames) >= ARRIVED_FRAMES_MAX or self._bytes + len(frame.payload) > ARRIVED_BYTES_MAX:
            return False
        self._frames.append(frame)
        self._bytes += len(frame.payload)
        return True

    def take(self) -> list[Frame]:
        """Remove and return what one round is to take in: at least one frame where there is one."""
        taken: list[Frame] = []
        taken_bytes = 0
        while self._frames and len(taken) < ROUND_FRAMES_MAX and taken_bytes < ROUND_BYTES_MAX:
            taken.append(self._frames.popleft())
            taken_bytes += len(taken[-1].payload)
        self._bytes -= taken_bytes
        return taken

"""One store's courier: joins its ledger, the sending side of the protocol, and the bus."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from daemon.metrics import OTHER_REFUSAL, REFUSALS, StoreMeasure
from daemon.spans import StoreSpans
from invctl.backoff import Backoff
from invctl.errors import BusyError, InventoryError, RefusedError, UnreachableError
from invctl.ledger import checkpoints, disk, history, outbox, outcomes, reads, reservations
from invctl.ledger.ledger import Ledger
from invctl.ledger.rebase import rebase
from invctl.ledger.verify import examine
from invctl.sync import channels, frames
from invctl.sync.shipper import WINDOW_FRAMES_MAX, Kept, Link, Shipper
from invctl.sync.telling import traces

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from structlog.typing import FilteringBoundLogger

    from daemon.home import Home
    from invctl.bus.contract import EventBus
    from invctl.clock import Clock
    from invctl.runtime.spans import Spans
    from invctl.sync.shipper import Rejoin, ShipperState

T = TypeVar("T")

EXPIRED_AT_ONCE = 100
REMEMBER_EVERY_S = 0.1
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 30.0


class Courier:
    """The courier of one store. Everything but the writes to the ledger happens on the event loop's thread."""

    def __init__(
        self,
        home: Home,
        bus: EventBus,
        namespace: str,
        *,
        clock: Clock,
        chance: Random,
        log: FilteringBoundLogger,
        waited: Callable[[float], object] = float,
        spans: Spans | None = None,
    ) -> None:
        """Open the ledger twice: reads must not wait behind a write that waits for a clerk.

        `waited` is told of each of the daemon's own writes how many seconds it waited for its turn, on any thread.
        `spans` is where the spans of events go.
        """
        self._home = home
        self._bus = bus
        self._clock = clock
        self._chance = chance
        self._reader = Ledger.open(home.path, clock=clock)
        self._writer = Ledger.open(home.path, clock=clock)
        self._writer.waited = waited
        # One write at a time, and `close` waits for its end: to cancel who awaits it does not end it.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self.store = self._reader.store.store
        self._log = log.bind(store=self.store)
        self._channel = channels.up(namespace, self.store)
        self._spans = StoreSpans(spans, self.store, self._channel) if spans else None
        link = reads.link(self._reader)
        self._outbox = outbox.LedgerOutbox(self._reader)
        self._shipper = Shipper(self._outbox, acked_seq=link.acked_seq, chance=chance, now_s=clock.monotonic_s())
        # What an earlier run wrote down of central is no longer known.
        self._remembered: ShipperState | None = None
        self._wake = asyncio.Event()
        self._learnt = asyncio.Event()
        self._learnt.set()
        self._effects: list[Kept | Rejoin] = []
        self._has_effects = asyncio.Event()
        self._forgetful = False
        self._expired = 0
        self._refusals: Counter[str] = Counter()
        self._outcomes = outcomes.Outcomes(self._reader)
        self._begun_us = clock.now_us()
        self.trouble: InventoryError | None = None
        """Why the store is not served now, None while it is."""
        asyncio.get_running_loop().add_reader(home.poke_fd, self._poked)

    @property
    def boot(self) -> str:
        """What tells this run of the daemon from any other."""
        return self._shipper.boot

    @property
    def state(self) -> ShipperState:
        """What the courier knows of central."""
        return self._shipper.state

    def measure(self) -> StoreMeasure:
        """Look how far the store is."""
        state, head = self._shipper.state, self._outbox.head()
        pending_us = self._outbox.time_us_at(state.acked_seq + 1)
        waited_s = None if pending_us is None else max(self._clock.now_us() - pending_us, 0) / 1_000_000
        return StoreMeasure(
            self.store,
            head_seq=head.seq,
            acked_seq=state.acked_seq,
            link=state.link,
            acked_s=self._shipper.acked_s,
            pending_s=None if waited_s is None else self._clock.monotonic_s() - waited_s,
            suspects=state.suspects,
            expired=self._expired,
            outcomes=self._outcomes.count(),
            refusals=self._refusals.copy(),
            retries=self._shipper.retries.copy(),
            disk_free_bytes=disk.free_bytes(self._home.path),
        )

    def subscribed(self) -> None:
        """Note that the bus confirmed the subscription."""
        self._shipper.subscribed(self._clock.monotonic_s())
        self._wake.set()

    def receive(self, payload: bytes) -> None:
        """Take in a frame from central."""
        before = self._shipper.state
        try:
            self._shipper.receive(payload, self._clock.monotonic_s())
            self._effects += self._shipper.take_effects()
            if self._effects:
                self._has_effects.set()
            self._tell(before)
        except InventoryError as error:
            self._fail(error)
        self._wake.set()

    async def run(self) -> None:
        """Publish whatever is due as soon as it is, and write down what is learnt, until cancelled.

        Where the ledger cannot be read this begins again after a while: the process may serve other stores as well.
        """
        backoff = Backoff(self._chance, RETRY_FIRST_S, RETRY_MAX_S)
        while True:
            await self._run_once(backoff)
            await asyncio.sleep(backoff.next_s())

    async def _run_once(self, backoff: Backoff) -> None:
        """Serve until the ledger fails, and note why."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._publish(backoff))
                group.create_task(self._remember())
                group.create_task(self._rejoin())
        except* InventoryError as failures:
            error = failures.exceptions[0]
            assert isinstance(error, InventoryError)
            self._fail(error)

    async def _publish(self, backoff: Backoff) -> None:
        while True:
            self._wake.clear()
            await self.tick()
            if self.trouble is not None:
                self.trouble = None
                backoff.reset()
                self._log.info("store.served")
            due_s = self._shipper.due_s() - self._clock.monotonic_s()
            # Not wait_for, which in Python 3.11 can swallow the cancellation that ends this loop.
            with suppress(TimeoutError):
                async with asyncio.timeout(max(due_s, 0.0)):
                    await self._wake.wait()

    async def _remember(self) -> None:
        while True:
            await self._learnt.wait()
            self._learnt.clear()
            await self.remember()
            # Under load every answer moves acked_seq; clerks share the ledger with us.
            await asyncio.sleep(REMEMBER_EVERY_S)

    async def _rejoin(self) -> None:
        """Keep what head office sends of a history that was lost, and rejoin once all of it is there."""
        while True:
            await self._has_effects.wait()
            self._has_effects.clear()
            await self.carry_out()

    async def carry_out(self) -> int:
        """Do to the ledger what the answers ask for. Returns how much was done; what fails is asked for again."""
        effects, self._effects = self._effects, []
        for effect in effects:
            try:
                if isinstance(effect, Kept):
                    await self._on_thread(partial(history.keep, self._writer, *effect))
                else:
                    await self._rebase(effect)
            except InventoryError as error:
                self._log.warning("history.not_taken", error=error)
                self._shipper.not_kept()
                return 0
        if effects and isinstance(effects[-1], Kept):
            self._shipper.kept(self._clock.monotonic_s())
        self._wake.set()
        return len(effects)

    async def _rebase(self, rejoin: Rejoin) -> None:
        upto, epoch = rejoin
        done = await self._on_thread(partial(rebase, self._writer, upto, epoch=epoch, boot=self.boot))
        self._reader.reload()
        self._outcomes.skip()
        if self._spans:
            self._spans.rebased()
        self._shipper.rejoined(self._clock.monotonic_s())
        self._learnt.set()
        self._log.warning(
            "ledger.rebased",
            epoch=done.epoch,
            seq=done.head.seq,
            common_seq=done.common_seq,
            taken=done.taken,
            reappended=done.reappended,
            misfits=done.misfits,
        )

    async def tick(self) -> int:
        """Publish what is due now. Returns how many frames the bus took."""
        before = self._shipper.state
        sent = 0
        for frame in self._shipper.poll(self._clock.monotonic_s()):
            began_us = self._clock.now_us()
            try:
                await self._bus.publish(self._channel, frame)
            except UnreachableError:
                self._shipper.publish_failed()
                break
            if self._spans:
                self._spans.published(frame, began_us, self._clock.now_us())
            sent += 1
        self._tell(before)
        return sent

    async def look(self) -> int:
        """Look at the ledger without having been poked: a poke may be lost."""
        self._wake.set()
        return 1

    async def expire(self) -> int:
        """Let reservations expire that are due. Returns how many."""
        if not reservations.any_due(self._reader) or self._reader.frozen():
            return 0
        count = await self._on_thread(partial(reservations.expire, self._writer, EXPIRED_AT_ONCE))
        if count:
            self._expired += count
            self._log.info("reservations.expired", count=count)
            self._wake.set()
        return count

    async def checkpoint(self) -> int:
        """Let the ledger state what its levels come to, where that is due. Returns whether it did."""
        if not checkpoints.is_due(self._reader, begun_us=self._begun_us):
            return 0
        receipt = await self._on_thread(partial(checkpoints.append, self._writer))
        if receipt is None:
            return 0
        self._log.info("ledger.checkpoint", seq=receipt.seq)
        self._wake.set()
        return 1

    async def remember(self) -> int:
        """Write down what is known of central, where it has changed.

        It is a hint, so it may wait for a ledger that is busy, or a disk that is full.
        """
        state = self._shipper.state
        if state == self._remembered:
            return 0
        try:
            await self._on_thread(
                partial(
                    outbox.remember_link,
                    self._writer,
                    acked_seq=state.acked_seq,
                    state=state.link,
                    reason=state.reason,
                    suspects=state.suspects,
                )
            )
        except (BusyError, RefusedError) as error:
            if not self._forgetful:
                self._log.warning("link.not_remembered", error=error)
            self._forgetful = True
            self._learnt.set()
            return 0
        self._forgetful = False
        self._remembered = state
        return 1

    def hurry(self) -> None:
        """From now on write only what can be written at once."""
        self._writer.hurry()

    def close(self) -> None:
        """Give everything back."""
        asyncio.get_running_loop().remove_reader(self._home.poke_fd)
        self.hurry()
        self._thread.shutdown(cancel_futures=True)
        self._reader.close()
        self._writer.close()

    async def _on_thread(self, write: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, write)

    def _fail(self, error: InventoryError) -> None:
        if self.trouble is None or self.trouble.message != error.message:
            self._log.error("store.failed", error=error)
        self.trouble = error

    def _poked(self) -> None:
        self._refusals += _refusals(self._home.drain_pokes())
        self._wake.set()

    def _tell(self, before: ShipperState) -> None:
        after = self._shipper.state
        if after != before:
            self._learnt.set()
        if after.acked_seq != before.acked_seq:
            self._log_acked(before.acked_seq, after.acked_seq)
            if self._spans:
                self._spans.acknowledged(after.acked_seq, self._clock.now_us())
        if (after.link, after.reason) == (before.link, before.reason):
            return
        known = self._log.bind(seq=after.acked_seq, reason=after.reason)
        if after.link is Link.UP:
            known.info("link.up")
        elif after.link is Link.UNKNOWN:
            known.warning("link.silent")
        elif after.link is Link.REFUSED:
            known.warning("link.refused")
        else:
            known.error("link.diverged")

    def _log_acked(self, before_seq: int, acked_seq: int) -> None:
        """Tell at debug what was acknowledged, with the traces that end here: an `ack` itself names none."""
        if not self._log.is_enabled_for(logging.DEBUG):
            return
        # After a start the first answer may acknowledge years; what was under way is told whole.
        after_seq = max(before_seq, acked_seq - WINDOW_FRAMES_MAX * frames.BATCH_EVENTS_MAX)
        acked: list[bytes] = []
        while len(acked) < acked_seq - after_seq:
            acked += self._outbox.read(after_seq + len(acked), frames.BATCH_EVENTS_MAX, frames.BATCH_BYTES_MAX).bodies
        del acked[max(acked_seq - after_seq, 0) :]
        self._log.debug("ack.received", seq=acked_seq, events=len(acked), **traces(acked))

    async def examine(self) -> int:
        """Check the ledger when central says that its bytes do not lead to its hashes. Returns the findings' number."""
        if self._shipper.state.reason != frames.BYTES_DO_NOT_HASH:
            return 0
        verdict = await asyncio.to_thread(_verify_apart, self._home, self._clock)
        for finding in verdict:
            self._log.error("ledger.damaged", finding=finding)
        return len(verdict)


def _refusals(pokes: bytes) -> Counter[str]:
    """Return what clerks were refused, as they told it: see `Ledger`."""
    told = (each.decode(errors="replace") for each in pokes.split(b"!") if each)
    return Counter(each if each in REFUSALS else OTHER_REFUSAL for each in told)


def _verify_apart(home: Home, clock: Clock) -> list[str]:
    with Ledger.open(home.path, clock=clock) as ledger:
        return examine(ledger).findings

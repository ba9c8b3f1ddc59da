"""A few stores, head office and a bad bus, in virtual time and from one seed. It watches what must always hold."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING

from invctl.bus.faults import Faults
from invctl.sync import frames
from invctl.sync.peer import PROOFS_KEPT
from invctl.sync.receiver import Receiver
from invctl.sync.shipper import HEARTBEAT_S, RETRY_MAX_S, WINDOW_FRAMES_MAX, Link, Shipper
from scripts.simulation.agenda import START_S, Agenda, ViolationError
from tests.simulation.central import Database, SimCentral
from tests.simulation.network import Network
from tests.simulation.store import SimStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from invctl.sync.shipper import ShipperState

NAMES = ("downtown", "midtown", "brooklyn")
TROUBLE_S = 20.0
DELAY_MAX_S = 3.0
# Once all is well: the last delayed frame, the longest wait before trying again, and a few heartbeats.
DRAIN_MAX_S = DELAY_MAX_S + 1.25 * RETRY_MAX_S + 4 * HEARTBEAT_S
QUIET_S = 5.0


@dataclass(frozen=True)
class Bugs:
    """Which sides to run: the real ones, or one with a bug planted in it."""

    shipper: Callable[..., Shipper] = Shipper
    receiver: Callable[..., Receiver] = Receiver


class World:
    """Everything that happens in it comes from `seed`."""

    def __init__(self, seed: int, bugs: Bugs | None = None) -> None:
        self.chance = Random(seed)
        self.bugs = bugs or Bugs()
        self.agenda = Agenda()
        self.clock_offset_s = 100_000.0
        self.network = Network(self.agenda, self._weather(), Random(self.chance.getrandbits(64)))
        self.commit_failure_rate = self.chance.choice([0.0, 0.05, 0.3])
        self.crash_rate = self.chance.choice([0.0, 0.0, 0.03])
        self.database = Database()
        self.copies = [self.database.copy()]
        self.stores = {name: SimStore(self, name) for name in NAMES}
        self.central = SimCentral(self)
        self.ghosts: list[SimCentral] = []
        self.ever_applied = dict.fromkeys(NAMES, 0)
        self.fresh_claims = 0
        self.healed_us = 0
        self.drained_s = 0.0
        # What this world has been through.
        self.met: Counter[str] = Counter()
        self._clock_was_set = False
        self._trace = blake2b(digest_size=16)
        for store in self.stores.values():
            self.network.listeners[store.up] = partial(self._at_central, store.up)

    @property
    def database_clock_us(self) -> int:
        return round((self.agenda.now_s + self.clock_offset_s) * 1_000_000)

    def run(self) -> World:
        """Trouble, then peace: by the end everything has drained, or ViolationError says what has not."""
        for store in self.stores.values():
            if self.chance.random() < 0.8:
                self._admit(store.name)
            store.start()
        self.agenda.after(0.1, self._trade)
        self.agenda.after(0.2, self._trouble)
        self.agenda.run(START_S + TROUBLE_S)
        self.heal()
        self.agenda.run(self.agenda.now_s + DRAIN_MAX_S, done=self._drained)
        self.check_drained()
        self.drained_s = self.agenda.now_s - TROUBLE_S - START_S
        # What was delayed in the trouble has come by then.
        self.agenda.run(START_S + TROUBLE_S + DELAY_MAX_S + 1.0)
        events_sent = self._events_sent()
        self.agenda.run(self.agenda.now_s + QUIET_S)
        self.check_drained()
        if self._events_sent() != events_sent:
            raise ViolationError("events are sent though everything has been acknowledged")
        return self

    @property
    def trace(self) -> str:
        """A digest of every frame and the moment when it was sent."""
        return self._trace.hexdigest()

    def note(self, way: str, payload: bytes) -> None:
        self._trace.update(f"{self.agenda.now_s!r} {way} ".encode() + payload)
        if len(payload) > frames.FRAME_BYTES_MAX:
            raise ViolationError(f"a frame of {len(payload)} bytes")

    # What must always hold.

    def check_archive(self, name: str) -> None:
        """Hold the archive against the ledger: the same bytes, each once, in order."""
        archive = self.database.archive[name]
        if archive != self.stores[name].outbox.bodies[: len(archive)]:
            raise ViolationError(f"the archive of {name} is not a beginning of its ledger")
        self.ever_applied[name] = max(self.ever_applied[name], len(archive))

    def check_answer(self, central: SimCentral, payload: bytes) -> None:
        """An ack tells only what is committed."""
        answer = frames.decode_down(payload)
        if not central.holds_the_fence:
            self.met["answered by a central that was replaced"] += 1
        elif isinstance(answer, frames.Refused):
            self.met[f"refused: {answer.reason}"] += 1
        elif isinstance(answer, frames.Ack):
            self.met["gap asked for"] += answer.want_from is not None
            applied_seq = len(self.database.archive.get(answer.store, []))
            if answer.applied_seq > applied_seq:
                raise ViolationError(f"{answer.store} was told {answer.applied_seq}, committed is {applied_seq}")

    def check_store(self, store: SimStore, before: ShipperState) -> None:
        """A store takes nothing for delivered that never was, and never has more than a window under way."""
        assert store.shipper is not None
        self.met["acknowledged seq went down"] += store.shipper.state.acked_seq < before.acked_seq
        if len(store.shipper._flight) > WINDOW_FRAMES_MAX:
            raise ViolationError(f"{store.name} has {len(store.shipper._flight)} frames under way")
        if store.shipper.state.acked_seq > self.ever_applied[store.name]:
            raise ViolationError(f"{store.name} takes for acknowledged what central never applied")

    def check_bounded(self, receiver: Receiver) -> None:
        """What central keeps of a store in memory does not grow."""
        for name, peer in receiver._peers.items():
            if peer.bodies or len(peer.proofs) > PROOFS_KEPT:
                raise ViolationError(f"{len(peer.bodies)} events and {len(peer.proofs)} heads of {name} are kept")

    def check_fresh(self, name: str) -> None:
        """Whatever the store had committed up to the claimed moment is applied."""
        fresh_us = self.database.fresh_us[name]
        if fresh_us == 0:
            return
        self.fresh_claims += 1
        committed = bisect_right(self.stores[name].committed_us, fresh_us)
        applied = len(self.database.archive.get(name, []))
        if applied < committed:
            raise ViolationError(f"{name} is shown as of {fresh_us} with {applied} events; it had {committed} by then")

    def check_drained(self) -> None:
        """Hold everything against everything, now that there was peace for long enough."""
        for name, store in self.stores.items():
            assert store.shipper is not None
            state = store.shipper.state
            if self.database.archive.get(name, []) != store.outbox.bodies:
                applied = len(self.database.archive.get(name, []))
                raise ViolationError(f"{name}: {applied} of {len(store.outbox.bodies)} events have come; {state}")
            if (state.acked_seq, state.link) != (len(store.outbox.bodies), Link.UP):
                raise ViolationError(f"{name} does not know that all has come: {state}")
            if self.database.fresh_us.get(name, 0) < self.healed_us:
                raise ViolationError(f"{name} is not shown as fresh, though all has come")

    # Trade, trouble and peace.

    def heal(self) -> None:
        """From now on nothing goes wrong, and whoever was down comes back."""
        self.healed_us = self.database_clock_us
        self.commit_failure_rate = self.crash_rate = 0.0
        self.network.heal()
        self.ghosts.clear()
        for name, store in self.stores.items():
            cursor = self.database.cursors.get(name)
            if cursor is None or not cursor.admitted:
                self._admit(name)
            if store.shipper is None:
                store.start()

    def restart_central(self) -> None:
        """Kill central wherever it is, and start another on the same database."""
        self.met["central killed"] += 1
        self.central.alive = False
        self.central = SimCentral(self)
        self.central.greet()

    def _drained(self) -> bool:
        for name, store in self.stores.items():
            if len(self.database.archive.get(name, [])) != len(store.outbox.bodies):
                return False
        try:
            self.check_drained()
        except ViolationError:
            return False
        return True

    def _events_sent(self) -> int:
        return sum(store.events_sent for store in self.stores.values())

    def _at_central(self, channel: str, payload: bytes) -> None:
        self.central.hear(channel, payload)
        for ghost in self.ghosts:
            ghost.hear(channel, payload)

    def _weather(self) -> Faults:
        def rate(*rates: float) -> float:
            return self.chance.choice([0.0, 0.0, *rates])

        return Faults(
            drop=rate(0.05, 0.3, 0.6),
            double=rate(0.1, 0.5),
            delay=rate(0.02, 0.1),
            reorder=rate(0.1, 0.5),
            truncate=rate(0.05, 0.2),
            flip=rate(0.05, 0.2),
            latency_s=self.chance.choice([0.001, 0.02, 0.2]),
            delay_max_s=DELAY_MAX_S,
            reorder_max_s=0.5,
        )

    def _trade(self) -> None:
        self.chance.choice(list(self.stores.values())).commit(self.chance.choice([1, 1, 1, 2, 20]))
        if self.agenda.now_s < START_S + TROUBLE_S:
            self.agenda.after(self.chance.expovariate(4.0), self._trade)

    def _trouble(self) -> None:
        if self.agenda.now_s < START_S + TROUBLE_S:
            store = self.chance.choice(list(self.stores.values()))
            self.chance.choice(self._troubles())(store)
            self.agenda.after(self.chance.expovariate(1.0), self._trouble)

    def _troubles(self) -> list[Callable[[SimStore], None]]:
        return [
            lambda store: self._admit(store.name),
            self._cut_off,
            self._lose_the_last,
            self._restart_daemon,
            lambda _: self.restart_central(),
            lambda _: self._pause_central(),
            lambda _: self._take_a_copy(),
            lambda _: self._restore_a_copy(),
            lambda _: self._restart_broker(),
            lambda _: self._set_clock(),
        ]

    def _admit(self, name: str) -> None:
        self.central.admitted(self.database.admit(name))

    def _cut_off(self, store: SimStore) -> None:
        """Partition a store, in, out or both; whether a publish fails or vanishes, nobody says."""
        ways = self.chance.choice([[store.up], [store.down], [store.up, store.down]])
        cut = self.chance.choice([self.network.black_holes, self.network.closed])
        cut.update(ways)

        def join() -> None:
            cut.difference_update(ways)
            if self.chance.random() < 0.5:
                store.subscribed()

        self.agenda.after(self.chance.uniform(0.1, 10.0), join)

    def _lose_the_last(self, store: SimStore) -> None:
        """Lose a store's last event, or its ack, with nothing after it that could show the gap."""
        way = self.chance.choice([store.up, store.down])
        self.network.black_holes.add(way)
        store.commit(1)
        self.agenda.after(0.3, lambda: self.network.black_holes.discard(way))

    def _restart_daemon(self, store: SimStore) -> None:
        self.met["daemon killed"] += 1
        store.kill()
        self.agenda.after(self.chance.uniform(0.0, 3.0), lambda: store.start() if store.shipper is None else None)

    def _pause_central(self) -> None:
        """Let another central take over from one that wakes up later and has not heard of it."""
        old = self.central
        self.central = SimCentral(self)
        self.central.greet()
        self.ghosts.append(old)
        self.agenda.after(
            self.chance.uniform(0.0, 3.0), lambda: self.ghosts.remove(old) if old in self.ghosts else None
        )

    def _take_a_copy(self) -> None:
        self.copies.append(self.database.copy())

    def _restore_a_copy(self) -> None:
        """Stop every central, restore its database from an older copy, and start one."""
        self.met["central restored from a copy"] += 1
        self.central.alive = False
        for ghost in self.ghosts:
            ghost.alive = False
        fence = self.database.fence
        self.database = self.chance.choice(self.copies).copy()
        self.database.fence = fence
        self.restart_central()
        # The operator admits again what the copy does not know.
        for name in self.stores:
            self.agenda.after(self.chance.uniform(0.0, 5.0), partial(self._admit, name))

    def _restart_broker(self) -> None:
        """Every subscription is confirmed anew."""
        for store in self.stores.values():
            store.subscribed()
        self.central.greet()

    def _set_clock(self) -> None:
        """Set the clock of central's database an hour off, either way, once; no store notices."""
        if self._clock_was_set:
            return
        self._clock_was_set = True
        offset_s = self.chance.choice([-3600.0, 3600.0])
        self.clock_offset_s += offset_s
        if offset_s < 0.0:
            self.met["clock set back"] += 1
            # Whatever happened so far lies before every moment that the clock will show from now on.
            for store in self.stores.values():
                store.committed_us = [0] * len(store.committed_us)
            # A copy that goes back to before that cannot tell; who restores it has to know.
            for copy in self.copies:
                copy.fresh_us.clear()

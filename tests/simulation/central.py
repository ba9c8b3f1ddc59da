"""Head office of a simulated world: a database, which outlives everything, and processes, which do not."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from invctl.model.chain import GENESIS
from invctl.sync import channels
from invctl.sync.cursor import Cursor

if TYPE_CHECKING:
    from invctl.sync.cursor import Intake
    from tests.simulation.world import World


@dataclass
class Database:
    """What is committed. It takes whatever it is given: the protocol alone keeps it right."""

    fence: int = 0
    clock_us: int = 0
    cursors: dict[str, Cursor] = field(default_factory=dict)
    archive: dict[str, list[bytes]] = field(default_factory=dict)
    fresh_us: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Database:
        return copy.deepcopy(self)

    def apply(self, intake: Intake, epoch: int) -> None:
        self.archive.setdefault(intake.store, []).extend(intake.bodies)
        cursor = self.cursors[intake.store]
        self.cursors[intake.store] = cursor._replace(
            epoch=epoch,
            first_hash=cursor.first_hash or intake.hashes[0],
            applied_seq=intake.last_seq,
            applied_hash=intake.hashes[-1],
        )

    def tell_time(self, now_us: int) -> None:
        """Forget what was proved of moments that come again, as the clock was set back."""
        if now_us < self.clock_us:
            self.fresh_us.clear()
        self.clock_us = now_us

    def admit(self, store: str) -> Cursor:
        known = self.cursors.get(store, Cursor(store, True, None, 1, 0, GENESIS))
        self.cursors[store] = known._replace(admitted=True)
        return self.cursors[store]


class SimCentral:
    """One run of central: it hears every store, and works in rounds as its loop does."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = Random(world.chance.getrandbits(64))
        self.receiver = world.bugs.receiver(chance=self.chance)
        self.alive = True
        self._inbox: list[tuple[str, bytes]] = []
        self._working = False
        world.database.fence += 1
        self.fence = world.database.fence
        world.database.tell_time(world.database_clock_us)
        for cursor in world.database.cursors.values():
            self.receiver.load(cursor)

    @property
    def holds_the_fence(self) -> bool:
        return self.fence == self.world.database.fence

    def greet(self) -> None:
        """Its subscription was confirmed."""
        for store, payload in self.receiver.greetings():
            self._publish(store, payload)

    def hear(self, channel: str, payload: bytes) -> None:
        if self.alive:
            self._inbox.append((channels.store_of(channel), payload))
            self._work_soon()

    def admitted(self, cursor: Cursor) -> None:
        """The operator admitted a store; it looks that up now and then."""
        if self.alive and self.holds_the_fence:
            self.receiver.load(cursor)

    def _work_soon(self) -> None:
        if not self._working and self._inbox:
            self._working = True
            self.world.agenda.after(self.chance.choice([0.0005, 0.005, 0.05]), self._begin)

    def _begin(self) -> None:
        if not self.alive:
            return
        heard, self._inbox = self._inbox, []
        for store, payload in heard:
            self.receiver.receive(store, payload, self.world.database_clock_us)
        self.world.met.update(self.receiver.counts)
        self.receiver.counts.clear()
        intakes = self.receiver.take()
        # The commit takes its time; what comes meanwhile waits, and a kill finds it undone.
        self.world.agenda.after(
            self.chance.choice([0.0005, 0.005, 0.2]) if intakes else 0.0, lambda: self._finish(intakes)
        )

    def _finish(self, intakes: list[Intake]) -> None:
        if not self.alive:
            return
        if intakes and not self.holds_the_fence:
            # Another one minted its fence: every commit of this one misses it, and it gives the shard back.
            self.world.met["fence missed"] += 1
            self.alive = False
            return
        for intake in intakes:
            self._commit(intake)
        # No store here lost anything of its ledger, whatever central lost.
        assert not any(heard.lacks_seq for heard in self.receiver.heard())
        replies = self.receiver.replies(self.world.database_clock_us)
        if self.holds_the_fence:
            self._keep_fresh()
            if self.chance.random() < self.world.crash_rate:
                self.world.met["killed between commit and answer"] += 1
                self.world.restart_central()
                return
        for store, payload in replies:
            self._publish(store, payload)
        self.world.check_bounded(self.receiver)
        self._working = False
        self._work_soon()

    def _commit(self, intake: Intake) -> None:
        if self.chance.random() < self.world.commit_failure_rate:
            self.world.met["commit failed"] += 1
            self.receiver.failed(intake.store)
            return
        self.world.database.apply(intake, epoch=1)
        self.receiver.committed(intake, epoch=1, suspects=0)
        self.world.check_archive(intake.store)

    def _keep_fresh(self) -> None:
        database = self.world.database
        database.tell_time(self.world.database_clock_us)
        for store in self.receiver.stores:
            database.fresh_us[store] = max(database.fresh_us.get(store, 0), self.receiver.fresh_us(store))
            self.world.check_fresh(store)

    def _publish(self, store: str, payload: bytes) -> None:
        self.world.note("down", payload)
        self.world.check_answer(self, payload)
        self.world.network.publish(self.world.stores[store].down, payload)

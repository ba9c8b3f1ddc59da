"""A store of a simulated world: its ledger, which outlives everything, and its daemon, which does not."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from invctl.sync import channels
from tests.simulation.outbox import MemoryOutbox

if TYPE_CHECKING:
    from invctl.sync.shipper import Shipper
    from tests.simulation.world import World

NAMESPACE = "sim"
LOOK_S = 1.0


class SimStore:
    """Commits events, and runs a Shipper as the daemon does."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.chance = Random(world.chance.getrandbits(64))
        self.outbox = MemoryOutbox(name, batch_max=self.chance.randint(1, 5))
        # By central's clock, which no store knows: it is there to judge what central claims.
        self.committed_us: list[int] = []
        self.shipper: Shipper | None = None
        self.remembered_seq = 0
        self.up = channels.up(NAMESPACE, name)
        self.down = channels.down(NAMESPACE, name)
        self.events_sent = 0
        self._wakes = 0
        world.network.listeners[self.down] = self.hear

    def commit(self, events: int) -> None:
        """Commit events, each as its own transaction; the poke to the daemon may fail."""
        for _ in range(events):
            seq = len(self.outbox.bodies) + 1
            self.outbox.append(f'{{"id":"{self.chance.getrandbits(64):016x}","of":"{self.name}","seq":{seq}}}'.encode())
            self.committed_us.append(self.world.database_clock_us)
        if self.chance.random() < 0.8:
            self.tick()

    def start(self) -> None:
        """Start a daemon with what an earlier one remembered, which may be old, or lost."""
        remembered = self.chance.choice([self.remembered_seq, self.chance.randint(0, self.remembered_seq), 0])
        self.shipper = self.world.bugs.shipper(
            self.outbox,
            acked_seq=remembered,
            chance=Random(self.chance.getrandbits(64)),
            now_s=self.world.agenda.now_s,
        )
        self.subscribed()

    def kill(self) -> None:
        self.shipper = None

    def subscribed(self) -> None:
        if self.shipper is not None:
            self.shipper.subscribed(self.world.agenda.now_s)
            self.tick()

    def hear(self, payload: bytes) -> None:
        if self.shipper is None:
            return
        before = self.shipper.state
        self.shipper.receive(payload, self.world.agenda.now_s)
        self.world.check_store(self, before)
        if self.chance.random() < 0.3:
            self.remembered_seq = self.shipper.state.acked_seq
        self.tick()

    def tick(self) -> None:
        """Publish what is due, and come back when the Shipper wants to, or after a second."""
        if self.shipper is None:
            return
        before = self.shipper.state
        due = self.shipper.poll(self.world.agenda.now_s)
        self.world.met["silence"] += before.link is not self.shipper.state.link
        self.world.met["tried again"] += self.shipper._window == 1 and bool(due)
        for payload in due:
            self.world.note("up", payload)
            self.events_sent += b'"kind":"events"' in payload[:30]
            if not self.world.network.publish(self.up, payload):
                self.world.met["publish failed"] += 1
                self.shipper.publish_failed()
                break
        self._wakes += 1
        wake = self._wakes
        when_s = min(self.shipper.due_s(), self.world.agenda.now_s + LOOK_S)
        self.world.agenda.at(when_s, lambda: self.tick() if wake == self._wakes else None)

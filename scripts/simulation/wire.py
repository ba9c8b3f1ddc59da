"""The bus of a simulated world: a faulty wire, partitions on it, and whoever listens at its ends."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from invctl.bus.faults import Faults, FaultyWire
from invctl.sync import frames

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from random import Random

    from invctl.bus.faults import Delivery
    from scripts.simulation.agenda import Agenda

PERFECT = Faults(latency_s=0.001)
OLD_KEPT = 40


class Wire:
    """Carries payloads to all who listen. A channel may be a black hole, or closed, so that a publish fails."""

    def __init__(self, agenda: Agenda, faults: Faults, chance: Random, met: Counter[str]) -> None:
        """Begin with these faults; what strikes is counted in `met`."""
        self._agenda = agenda
        self._wire = FaultyWire(faults, chance)
        self._chance = chance
        self._met = met
        self.black_holes: set[str] = set()
        self.closed: set[str] = set()
        self.forge = chance.choice([0.0, 0.0, 0.05])
        """How often a run of events is altered under a checksum that fits."""
        self.listeners: defaultdict[str, list[Callable[[bytes], None]]] = defaultdict(list)
        self._old: list[tuple[str, bytes]] = []

    def publish(self, channel: str, payload: bytes) -> bool:
        """Say whether the publish seemed to succeed, which proves nothing."""
        if channel in self.closed:
            return False
        self._remember(channel, payload)
        if self.forge > 0.0 and b'"kind":"events"' in payload[:30] and self._chance.random() < self.forge:
            payload = self._forged(payload)
        if channel in self.black_holes:
            self._met["frame lost in a partition"] += 1
            return True
        deliveries = self._wire.send(self._agenda.now_s, channel, payload)
        self._count(payload, deliveries)
        for delivery in deliveries:
            self._agenda.at(delivery.due_s, partial(self._deliver, delivery.channel, delivery.payload))
        return True

    def replay_old(self) -> None:
        """Let a frame of long ago arrive once more."""
        if self._old:
            self._met["old frame again"] += 1
            self._deliver(*self._chance.choice(self._old))

    def heal(self) -> None:
        """From now on nothing is lost; what is under way still arrives late and damaged."""
        self._wire.faults = PERFECT
        self.forge = 0.0
        self.black_holes.clear()
        self.closed.clear()

    def _deliver(self, channel: str, payload: bytes) -> None:
        for listener in list(self.listeners[channel]):
            listener(payload)

    def _forged(self, payload: bytes) -> bytes:
        frame = frames.decode_up(payload)
        if not isinstance(frame, frames.Events):
            return payload
        self._met["events altered under a right checksum"] += 1
        at = self._chance.randrange(len(frame.events))
        events = [*frame.events]
        events[at] = events[at].replace(b'"on_hand_change":', b'"on_hand_change":1', 1) + b" "
        return frames.encode(frame._replace(events=events))

    def _remember(self, channel: str, payload: bytes) -> None:
        if len(self._old) < OLD_KEPT:
            self._old.append((channel, payload))
        elif self._chance.random() < 0.05:
            self._old[self._chance.randrange(OLD_KEPT)] = (channel, payload)

    def _count(self, payload: bytes, deliveries: list[Delivery]) -> None:
        met, now_s = self._met, self._agenda.now_s
        if not deliveries:
            met["frame dropped"] += 1
            return
        met["frame doubled"] += len(deliveries) > 1
        for delivery in deliveries:
            met["frame late"] += delivery.due_s > now_s + 2 * self._wire.faults.latency_s
            met["frame truncated"] += len(delivery.payload) < len(payload)
            met["frame with a flipped bit"] += len(delivery.payload) == len(payload) and delivery.payload != payload

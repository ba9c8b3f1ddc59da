"""The bus of a simulated world: a faulty wire, and partitions on it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from invctl.bus.faults import Faults, FaultyWire

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from invctl.bus.faults import Delivery
    from scripts.simulation.agenda import Agenda

PERFECT = Faults(latency_s=0.001)


class Network:
    """Carries payloads between those who listen. A channel may be a black hole, or closed so that a publish fails."""

    def __init__(self, agenda: Agenda, faults: Faults, chance: Random) -> None:
        self._agenda = agenda
        self._wire = FaultyWire(faults, chance)
        self.black_holes: set[str] = set()
        self.closed: set[str] = set()
        self.listeners: dict[str, Callable[[bytes], None]] = {}
        self.sent = 0

    def publish(self, channel: str, payload: bytes) -> bool:
        """Say whether the publish seemed to succeed, which proves nothing."""
        self.sent += 1
        if channel in self.closed:
            return False
        if channel not in self.black_holes:
            for delivery in self._wire.send(self._agenda.now_s, channel, payload):
                self._agenda.at(delivery.due_s, partial(self._deliver, delivery))
        return True

    def heal(self) -> None:
        """From now on nothing is lost; what is under way still arrives late and damaged."""
        self._wire.faults = PERFECT
        self.black_holes.clear()
        self.closed.clear()

    def _deliver(self, delivery: Delivery) -> None:
        listener = self.listeners.get(delivery.channel)
        if listener is not None:
            listener(delivery.payload)

"""A line that loses, doubles, delays, reorders and damages what is sent on it, to order and from a seed.

It is a pure piece: no clock, no loop, no sockets. It takes one message at one moment and says what
arrives when. The in-memory bus runs on it under asyncio; a simulator runs it in virtual time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

from invctl.errors import InvalidValueError

if TYPE_CHECKING:
    from random import Random

_RATES = ("drop", "double", "delay", "reorder", "truncate", "flip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How bad a line is. Rates are probabilities for each message, from 0 to 1; they strike independently.

    `latency_s` is what every message takes. `delay` holds up a message by up to `delay_max_s`, and with it
    all that follows on its channel, in order, as a stalled connection does. `reorder` lets a message fall
    behind by up to `reorder_max_s` while others overtake it. `double` delivers a second copy, which falls
    behind likewise. `truncate` cuts the end off, `flip` turns one bit.

    Raises InvalidValueError when a rate is outside 0 to 1, or a duration is negative.
    """

    drop: float = 0.0
    double: float = 0.0
    delay: float = 0.0
    reorder: float = 0.0
    truncate: float = 0.0
    flip: float = 0.0
    latency_s: float = 0.0
    delay_max_s: float = 5.0
    reorder_max_s: float = 0.1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _RATES and not 0.0 <= value <= 1.0:
                raise InvalidValueError(f"the rate {field.name} is {value}", hint="give a probability from 0 to 1")
            if not 0.0 <= value < math.inf:
                raise InvalidValueError(f"{field.name} is {value}", hint="give a finite duration, not negative")

    @property
    def ordered(self) -> bool:
        """Whether messages of one channel arrive in the order sent."""
        return self.reorder == 0.0 and self.double == 0.0


class Delivery(NamedTuple):
    """What arrives, and when, on the sender's scale of time."""

    due_s: float
    channel: str
    payload: bytes


class FaultyWire:
    """A line with faults. The same generator, faults and calls give the same deliveries."""

    def __init__(self, faults: Faults, rng: Random) -> None:
        """Take the faults, and the generator that decides when they strike."""
        self.faults = faults
        self._rng = rng
        self._last_due_s: dict[str, float] = {}

    def send(self, now_s: float, channel: str, payload: bytes) -> list[Delivery]:
        """Send one message at `now_s`; give what arrives of it: nothing, one delivery or two."""
        faults = self.faults
        if self._strikes(faults.drop):
            return []
        due_s = self._in_order(channel, now_s)
        behind_s = self._up_to(faults.reorder_max_s) if self._strikes(faults.reorder) else 0.0
        arrives = [Delivery(due_s + behind_s, channel, self._damaged(payload))]
        if self._strikes(faults.double):
            arrives.append(Delivery(due_s + self._up_to(faults.reorder_max_s), channel, self._damaged(payload)))
        return arrives

    def _in_order(self, channel: str, now_s: float) -> float:
        due_s = now_s + self.faults.latency_s
        if self._strikes(self.faults.delay):
            due_s += self._up_to(self.faults.delay_max_s)
        due_s = max(due_s, self._last_due_s.get(channel, due_s))
        self._last_due_s[channel] = due_s
        return due_s

    def _damaged(self, payload: bytes) -> bytes:
        if payload and self._strikes(self.faults.truncate):
            payload = payload[: self._rng.randrange(len(payload))]
        if payload and self._strikes(self.faults.flip):
            at = self._rng.randrange(len(payload))
            payload = payload[:at] + bytes([payload[at] ^ 1 << self._rng.randrange(8)]) + payload[at + 1 :]
        return payload

    def _strikes(self, rate: float) -> bool:
        return rate > 0.0 and self._rng.random() < rate

    def _up_to(self, limit_s: float) -> float:
        return self._rng.random() * limit_s

"""Kills a run's processes with -9, at moments drawn from a seed: also while they start, and the same one twice.

Each kind has its own stream of moments, so that the same seed hits each kind at the same times whatever else is killed.
"""

from __future__ import annotations

from random import Random, SystemRandom
from typing import TYPE_CHECKING

from central.leases import LEASE_TTL_S
from invctl.clock import SystemClock
from invctl.console.options import Parsed
from invctl.errors import InvalidValueError
from invctl.redis_connection import RedisAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from invctl.clock import Clock
    from scripts.chain.broker import Broker
    from scripts.chain.supervision import Supervisor, Ward

INVD = "invd"
INVCENTRAL = "invcentral"
BROKER = "broker"
KINDS = (INVD, INVCENTRAL, BROKER)
ALL = "all"

FIRST_S = (0.2, 1.2)
NEXT_S = (1.8, 4.2)
# Within the time that a daemon takes to start.
SOON_S = (0.05, 0.8)
SOON_SHARE = 0.3
AWAY_S = 1.5 * LEASE_TTL_S
"""How long a killed central stays away while another lives: long enough for that one to take over by the lease."""


def parse_kinds(text: str) -> frozenset[str]:
    """Read what is to be killed: kinds with commas between them, or all. Raises InvalidValueError."""
    kinds: set[str] = set()
    for word in text.split(","):
        if word not in (*KINDS, ALL):
            hint = f"{', '.join(KINDS)}, several of them with commas between, or {ALL}"
            raise InvalidValueError(f"{word!r} is nothing to kill", hint=hint)
        kinds |= set(KINDS) if word == ALL else {word}
    return frozenset(kinds)


def ours_to_kill(kinds: frozenset[str] | None, broker: Broker, say: Callable[[str], None]) -> frozenset[str]:
    """Return what of `kinds` may be killed: not a broker that was given. `say` is told where it is left out.

    Raises InvalidValueError where nothing else was to be killed.
    """
    kinds = kinds or frozenset()
    if BROKER not in kinds or broker.start:
        return kinds
    if kinds == {BROKER}:
        raise InvalidValueError(
            f"the broker at {RedisAddress.parse(broker.url).where} was given, and is not this run's to kill",
            hint="unset INVCTL_REDIS_URL, and the run starts one of its own",
        )
    say("the broker was given, and is not this run's to kill: the others are")
    return kinds - {BROKER}


def refuse_idle_seed(seed: int | None, kinds: frozenset[str] | None) -> None:
    """Raise InvalidValueError where a seed is given, and nothing is to be killed by it."""
    if seed is not None and not kinds:
        raise InvalidValueError("--seed says when something is killed, and nothing is to be", hint="give --kill, too")


def told_seed(seed: int | None, say: Callable[[str], None]) -> int:
    """Return the seed that was given, else a new one; it is said, so that the run can be had again."""
    if seed is None:
        seed = SystemRandom().randrange(1_000_000)
        say(f"kills at the moments of --seed {seed}")
    return seed


WHAT_TO_KILL = Parsed("|".join((*KINDS, ALL)), parse_kinds)
"""The value of an option, which is then a set of kinds."""


class Killer:
    """Kills what a supervisor keeps running. It counts what it killed, by kind."""

    def __init__(
        self, supervisor: Supervisor, kinds: Collection[str], seed: int, *, clock: Clock | None = None
    ) -> None:
        """Draw the first moments, from now on."""
        self._supervisor = supervisor
        self._clock = clock or SystemClock()
        self.counts = dict.fromkeys(KINDS, 0)
        self._streams = [_Stream(kind, Random(f"{seed}/{kind}")) for kind in KINDS if kind in kinds]
        for stream in self._streams:
            stream.due_s = self._clock.monotonic_s() + stream.chance.uniform(*FIRST_S)

    def tick(self) -> int:
        """Kill what is due. Returns how many were killed."""
        return sum(self._kill(stream) for stream in self._streams if self._clock.monotonic_s() >= stream.due_s)

    def _kill(self, stream: _Stream) -> int:
        """Kill one of the stream's kind, and draw when the next is due, and whether it is to be the same one."""
        wards = [ward for ward in self._supervisor.wards if ward.kind == stream.kind]
        victim = next((ward for ward in wards if ward.name == stream.again), None)
        if victim is None:
            victim = stream.chance.choice([ward for ward in wards if not ward.away] or wards)
        killed = self._supervisor.kill(victim, self._away_s(victim, wards))
        self.counts[stream.kind] += killed
        soon = stream.chance.random() < SOON_SHARE
        stream.again = victim.name if soon else ""
        stream.due_s = self._clock.monotonic_s() + stream.chance.uniform(*(SOON_S if soon else NEXT_S))
        return int(killed)

    def _away_s(self, victim: Ward, wards: list[Ward]) -> float:
        """Say how long a victim stays away. A central does, each second time, if another one lives meanwhile."""
        others = [ward for ward in wards if ward is not victim and not ward.away]
        return AWAY_S if victim.kind == INVCENTRAL and others and victim.deaths % 2 == 0 else 0.0


class _Stream:
    """The kills of one kind: when the next is due, and of whom, where that was drawn already."""

    def __init__(self, kind: str, chance: Random) -> None:
        self.kind = kind
        self.chance = chance
        self.due_s = 0.0
        self.again = ""

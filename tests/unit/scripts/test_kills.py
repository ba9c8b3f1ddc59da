"""The kills of twenty seconds, in no time: real children, and a clock that is moved by hand."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import pytest

from central.leases import LEASE_TTL_S
from invctl.clock import ManualClock
from invctl.errors import InvalidValueError
from scripts.chain.broker import Broker
from scripts.chain.kills import ALL, BROKER, INVCENTRAL, INVD, KINDS, SOON_S, Killer, ours_to_kill, parse_kinds
from scripts.chain.processes import ProcessTable
from scripts.chain.supervision import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.fault_tolerance

TICK_S = 0.05
MINUTE_S = 60.0


class Told(NamedTuple):
    """That a process was killed: when, which, and what was said of it."""

    at_s: float
    name: str
    said: str


class Battle:
    """Processes that do nothing, and are killed."""

    def __init__(self, table: ProcessTable, kinds: Mapping[str, str], to_kill: set[str], seed: int = 1) -> None:
        self.clock = ManualClock()
        self.told: list[Told] = []
        self.supervisor = Supervisor(self._note, clock=self.clock)
        for name, kind in kinds.items():
            self.supervisor.add(name, kind, partial(table.start, ["sleep", "600"], name=name))
        self.killer = Killer(self.supervisor, to_kill, seed, clock=self.clock)

    def last(self, seconds: float) -> None:
        until_s = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < until_s:
            self.killer.tick()
            self.supervisor.tick()
            self.clock.advance(TICK_S)

    def _note(self, said: str) -> None:
        self.told.append(Told(round(self.clock.monotonic_s(), 2), said.partition(" ")[0], said))


@pytest.fixture
def table(tmp_path: Path) -> Iterator[ProcessTable]:
    with ProcessTable(tmp_path / "state.json", tmp_path / "logs") as table:
        yield table


DEMO = {"broker": BROKER, "invcentral": INVCENTRAL, "invd-a": INVD, "invd-b": INVD, "invd-c": INVD, "clerk": "clerk"}


def test_in_twenty_seconds_each_kind_is_killed_several_times_and_one_twice_in_short_succession(
    table: ProcessTable,
) -> None:
    battle = Battle(table, DEMO, set(KINDS))
    battle.last(20)
    assert all(count >= 3 for count in battle.killer.counts.values()), battle.killer.counts
    assert sum(battle.killer.counts.values()) == len(battle.told)
    by_name = {name: [told.at_s for told in battle.told if told.name == name] for name in DEMO}
    assert by_name["clerk"] == []
    soon = SOON_S[1] + TICK_S
    assert any(after - before <= soon for times in by_name.values() for before, after in pairwise(times))
    assert all(ward.child.alive() for ward in battle.supervisor.wards if not ward.away)


def test_a_seed_gives_the_same_kills_again_whatever_else_is_killed(table: ProcessTable) -> None:
    one, same, other, alone = (
        Battle(table, DEMO, to_kill, seed)
        for to_kill, seed in ((set(KINDS), 7), (set(KINDS), 7), (set(KINDS), 8), ({BROKER}, 7))
    )
    for battle in (one, same, other, alone):
        battle.last(8)
    assert one.told == same.told
    assert one.told != other.told
    assert [told for told in one.told if told.name == "broker"] == alone.told
    assert alone.killer.counts == {INVD: 0, INVCENTRAL: 0, BROKER: len(alone.told)}


def test_of_two_centrals_a_killed_one_stays_away_for_longer_than_its_lease_while_the_other_lives(
    table: ProcessTable,
) -> None:
    battle = Battle(table, {"invcentral": INVCENTRAL, "invcentral-2": INVCENTRAL}, {INVCENTRAL})
    alive_always = True
    until_s = battle.clock.monotonic_s() + MINUTE_S
    away_s: dict[str, float] = {}
    longest_s = 0.0
    while battle.clock.monotonic_s() < until_s:
        battle.last(TICK_S)
        away = {ward.name for ward in battle.supervisor.wards if ward.away}
        alive_always &= len(away) < 2
        away_s = {name: away_s.get(name, 0.0) + TICK_S for name in away}
        longest_s = max(longest_s, *away_s.values(), 0.0)
    assert alive_always
    assert longest_s > LEASE_TTL_S
    assert any("stays away" in told.said for told in battle.told)
    assert any("restarted" in told.said for told in battle.told)


def test_what_to_kill_is_read() -> None:
    assert parse_kinds(ALL) == set(KINDS)
    assert parse_kinds(INVD) == {INVD}
    assert parse_kinds(f"{BROKER},{INVD}") == {BROKER, INVD}
    with pytest.raises(InvalidValueError, match="'postgres' is nothing to kill"):
        parse_kinds("postgres")
    for text in ("", f"{INVD},", f"{INVD} {BROKER}"):
        with pytest.raises(InvalidValueError, match="is nothing to kill"):
            parse_kinds(text)


def test_a_broker_that_was_given_is_not_ours_to_kill() -> None:
    given = Broker("redis://:hush@office:6379/0", "Redis")
    said: list[str] = []
    assert ours_to_kill(frozenset(KINDS), given, said.append) == {INVD, INVCENTRAL}
    assert len(said) == 1
    assert "not this run's to kill" in said[0]
    with pytest.raises(InvalidValueError, match="the broker at office:6379 was given") as caught:
        ours_to_kill(frozenset({BROKER}), given, said.append)
    assert "hush" not in str(caught.value)
    assert ours_to_kill(None, given, said.append) == frozenset()
    assert len(said) == 1


def test_our_own_broker_is(table: ProcessTable) -> None:
    ours = Broker("redis://127.0.0.1:1", "Valkey", start=partial(table.start, ["sleep", "600"], name="broker"))
    assert ours_to_kill(frozenset(KINDS), ours, pytest.fail) == set(KINDS)

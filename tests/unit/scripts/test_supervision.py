"""Real children, supervised by a clock that is moved by hand."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from invctl.clock import ManualClock
from invctl.errors import InventoryError
from scripts.chain.processes import ProcessTable
from scripts.chain.supervision import EARLY_DEATHS_MAX, EARLY_S, Supervisor, Ward
from scripts.chain.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.fault_tolerance

SLEEPER = "import signal; signal.pause()"
PLANTED = "print('no such table: events'); raise SystemExit(3)"


@pytest.fixture
def table(tmp_path: Path) -> Iterator[ProcessTable]:
    with ProcessTable(tmp_path / "state.json", tmp_path / "logs") as table:
        yield table


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(clock: ManualClock, said: list[str]) -> Supervisor:
    return Supervisor(said.append, clock=clock)


def add(supervisor: Supervisor, table: ProcessTable, code: str = SLEEPER) -> Ward:
    name = f"ward-{len(supervisor.wards)}"
    supervisor.add(name, "ward", partial(table.start, [sys.executable, "-c", code], name=name))
    return supervisor.wards[-1]


def ended(ward: Ward) -> bool:
    return wait_until(lambda: not ward.child.alive(), timeout_s=20)


def test_who_runs_is_left_alone(supervisor: Supervisor, table: ProcessTable, said: list[str]) -> None:
    child = add(supervisor, table).child
    assert supervisor.tick() == 0
    assert (supervisor.wards[0].child, said) == (child, [])


def test_who_is_killed_by_anybody_is_started_again_and_that_is_told(
    supervisor: Supervisor, table: ProcessTable, clock: ManualClock, said: list[str]
) -> None:
    ward, other = add(supervisor, table), add(supervisor, table)
    first = ward.child
    clock.advance(EARLY_S)
    os.killpg(first.pid, signal.SIGKILL)
    assert ended(ward)
    assert supervisor.tick() == 1
    assert ward.child.pid != first.pid
    assert ward.child.alive()
    assert other.child.alive()
    assert said == ["ward-0 ended by SIGKILL, the first time; restarted"]
    clock.advance(EARLY_S)
    os.killpg(ward.child.pid, signal.SIGTERM)
    assert ended(ward)
    supervisor.tick()
    assert said[1:] == ["ward-0 ended by SIGTERM, 2 times by now; restarted"]


def test_who_dies_at_once_again_and_again_ends_the_run_with_its_last_words(
    supervisor: Supervisor, table: ProcessTable, clock: ManualClock, said: list[str]
) -> None:
    ward = add(supervisor, table, PLANTED)
    for _ in range(EARLY_DEATHS_MAX - 1):
        assert ended(ward)
        supervisor.tick()
        # It gets a pause, too: what is in its way may go.
        assert supervisor.tick() == 0
        clock.advance(EARLY_S / 2)
        assert supervisor.tick() == 1
    assert ended(ward)
    with pytest.raises(InventoryError, match=r"ward-0 ended with exit code 3 .* 3 times in a row: .*no such table"):
        supervisor.tick()
    assert len(said) == EARLY_DEATHS_MAX - 1


def test_who_dies_now_and_then_is_started_again_for_ever(
    supervisor: Supervisor, table: ProcessTable, clock: ManualClock, said: list[str]
) -> None:
    ward = add(supervisor, table, PLANTED)
    for _ in range(2 * EARLY_DEATHS_MAX):
        assert ended(ward)
        clock.advance(EARLY_S)
        assert supervisor.tick() == 1
    assert len(said) == 2 * EARLY_DEATHS_MAX


def test_what_we_kill_ourselves_never_ends_the_run(
    supervisor: Supervisor, table: ProcessTable, said: list[str]
) -> None:
    ward = add(supervisor, table)
    for _ in range(2 * EARLY_DEATHS_MAX):
        assert supervisor.kill(ward)
        assert supervisor.tick() == 1
    assert said[-1] == f"ward-0 was killed (-9), {2 * EARLY_DEATHS_MAX} times by now; restarted"


def test_who_is_to_stay_away_comes_back_when_it_is_time(
    supervisor: Supervisor, table: ProcessTable, clock: ManualClock, said: list[str]
) -> None:
    ward = add(supervisor, table)
    assert supervisor.kill(ward, away_s=15)
    assert said == ["ward-0 was killed (-9), the first time; it stays away for 15 s"]
    clock.advance(14)
    assert supervisor.tick() == 0
    assert (ward.away, supervisor.kill(ward)) == (True, False)
    clock.advance(1)
    assert supervisor.tick() == 1
    assert (ward.away, ward.child.alive()) == (False, True)


def test_who_was_released_is_not_started_again(supervisor: Supervisor, table: ProcessTable, said: list[str]) -> None:
    child = supervisor.release(add(supervisor, table).name)
    child.kill()
    assert supervisor.tick() == 0
    assert (supervisor.wards, said) == ([], [])

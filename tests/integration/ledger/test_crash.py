"""A process is killed in the middle of its work: what it confirmed is there, and nothing is half done."""

from __future__ import annotations

import os
from random import Random
from typing import TYPE_CHECKING

import pytest

from invctl.clock import SystemClock
from invctl.ledger.ledger import Ledger
from tests.integration.ledger.processes import working
from tests.unit.ledger.support import assert_sound, head, hold, new_ledger

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fault_tolerance


@pytest.mark.slow
def test_what_was_confirmed_survives_a_kill_and_nothing_is_half_done(tmp_path: Path) -> None:
    chance = Random(4)
    new_ledger(tmp_path, SystemClock(), MOUSE=1_000_000, LAPTOP=1_000_000).close()
    for _ in range(12):
        with working(1, "trade", tmp_path) as (worker,):
            worker.tell()
            said = [worker.hear() for _ in range(chance.randrange(1, 40))]
            # It has just begun its next operation: let the blow fall at any moment of that one or of those after it.
            for _ in range(chance.randrange(4000)):
                os.sched_yield()
            worker.kill()
            said += worker.hear_the_rest()
        with Ledger.open(tmp_path) as ledger:
            stored = {seq: body.decode() for seq, body in ledger.rows("SELECT seq, body FROM events")}
            for seq, body in said:
                assert stored[seq] == body
            # What it had committed and could not say any more is at the most its last operation.
            assert head(ledger) - said[-1][0] <= 1
            assert_sound(ledger)
            hold(ledger, MOUSE=1)


def test_two_of_three_are_killed_and_the_third_goes_on(tmp_path: Path) -> None:
    with new_ledger(tmp_path, SystemClock(), MOUSE=1_000_000, LAPTOP=1_000_000) as ledger:
        with working(3, "trade", tmp_path) as workers:
            for worker in workers:
                worker.tell()
            said = [[worker.hear() for _ in range(5)] for worker in workers]
            for worker in workers[:2]:
                worker.kill()
            said[2] += [workers[2].hear() for _ in range(20)]
        stored = {seq: body.decode() for seq, body in ledger.rows("SELECT seq, body FROM events")}
        assert all(stored[seq] == body for told in said for seq, body in told)
        assert_sound(ledger)

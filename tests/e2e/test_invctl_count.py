"""Counting the shelves, as a clerk reads it while others sell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.clerk import Clerk

pytestmark = [pytest.mark.cli, pytest.mark.business]


def test_a_second_shelf_says_how_the_sum_came_about(clerk: Clerk) -> None:
    on_hand = clerk("stock", "MOUSE-001", "-o", "json").json[0]["on_hand"]
    clerk("count", "start")
    clerk("count", "line", "MOUSE-001", str(on_hand - 4))
    clerk("sell", "MOUSE-001=2")
    told = clerk("count", "line", "MOUSE-001", "3", "--more").out
    assert f"MOUSE-001 {on_hand - 3} counted, 1 fewer than there should be ({on_hand - 2})" in told
    assert told.rstrip().endswith(f"; {on_hand - 4} counted before, -2 moved since, 3 more now")
    # Where nothing moved, and where nothing was counted before, there is less to say.
    told = clerk("count", "line", "MOUSE-001", "1", "--more").out
    assert told.rstrip().endswith(f"; {on_hand - 3} counted before, 1 more now")
    assert "before" not in clerk("count", "line", "LAPTOP-001", "1", "--more").out


def test_columns_that_say_nothing_are_left_out(clerk: Clerk) -> None:
    clerk("count", "start")
    clerk("count", "line", "MOUSE-001", "0")
    heading = clerk("count", "status").out.splitlines()[0]
    assert ("Clerk" in heading, "Stale" in heading) == (False, False)
    clerk("count", "line", "MOUSE-001", "0", "--clerk", "ann")
    assert "Clerk" in clerk("count", "status").out
    # Programs read the same fields in each case.
    assert {"clerk", "stale"} <= set(clerk("count", "status", "-o", "json").json[0])


def test_one_unit_is_one(clerk: Clerk) -> None:
    on_hand = clerk("stock", "MOUSE-001", "-o", "json").json[0]["on_hand"]
    clerk("count", "start")
    clerk("count", "line", "MOUSE-001", str(on_hand + 1))
    assert "1 item counted, 1 unit more and 0 fewer than there should have been" in clerk("count", "finish").out


def test_nothing_amiss_is_said_in_words(clerk: Clerk) -> None:
    on_hand = clerk("stock", "MOUSE-001", "-o", "json").json[0]["on_hand"]
    clerk("count", "start")
    clerk("count", "line", "MOUSE-001", str(on_hand))
    assert "posted: 1 item counted, all as it should be" in clerk("count", "finish").out

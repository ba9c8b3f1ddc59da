"""What a run of events makes of a store's rows, and what it puts in doubt. More in the integration tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central import doubt, facts
from central.state import Drift, StoreState
from invctl.model import events
from invctl.model.stock import EMPTY, StockLevel

if TYPE_CHECKING:
    from central.facts import Facts


def adjusted(*lines: tuple[str, int, StockLevel], reason: str = "received") -> Facts:
    entries = [events.line(sku, change, 0, level) for sku, change, level in lines]
    return facts.read(
        1,
        events.compose(
            id="e1",
            type=events.STOCK_ADJUSTED,
            store="downtown",
            time="2026-01-01T00:00:00Z",
            subject="",
            data={"reason": reason, "lines": entries},
        ),
    )


def test_only_the_first_line_of_a_sku_is_held_against_its_row() -> None:
    state = StoreState(1)
    state.levels["A"] = StockLevel(5, 0, 3)
    run = [
        adjusted(("A", 1, StockLevel(6, 0, 4)), ("B", 1, StockLevel(9, 0, 9))),
        adjusted(("A", 1, StockLevel(70, 0, 50))),
    ]
    assert state.misses(run) == {"B"}


def test_a_row_that_agrees_with_the_archive_did_not_drift() -> None:
    state = StoreState(1)
    state.levels["A"] = StockLevel(5, 0, 3)
    state.rebuild("A", StockLevel(5, 0, 3))
    state.rebuild("NEW", EMPTY)
    assert state.drifts == []
    state.rebuild("A", StockLevel(4, 0, 2))
    assert state.drifts == [Drift("A", StockLevel(5, 0, 3), StockLevel(4, 0, 2))]
    assert state.levels["A"] == StockLevel(4, 0, 2)


def test_suspects_are_counted_with_those_that_this_run_did_not_touch() -> None:
    state = StoreState(1, suspects_before=5)
    state.suspects = {"A"}
    state.levels["A"] = StockLevel(5, 0, 3)
    state.take(1, adjusted(("B", -1, StockLevel(-1, 0, 1))))
    assert state.suspects_now == 6
    state.take(2, adjusted(("A", 1, StockLevel(6, 0, 4)), reason="cycle_count"))
    assert state.suspects_now == 5
    state.take(3, adjusted(("B", 3, StockLevel(2, 0, 2)), reason="cycle_count"))
    assert state.suspects_now == 4
    state.take(4, adjusted(("A", -9, StockLevel(-3, 0, 5))))
    assert state.suspects_now == 5
    assert state.cleared == {"A"}
    assert list(state.marked) == ["A"]


def test_the_first_reason_stands() -> None:
    state = StoreState(1)
    state.take(1, adjusted(("A", 1, StockLevel(1, 0, 2))))
    state.take(2, adjusted(("A", -9, StockLevel(-8, 0, 3))))
    assert [(each.seq, each.reason) for each in state.marked.values()] == [(1, doubt.DOES_NOT_FOLLOW)]

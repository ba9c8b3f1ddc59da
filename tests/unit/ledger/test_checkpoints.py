"""Checkpoints of a real ledger: when one is due, what it states, and that no clerk waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from invctl.ledger import adjustments, checkpoints, disk, products
from invctl.ledger.ledger import Ledger
from invctl.ledger.verify import verify
from invctl.ledger.writing import FrozenError
from invctl.model import checkpoint, events
from invctl.model.checkpoint import tally
from invctl.model.stock import StockLevel
from tests.unit.ledger.support import head, hold, level, new_ledger, types, written
from tests.unit.ledger.test_rebase import Chain

if TYPE_CHECKING:
    from pathlib import Path

    import apsw

    from invctl.clock import ManualClock

LEVELS = {"MOUSE": StockLevel(100, 0, 1), "LAPTOP": StockLevel(10, 0, 1)}


def is_due(ledger: Ledger, begun_us: int | None = None) -> bool:
    return checkpoints.is_due(ledger, begun_us=ledger.clock.now_us() if begun_us is None else begun_us)


def test_it_states_all_levels_as_they_are(ledger: Ledger) -> None:
    receipt = checkpoints.append(ledger)
    assert receipt is not None
    event = receipt.event
    assert (event.type, event.subject, receipt.seq) == (events.LEDGER_CHECKPOINT, "downtown", head(ledger))
    assert event.data == tally(LEVELS.items()).total().as_data()
    assert event.lines == []


def test_where_nothing_happened_there_is_no_second_one(ledger: Ledger) -> None:
    assert checkpoints.append(ledger)
    assert checkpoints.append(ledger) is None
    hold(ledger, MOUSE=1)
    again = checkpoints.append(ledger)
    assert again is not None
    assert again.event.data == tally((LEVELS | {"MOUSE": StockLevel(100, 1, 2)}).items()).total().as_data()


def test_what_moves_while_the_levels_are_summed_up_is_in_it(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process writes between the sum and the turn: the sum is brought up to date within the turn."""

    def meanwhile(levels: Any) -> checkpoint.Tally:
        summed = tally(levels)
        with Ledger.open(ledger.home, clock=ledger.clock) as other:
            hold(other, MOUSE=2, LAPTOP=1)
            products.add(other, "PHONE", "Phone")
            adjustments.adjust(other, {"PHONE": 3}, "received")
        return summed

    monkeypatch.setattr(checkpoints, "tally", meanwhile)
    receipt = checkpoints.append(ledger)
    assert receipt is not None
    now = {sku: StockLevel(*level(ledger, sku)) for sku in ("MOUSE", "LAPTOP", "PHONE")}
    assert receipt.event.data == tally(now.items()).total().as_data()
    assert now["PHONE"] == StockLevel(3, 0, 1)


def test_another_one_that_came_meanwhile_is_enough(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(levels: Any) -> checkpoint.Tally:
        monkeypatch.undo()
        with Ledger.open(ledger.home, clock=ledger.clock) as other:
            assert checkpoints.append(other)
        return tally(levels)

    monkeypatch.setattr(checkpoints, "tally", meanwhile)
    assert checkpoints.append(ledger) is None
    assert types(ledger).count("ledger.checkpoint") == 1


@pytest.mark.fault_tolerance
def test_a_ledger_that_was_given_another_history_meanwhile_begins_anew(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_ledger(tmp_path / "lost", clock, MOUSE=1) as ledger:

        def meanwhile(levels: Any) -> checkpoint.Tally:
            with Ledger.open(ledger.home, clock=clock) as other:
                for guard in ("events_keep_update", "movements_keep_update"):
                    other.connection.execute(f"DROP TRIGGER {guard}")
                other.connection.execute("UPDATE events SET hash = zeroblob(32) WHERE seq = ?", (head(other),))
            return tally(levels)

        monkeypatch.setattr(checkpoints, "tally", meanwhile)
        before = head(ledger)
        assert checkpoints.append(ledger) is None
        assert head(ledger) == before


def test_the_first_is_due_an_hour_after_the_daemon_began_to_look(ledger: Ledger, clock: ManualClock) -> None:
    begun_us = clock.now_us()
    assert not is_due(ledger, begun_us)
    clock.advance(checkpoints.PERIOD_S - 1)
    assert not is_due(ledger, begun_us)
    clock.advance(1)
    assert is_due(ledger, begun_us)


def test_the_next_is_due_an_hour_after_the_last_where_something_happened(ledger: Ledger, clock: ManualClock) -> None:
    checkpoints.append(ledger)
    clock.advance(10 * checkpoints.PERIOD_S)
    assert not is_due(ledger)
    hold(ledger, MOUSE=1)
    assert is_due(ledger)
    checkpoints.append(ledger)
    hold(ledger, MOUSE=1)
    clock.advance(checkpoints.PERIOD_S - 1)
    assert not is_due(ledger, 0)
    clock.advance(1)
    assert is_due(ledger)


def test_after_so_many_events_it_is_due_at_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints.append(ledger)
    monkeypatch.setattr(checkpoints, "EVENTS_BETWEEN", 3)
    for _ in range(2):
        hold(ledger, MOUSE=1)
        assert not is_due(ledger)
    hold(ledger, MOUSE=1)
    assert is_due(ledger)


@pytest.mark.fault_tolerance
def test_nothing_is_due_where_nothing_can_be_written(
    ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_us = clock.now_us()
    clock.advance(checkpoints.PERIOD_S)
    assert is_due(ledger, begun_us)
    with monkeypatch.context() as patch:
        patch.setattr(disk, "free_bytes", lambda _: ledger.reserve_bytes - 1)
        assert not is_due(ledger, begun_us)
    with monkeypatch.context() as patch:
        patch.setattr(disk, "noted", lambda _: "a replay found that it does not hold")
        assert not is_due(ledger, begun_us)
    ledger.connection.execute("UPDATE link SET frozen = 'history was lost'")
    assert not is_due(ledger, begun_us)
    with pytest.raises(FrozenError):
        checkpoints.append(ledger)


@pytest.mark.fault_tolerance
def test_a_ledger_whose_table_was_altered_says_so_by_its_next_checkpoint(tmp_path: Path, clock: ManualClock) -> None:
    """The table is what a checkpoint states, the events are what it is held against."""
    with new_ledger(tmp_path, clock, MOUSE=5, LAPTOP=2) as ledger:
        assert checkpoints.append(ledger)
        ledger.connection.execute("UPDATE stock SET on_hand = 6 WHERE sku = 'MOUSE'")
        hold(ledger, LAPTOP=1)
        receipt = checkpoints.append(ledger)
        assert receipt is not None
        found = [finding for finding in verify(ledger).findings if "checkpoint" in finding]
        assert found == [
            f"event {receipt.seq}: the checkpoint states other levels than the events come to: look at MOUSE"
        ]


@pytest.mark.fault_tolerance
def test_one_that_the_lost_history_disputes_does_not_keep_a_store_from_rejoining(
    tmp_path: Path, clock: ManualClock
) -> None:
    """The table was altered after the backup, and said so. Whoever rejoins works the levels out from the events."""
    chain = Chain(tmp_path, clock, MOUSE=10)
    backup = chain.backup()
    chain.whole.connection.execute("UPDATE stock SET on_hand = 11 WHERE sku = 'MOUSE'")
    assert checkpoints.append(chain.whole)
    assert verify(chain.whole).findings != []
    checkpoints.append(backup)
    chain.rejoin(backup)
    assert types(backup)[-2:] == ["ledger.checkpoint", "ledger.rebased"]
    assert level(backup, "MOUSE") == (10, 0, 1)
    assert checkpoints.append(backup)
    assert verify(backup).findings == []
    for ledger in chain.opened:
        ledger.close()


@pytest.mark.concurrency
def test_the_levels_are_summed_up_before_the_turn_and_hashed_in_it_for_what_moved_alone(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []
    count = checkpoint.Tally._count

    def watched(self: checkpoint.Tally, sku: str, at: StockLevel, times: int) -> None:
        counted.append(sku)
        count(self, sku, at, times)

    seen: list[int] = []

    def trace(_cursor: apsw.Cursor, sql: str, _bindings: Any) -> bool:
        if sql == "BEGIN IMMEDIATE":
            seen.append(len(counted))
        return True

    monkeypatch.setattr(checkpoint.Tally, "_count", watched)
    ledger.connection.exec_trace = trace
    checkpoints.append(ledger)
    ledger.connection.exec_trace = None
    assert seen == [2]
    assert counted == ["LAPTOP", "MOUSE"]
    assert written(ledger)[-1].type == events.LEDGER_CHECKPOINT

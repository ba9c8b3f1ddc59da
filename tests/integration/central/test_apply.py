"""Events reach the archive and the tables together, once, under the fence, or not at all."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event as sqlalchemy_event

from central import database, postgres, tables
from central.apply import CursorMovedError, apply_intakes
from central.database import writing
from central.fence import FenceLostError
from central.shards import shard_of
from invctl.errors import BusyError
from invctl.model import events
from invctl.model.identifiers import slot_of
from invctl.model.stock import StockLevel
from tests.integration.central.head_office import HeadOffice, each_statement, set_up
from tests.integration.central.histories import START_US, History

if TYPE_CHECKING:
    from sqlalchemy import Table

    from invctl.clock import ManualClock


@pytest.fixture
def traded(history: History) -> History:
    """A short day: two products, goods in, one reservation confirmed in part, one open."""
    history.created()
    history.product("MOUSE-001", "Wireless mouse", 8000)
    history.product("LAPTOP-001", "Laptop", None)
    history.adjust({"MOUSE-001": 100, "LAPTOP-001": 10})
    first = history.reserve({"MOUSE-001": 3, "LAPTOP-001": 1}, order="A-17", clerk="anna")
    history.reserve({"MOUSE-001": 2}, order="", clerk="ben")
    history.end(first, events.RESERVATION_CONFIRMED, {"MOUSE-001": 2})
    return history


@pytest.mark.business
def test_a_day_is_archived_byte_for_byte_and_applied(office: HeadOffice, traded: History) -> None:
    office.admit("downtown")
    applied = office.take(traded)

    archived = office.rows(tables.archive, store="downtown")
    assert [row.body for row in archived] == traded.bodies
    assert [row.hash for row in archived] == traded.hashes[1:]
    assert [row.seq for row in archived] == list(range(1, traded.seq + 1))
    assert archived[3].type == events.STOCK_ADJUSTED
    assert archived[0].time_us == START_US + 1_000
    assert office.levels() == {"MOUSE-001": StockLevel(98, 2, 4), "LAPTOP-001": StockLevel(10, 0, 3)}
    assert [(row.sku, row.name, row.price) for row in office.rows(tables.products)] == [
        ("LAPTOP-001", "Laptop", None),
        ("MOUSE-001", "Wireless mouse", 8000),
    ]
    ended, pending = sorted(office.rows(tables.reservations), key=lambda row: row.status)
    assert (ended.status, ended.order_id, ended.clerk, ended.ended_us) == ("confirmed", "A-17", "anna", traded.now_us)
    assert (pending.status, pending.order_id, pending.ended_us) == ("pending", "", None)
    lines = office.rows(tables.reservation_lines, reservation=ended.reservation)
    assert [(row.sku, row.quantity, row.confirmed, row.released) for row in lines] == [
        ("MOUSE-001", 3, 2, 1),
        ("LAPTOP-001", 1, 0, 1),
    ]
    [store] = office.rows(tables.stores)
    assert (store.name, store.currency, store.timezone) == ("Tech Store Downtown", "USD", "America/New_York")
    assert applied.last_seq == applied.events == traded.seq
    assert (applied.epoch, applied.suspects, applied.doubts, applied.drifts) == (1, 0, (), ())
    assert office.verify().differences == []
    assert office.verify().findings == []


def test_the_cursor_moves_to_the_end_of_the_intake(office: HeadOffice, traded: History) -> None:
    office.admit("downtown")
    office.take(traded, upto=3)
    cursor = office.cursor("downtown")
    assert (cursor.applied_seq, cursor.applied_hash) == (3, traded.hashes[3])
    assert cursor.first_hash == traded.hashes[1]
    office.take(traded)
    assert office.cursor("downtown").applied_seq == traded.seq


@pytest.mark.fault_tolerance
def test_the_same_intake_twice_changes_nothing(office: HeadOffice, traded: History) -> None:
    office.admit("downtown")
    intake = traded.intake()
    office.apply(intake)
    before = office.everything()
    with pytest.raises(CursorMovedError) as caught:
        office.apply(intake)
    assert caught.value.details == {"store": "downtown"}
    assert office.everything() == before


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("wrong", [{"prev_seq": 2}, {"prev_seq": 4}, {"prev_hash": bytes(32)}])
def test_an_intake_that_follows_something_else_is_not_applied(
    office: HeadOffice, traded: History, wrong: dict[str, Any]
) -> None:
    office.admit("downtown")
    office.take(traded, upto=3)
    before = office.everything()
    with pytest.raises(CursorMovedError):
        office.apply(traded.intake(3)._replace(**wrong))
    assert office.everything() == before


@pytest.mark.fault_tolerance
def test_one_cursor_that_moved_stops_the_whole_group(office: HeadOffice, traded: History) -> None:
    other = History(random.Random(2), "midtown")
    other.created()
    office.admit("downtown", "midtown")
    office.take(traded, upto=3)
    before = office.everything()
    with pytest.raises(CursorMovedError) as caught:
        office.apply(other.intake(), traded.intake(2))
    assert caught.value.details == {"store": "downtown"}
    assert office.everything() == before


def test_a_store_that_waits_for_admission_is_not_applied(office: HeadOffice, traded: History) -> None:
    office.register(traded.heard())
    with pytest.raises(CursorMovedError):
        office.apply(traded.intake())
    assert office.rows(tables.archive) == []


def test_another_ledger_under_an_admitted_id_is_not_applied(office: HeadOffice, traded: History) -> None:
    office.register(traded.heard())
    office.admit("downtown")
    twin = History(random.Random(99))
    twin.created()
    with pytest.raises(CursorMovedError):
        office.apply(twin.intake())
    office.apply(traded.intake())


def test_a_store_of_another_shard_is_not_applied(empty_postgres: str, traded: History, clock: ManualClock) -> None:
    set_up(empty_postgres, shards=2)
    office = HeadOffice(empty_postgres, clock)
    office.admit("downtown")
    mine = shard_of(slot_of("downtown"), 2)
    with pytest.raises(CursorMovedError):
        apply_intakes(office.engine, 1 - mine, office.mint(shard=1 - mine), [traded.intake()])
    apply_intakes(office.engine, mine, office.mint(shard=mine), [traded.intake()])
    office.close()


@pytest.mark.concurrency
@pytest.mark.fault_tolerance
def test_the_holder_of_an_older_fence_commits_nothing(office: HeadOffice, traded: History) -> None:
    office.admit("downtown")
    old = office.fence
    new = office.mint("central-2")
    before = office.everything()
    with pytest.raises(FenceLostError):
        apply_intakes(office.engine, 0, old, [traded.intake()], heard=[traded.heard()], fresh={"downtown": START_US})
    assert office.everything() == before
    apply_intakes(office.engine, 0, new, [traded.intake()])
    assert office.cursor("downtown").applied_seq == traded.seq


@pytest.mark.fault_tolerance
def test_a_shard_without_a_fence_takes_nothing(office: HeadOffice, traded: History) -> None:
    office.admit("downtown")
    with pytest.raises(FenceLostError):
        apply_intakes(office.engine, 7, "", [traded.intake()])


@pytest.mark.concurrency
@pytest.mark.parametrize("table", [tables.cursors, tables.levels], ids=lambda table: str(table.name))
def test_what_was_compared_stays_until_it_is_set(
    postgres_url: str, clock: ManualClock, traded: History, monkeypatch: pytest.MonkeyPatch, table: Table
) -> None:
    """Nobody moves a cursor or a level between the reading and the writing of it, fence or not."""
    monkeypatch.setattr(postgres, "LOCK_TIMEOUT_S", 0.05)
    office = HeadOffice(postgres_url, clock)
    office.admit("downtown")
    office.take(traded, upto=5)
    refused: list[BusyError] = []

    def meddle(statement: str) -> None:
        if statement.startswith("INSERT INTO archive"):
            with pytest.raises(BusyError) as caught, writing(meddler) as connection:
                connection.execute(table.delete())
            refused.append(caught.value)

    meddler = database.open_database(postgres_url, clock=clock)
    with each_statement(office.engine, meddle):
        office.take(traded)
    assert len(refused) == 1
    meddler.dispose()
    office.close()


class PulledPlugError(BaseException):
    """The process dies here."""


@pytest.mark.fault_tolerance
def test_dying_before_any_statement_leaves_nothing(office: HeadOffice, traded: History) -> None:
    """Die before each statement in turn, and before the commit: the database is as it was, and the next try works."""
    office.admit("downtown")
    office.take(traded, upto=4)
    statements = _statements_of(office, traded)
    assert statements > 8
    before = office.everything()
    for doomed in range(statements):
        left = [doomed]

        def die(*_: object, left: list[int] = left) -> None:
            if not left[0]:
                raise PulledPlugError
            left[0] -= 1

        with each_statement(office.engine, die), pytest.raises(PulledPlugError):
            office.apply(traded.intake(4), heard=(traded.heard(),), fresh={"downtown": START_US})
        assert office.everything() == before, f"after dying at statement {doomed}"
    sqlalchemy_event.listen(office.engine, "commit", _pull_the_plug)
    with pytest.raises(PulledPlugError):
        office.apply(traded.intake(4))
    sqlalchemy_event.remove(office.engine, "commit", _pull_the_plug)
    assert office.everything() == before
    office.apply(traded.intake(4))
    assert office.verify().differences == []


def _pull_the_plug(*_: object) -> None:
    raise PulledPlugError


def _statements_of(office: HeadOffice, history: History) -> int:
    """Count the statements of an apply, which is then undone."""
    seen: list[str] = []

    sqlalchemy_event.listen(office.engine, "commit", _pull_the_plug)
    with each_statement(office.engine, seen.append), pytest.raises(PulledPlugError):
        office.apply(history.intake(4), heard=(history.heard(),), fresh={"downtown": START_US})
    sqlalchemy_event.remove(office.engine, "commit", _pull_the_plug)
    return len(seen)


def test_positions_count_on_through_all_stores(office: HeadOffice, traded: History) -> None:
    other = History(random.Random(2), "midtown")
    other.created()
    other.product("MOUSE-001")
    office.admit("downtown", "midtown")
    first, second = office.apply(traded.intake(0, 3), other.intake())
    assert (first.positions, second.positions) == ((1, 3), (4, 5))
    third = office.take(traded)
    assert third.positions == (6, 5 + traded.seq - 3)
    positions = sorted(row.position for row in office.rows(tables.archive))
    assert positions == list(range(1, traded.seq + 3))
    assert [row.position for row in office.rows(tables.shards)] == [traded.seq + 2]


def test_a_reservation_that_loses_lines_keeps_none_over(office: HeadOffice, history: History) -> None:
    """No ledger does this; but each event states the whole reservation, and is taken at its word."""
    office.admit("downtown")
    history.created()
    history.adjust({"MOUSE-001": 10, "LAPTOP-001": 10})
    key = history.reserve({"MOUSE-001": 1, "LAPTOP-001": 1})
    office.take(history)
    history.pending[key]["basket"] = {"LAPTOP-001": 1}
    history.extend(key)
    office.take(history)
    assert [row.sku for row in office.rows(tables.reservation_lines)] == ["LAPTOP-001"]


@pytest.mark.parametrize("batches", [1, 2])
def test_a_reservation_keeps_who_opened_it(office: HeadOffice, history: History, batches: int) -> None:
    office.admit("downtown")
    history.created()
    history.adjust({"MOUSE-001": 10})
    key = history.reserve({"MOUSE-001": 1}, clerk="anna")
    if batches == 2:
        office.take(history)
    history.pending[key]["clerk"] = "ben"
    history.end(key, events.RESERVATION_CONFIRMED)
    office.take(history)
    assert [row.clerk for row in office.rows(tables.reservations)] == ["anna"]
    assert office.verify().differences == []


def test_an_unknown_type_is_applied_by_its_lines(office: HeadOffice, history: History) -> None:
    office.admit("downtown")
    history.created()
    history.adjust({"MOUSE-001": 10})
    history.event("inventory.stock.teleported", "x", {"lines": [history.moved("MOUSE-001", 5, 0)], "why": {"a": [1]}})
    applied = office.take(history)
    assert office.levels()["MOUSE-001"] == StockLevel(15, 0, 2)
    assert applied.suspects == 0
    assert office.rows(tables.archive, seq=3)[0].type == "inventory.stock.teleported"


def test_rebased_moves_the_epoch_and_a_checkpoint_is_only_archived(office: HeadOffice, history: History) -> None:
    office.admit("downtown")
    history.created()
    history.event(events.LEDGER_CHECKPOINT, "downtown", {"digest": "00"})
    assert office.take(history).epoch == 1
    history.event(events.LEDGER_REBASED, "downtown", {"epoch": 4, "boot": "b2"})
    assert office.take(history).epoch == 4
    assert office.cursor("downtown").epoch == 4
    assert office.verify().differences == []


def test_what_a_store_says_of_itself_is_kept(office: HeadOffice, traded: History, clock: ManualClock) -> None:
    office.admit("downtown")
    now = clock.now_us()
    office.apply(heard=(traded.heard(now, head=3),))
    [row] = office.rows(tables.cursors)
    assert (row.boot, row.head_seq, row.head_hash, row.heard_us) == ("b1", 3, traded.hashes[3], now)


@pytest.mark.fault_tolerance
def test_a_late_frame_does_not_take_the_head_back(office: HeadOffice, traded: History) -> None:
    office.admit("downtown")
    office.apply(heard=(traded.heard(START_US),))
    office.apply(heard=(traded.heard(START_US + 5, head=2),))
    [row] = office.rows(tables.cursors)
    assert (row.head_seq, row.head_hash, row.heard_us) == (traded.seq, traded.hashes[-1], START_US + 5)
    # Another boot may have another ledger: one that was restored.
    office.apply(heard=(traded.heard(START_US + 9, boot="b2", head=2),))
    [row] = office.rows(tables.cursors)
    assert (row.head_seq, row.head_hash, row.boot) == (2, traded.hashes[2], "b2")


def test_freshness_only_grows(office: HeadOffice, traded: History) -> None:
    office.admit("downtown")
    office.apply(traded.intake(), fresh={"downtown": START_US + 10})
    office.apply(fresh={"downtown": START_US + 5})
    assert office.rows(tables.cursors)[0].fresh_us == START_US + 10
    office.apply(fresh={"downtown": START_US + 20})
    assert office.rows(tables.cursors)[0].fresh_us == START_US + 20

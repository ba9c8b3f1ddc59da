"""A checkpoint, as it is applied: what drifted is rebuilt, what the store disputes is doubted, the rest confirmed."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, insert, update

from central import agreement, facts, tables
from central.agreement import Agreement
from central.database import writing
from central.state import Drift
from invctl.clock import ManualClock
from invctl.ledger import adjustments, checkpoints, products, reservations, seeding
from invctl.ledger.ledger import Ledger
from invctl.ledger.outbox import LedgerOutbox
from invctl.model import events
from invctl.model.chain import links
from invctl.model.stock import EMPTY, StockLevel
from invctl.sync.cursor import Intake
from tests.integration.central.head_office import each_statement

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.sql.dml import UpdateBase

    from tests.integration.central.head_office import HeadOffice
    from tests.integration.central.histories import History

pytestmark = pytest.mark.fault_tolerance

SKUS = [f"SKU-{number:03d}" for number in range(40)]
OTHER = {"SKU-001": StockLevel(14, 0, 2)}


@pytest.fixture(autouse=True)
def stocked(office: HeadOffice, history: History) -> None:
    office.admit("downtown")
    history.created()
    for sku in SKUS:
        history.product(sku)
    history.adjust(dict.fromkeys(SKUS, 10))
    history.adjust({"SKU-001": 5})
    office.take(history)


def tamper(office: HeadOffice, *statements: UpdateBase) -> None:
    with writing(office.engine) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def set_level(sku: str, **values: Any) -> UpdateBase:
    return update(tables.levels).where(tables.levels.c.sku == sku).values(**values)


def stated(office: HeadOffice, history: History, **other: StockLevel) -> tuple[int, Agreement]:
    """Let the store state its levels, and return what came of it."""
    seq = history.state(**other)
    found = office.take(history).agreement
    assert found is not None
    assert found.seq == seq
    return seq, found


def test_levels_that_agree_are_left_alone(office: HeadOffice, history: History) -> None:
    before = office.everything()["levels"]
    seq, found = stated(office, history)
    assert found == Agreement(seq, len(SKUS), agreed=True, agrees=True)
    assert office.everything()["levels"] == before
    assert office.take(history_after(history)).agreement is None


def history_after(history: History) -> History:
    history.adjust({"SKU-002": 1})
    return history


def test_it_is_compared_with_the_levels_as_of_its_event(office: HeadOffice, history: History) -> None:
    """What came before it in the same transaction counts, what comes after it does not."""
    history.adjust({"SKU-003": 1, "NEW-001": 2})
    history.product("NEW-002")
    seq = history.state()
    history.adjust({"SKU-003": 7})
    applied = office.take(history)
    assert applied.agreement == Agreement(seq, len(SKUS) + 1, agreed=True, agrees=True)
    assert office.levels() == history.levels


def test_of_several_in_a_run_the_last_counts(office: HeadOffice, history: History) -> None:
    history.state(**OTHER)
    history.adjust({"SKU-003": 1})
    seq, found = stated(office, history)
    assert found == Agreement(seq, len(SKUS), agreed=True, agrees=True)
    assert office.suspects() == {}


@pytest.mark.parametrize("values", [{"on_hand": 99}, {"reserved": 1}, {"version": 7}, {"on_hand": 10, "version": 1}])
def test_a_row_that_drifted_is_named_and_rebuilt_from_the_archive(
    office: HeadOffice, history: History, values: dict[str, int]
) -> None:
    """It last moved in an earlier event, of which the row says so again."""
    tamper(office, set_level("SKU-001", **values, seq=1))
    history.adjust({"SKU-002": 1})
    seq = history.state()
    applied = office.take(history)
    assert applied.agreement == Agreement(seq, len(SKUS), agreed=False, agrees=True, rebuilt=("SKU-001",))
    had = StockLevel(15, 0, 2)._replace(**values)
    assert applied.drifts == (Drift("SKU-001", had, StockLevel(15, 0, 2)),)
    assert (applied.doubts, applied.suspects) == ((), 0)
    assert office.levels() == history.levels
    assert office.verify().differences == []


def test_rows_that_are_gone_come_back(office: HeadOffice, history: History) -> None:
    tamper(office, delete(tables.levels))
    _, found = stated(office, history)
    assert (found.agrees, found.rebuilt) == (True, tuple(SKUS))
    assert office.levels() == history.levels
    assert office.verify().differences == []


def test_a_row_of_what_the_store_never_moved_is_emptied(office: HeadOffice, history: History) -> None:
    ghost = {"store": "downtown", "sku": "GHOST-1", "on_hand": 3, "reserved": 0, "version": 1, "seq": 1}
    tamper(office, insert(tables.levels).values(ghost))
    _, found = stated(office, history)
    assert (found.agrees, found.rebuilt) == (True, ("GHOST-1",))
    assert office.levels() == history.levels | {"GHOST-1": EMPTY}


def test_a_level_that_the_store_disputes_is_suspect_and_stays_as_its_events_say(
    office: HeadOffice, history: History
) -> None:
    levels = office.levels()
    seq = history.state(**OTHER)
    applied = office.take(history)
    assert applied.agreement == Agreement(seq, len(SKUS), agreed=False, agrees=False, differing=("SKU-001",))
    assert [(each.sku, each.seq, each.reason) for each in applied.doubts] == [("SKU-001", seq, "checkpoint_differs")]
    assert applied.suspects == 1
    assert office.levels() == levels
    found = office.verify()
    assert found.ok
    assert found.findings == [
        f"event {seq}: the checkpoint states other levels than the events come to: look at SKU-001"
    ]


def test_a_disputed_level_is_rebuilt_first(office: HeadOffice, history: History) -> None:
    tamper(office, set_level("SKU-001", on_hand=99))
    _, found = stated(office, history, **OTHER)
    assert (found.agrees, found.rebuilt, found.differing) == (False, ("SKU-001",), ("SKU-001",))
    assert office.levels() == history.levels
    assert office.suspects() == {"SKU-001": "checkpoint_differs"}


def test_what_moved_in_the_same_run_and_is_disputed_is_suspect(office: HeadOffice, history: History) -> None:
    history.adjust({"SKU-001": 1})
    _, found = stated(office, history, **OTHER)
    assert (found.rebuilt, found.differing) == ((), ("SKU-001",))
    assert office.levels() == history.levels


def test_the_next_checkpoint_that_agrees_settles_it(office: HeadOffice, history: History) -> None:
    stated(office, history, **OTHER)
    seq, found = stated(office, history)
    assert found == Agreement(seq, len(SKUS), agreed=True, agrees=True, cleared=1)
    assert office.suspects() == {}


def test_a_count_settles_it_too(office: HeadOffice, history: History) -> None:
    stated(office, history, **OTHER)
    history.levels["SKU-001"] = OTHER["SKU-001"]
    history.adjust({"SKU-001": 2}, "cycle_count")
    assert office.take(history).suspects == 0
    _, found = stated(office, history)
    assert found.agreed


def test_what_a_count_settled_and_the_store_disputes_in_the_same_run_is_in_doubt_again(
    office: HeadOffice, history: History
) -> None:
    stated(office, history, **OTHER)
    history.adjust({"SKU-001": 0}, "cycle_count")
    seq = history.state(**OTHER)
    applied = office.take(history)
    assert (applied.suspects, [each.seq for each in applied.doubts]) == (1, [seq])
    assert [row.seq for row in office.rows(tables.suspects)] == [seq]


def test_what_does_not_follow_is_settled_by_the_stores_own_word(office: HeadOffice, history: History) -> None:
    history.levels["SKU-001"] = StockLevel(50, 0, 40)
    history.adjust({"SKU-001": 1})
    assert office.take(history).suspects == 1
    seq = history.state()
    applied = office.take(history)
    assert applied.suspects == 0
    assert applied.agreement == Agreement(seq, len(SKUS), agreed=True, agrees=True, cleared=1)
    assert office.suspects() == {}


def test_of_two_suspects_the_one_that_is_confirmed_is_settled(office: HeadOffice, history: History) -> None:
    for sku in ("SKU-001", "SKU-002"):
        history.levels[sku] = StockLevel(50, 0, 40)
        history.adjust({sku: 1})
    office.take(history)
    seq = history.state(**OTHER)
    applied = office.take(history)
    assert (applied.suspects, applied.doubts) == (1, ())
    assert applied.agreement == Agreement(seq, len(SKUS), agreed=False, agrees=False, differing=("SKU-001",), cleared=1)
    assert office.suspects() == {"SKU-001": "does_not_follow"}


def test_an_impossible_level_stays_in_doubt_though_the_store_states_it(office: HeadOffice, history: History) -> None:
    history.adjust({"SKU-001": -50}, "correction")
    office.take(history)
    _, found = stated(office, history)
    assert (found.agreed, found.cleared) == (True, 0)
    assert office.suspects() == {"SKU-001": "impossible_level"}


def test_a_doubt_that_comes_after_it_in_the_same_run_stands(office: HeadOffice, history: History) -> None:
    history.state()
    history.levels["SKU-001"] = StockLevel(50, 0, 40)
    history.adjust({"SKU-001": 1})
    applied = office.take(history)
    assert (applied.suspects, office.suspects()) == (1, {"SKU-001": "does_not_follow"})


def test_only_this_stores_levels_count(office: HeadOffice, history: History) -> None:
    office.admit("midtown")
    other = {"store": "midtown", "sku": "SKU-001", "on_hand": 3, "reserved": 0, "version": 1, "seq": 1}
    doubt = {"store": "midtown", "sku": "SKU-001", "reason": "unreadable", "seq": 1, "since_us": 1}
    tamper(office, insert(tables.levels).values(other), insert(tables.suspects).values(doubt))
    _, found = stated(office, history)
    assert found.agreed
    assert office.suspects("midtown") == {"SKU-001": "unreadable"}


def test_a_sku_that_head_office_never_heard_of_is_told_without_a_name(office: HeadOffice, history: History) -> None:
    _, found = stated(office, history, **{"GHOST-1": StockLevel(3, 0, 1)})
    assert (found.agreed, found.agrees, found.rebuilt, found.differing) == (False, False, (), ())


@pytest.mark.parametrize("body", [b'{"form":"blake2b-256-sum"}', b'{"form":"of-later-days"}', b"{}"])
def test_one_that_is_malformed_or_of_later_days_is_kept_and_not_compared(
    office: HeadOffice, history: History, body: bytes
) -> None:
    history.event(events.LEDGER_CHECKPOINT, "downtown", {})
    whole = history.bodies.pop().replace(b'"data":{}', b'"data":' + body)
    history.hashes.pop()
    seq = history.raw(whole)
    applied = office.take(history)
    assert (applied.agreement, applied.doubts) == (None, ())
    assert office.rows(tables.archive, seq=seq)[0].body == whole
    assert office.verify().ok


def test_one_that_many_known_events_follow_is_left_to_the_next(
    office: HeadOffice, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that was offline for a month brings hundreds of them."""
    monkeypatch.setattr(agreement, "BEHIND_MAX", 5)
    history.state(**OTHER)
    first = history.seq
    for _ in range(6):
        history.adjust({"SKU-002": 1})
    history.state(**OTHER)
    last = history.seq
    applied = office.apply(history.intake(first - 1, first), heard=(history.heard(),))
    assert applied[0].agreement is None
    applied = office.apply(history.intake(first, last), heard=(history.heard(),))
    assert applied[0].agreement is not None


def test_so_many_levels_are_read_in_one_transaction_and_of_one_store_any_number(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "SKUS_MAX", 2 * len(SKUS) + 1)
    seq = history.state()
    many = [(history.intake(seq - 1)._replace(store=store)) for store in ("a", "b", "c")]
    runs = {intake.store: [facts.read(seq, intake.bodies[0])] for intake in many}
    assert list(agreement.to_compare(many, runs, [])) == ["a", "b"]
    monkeypatch.setattr(agreement, "SKUS_MAX", 1)
    assert list(agreement.to_compare(many, runs, [])) == ["a"]


def test_from_one_checkpoint_only_so_many_become_suspect(
    office: HeadOffice, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "SUSPECTS_MAX", 3)
    stated(office, history, **dict.fromkeys(SKUS, StockLevel(1, 0, 9)))
    assert sorted(office.suspects()) == SKUS[:3]


@pytest.mark.business
def test_a_real_ledger_and_head_office_come_to_the_same(office: HeadOffice, tmp_path: Path) -> None:
    """Products that never moved, reservations in every state, a count, a reset: at each step both state the same."""
    clock = ManualClock()
    office.admit("queens")
    with Ledger.create(tmp_path, "queens", clock=clock, chance=Random(3)) as ledger:
        for sku in ("MOUSE", "LAPTOP", "CABLE"):
            products.add(ledger, sku, sku.title())
        adjustments.adjust(ledger, {"MOUSE": 10, "LAPTOP": 3}, "received")
        agreed_with(office, ledger)
        held = [reservations.reserve(ledger, {"MOUSE": 2, "LAPTOP": 1}, hold_s=60) for _ in range(3)]
        keys = [str(receipt.event.data["reservation"]) for receipt in held]
        agreed_with(office, ledger)
        reservations.confirm(ledger, keys[0], {"MOUSE": 1})
        reservations.cancel(ledger, keys[1])
        clock.advance(61)
        reservations.expire(ledger)
        adjustments.adjust(ledger, {"CABLE": 0}, "cycle_count")
        agreed_with(office, ledger)
        seeding.reset(ledger)
        agreed_with(office, ledger)


def agreed_with(office: HeadOffice, ledger: Ledger) -> None:
    assert checkpoints.append(ledger)
    cursor = office.cursor(ledger.store.store)
    run = LedgerOutbox(ledger).read(cursor.applied_seq, 1000, 1_000_000)
    hashes = links(run.prev_hash, cursor.applied_seq + 1, run.bodies)
    [applied] = office.apply(Intake(ledger.store.store, cursor.applied_seq, run.prev_hash, run.bodies, hashes))
    assert applied.agreement is not None
    assert applied.agreement.agreed


def test_it_takes_so_many_statements_whatever_the_number_of_levels(office: HeadOffice, history: History) -> None:
    counted: list[str] = []

    with each_statement(office.engine, counted.append):
        stated(office, history)
        few = len(counted)
        history.adjust({f"MORE-{number:03d}": 1 for number in range(300)})
        office.take(history)
        counted.clear()
        stated(office, history)
    assert few > 5
    assert len(counted) == few

"""Stores are heard of, admitted, and bound to the ledger that they were admitted with."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event as sqlalchemy_event

from central import cursors, postgres, shards, stores, tables
from central.database import reading, writing
from central.stores import Admission
from invctl.errors import InvalidValueError, NotFoundError, RefusedError
from invctl.model.chain import GENESIS
from invctl.model.identifiers import slot_of
from invctl.sync.cursor import Cursor, Heard
from tests.integration.central.head_office import HeadOffice
from tests.integration.central.histories import START_US, History

if TYPE_CHECKING:
    from invctl.clock import ManualClock


@pytest.fixture
def downtown(history: History) -> History:
    history.created()
    return history


def admit(office: HeadOffice, store: str) -> Admission:
    with writing(office.engine) as connection:
        admission = stores.admit(connection, store)
        connection.commit()
    return admission


@pytest.mark.business
def test_a_newcomer_waits_and_is_listed(office: HeadOffice, downtown: History) -> None:
    [cursor] = office.register(downtown.heard(START_US))
    assert cursor == Cursor("downtown", False, downtown.hashes[1], 1, 0, GENESIS)
    [row] = office.rows(tables.stores)
    assert (row.status, row.slot, row.shard) == ("pending", slot_of("downtown"), 0)
    assert (row.first_heard_us, row.admitted_us) == (START_US, None)
    [heard] = office.rows(tables.cursors)
    assert (heard.head_seq, heard.head_hash, heard.boot) == (1, downtown.hashes[1], "b1")


def test_hearing_a_newcomer_again_changes_when_and_what_but_not_since(office: HeadOffice, downtown: History) -> None:
    office.register(downtown.heard(START_US))
    downtown.product("MOUSE-001")
    office.register(downtown.heard(START_US + 7))
    [row] = office.rows(tables.stores)
    assert row.first_heard_us == START_US
    [heard] = office.rows(tables.cursors)
    assert (heard.heard_us, heard.head_seq) == (START_US + 7, 2)


@pytest.mark.business
def test_admission_binds_a_store_to_the_ledger_that_was_heard(
    office: HeadOffice, downtown: History, clock: ManualClock
) -> None:
    office.register(downtown.heard())
    assert admit(office, "downtown") == Admission("downtown", False, True, downtown.hashes[1])
    assert office.cursor("downtown").admitted
    if office.engine.dialect.name == "sqlite":
        assert office.rows(tables.stores)[0].admitted_us == clock.now_us()
    # Another ledger that speaks under its id now changes nothing.
    twin = History(random.Random(5))
    twin.created()
    [cursor] = office.register(twin.heard())
    assert (cursor.admitted, cursor.first_hash) == (True, downtown.hashes[1])


def test_the_ledger_that_spoke_last_is_the_one_that_is_admitted(office: HeadOffice, downtown: History) -> None:
    office.register(downtown.heard())
    again = History(random.Random(5))
    again.created()
    office.register(again.heard())
    assert admit(office, "downtown").first_hash == again.hashes[1]


def test_admitting_twice_is_said(office: HeadOffice, downtown: History) -> None:
    office.register(downtown.heard())
    admit(office, "downtown")
    first = office.rows(tables.stores)
    assert admit(office, "downtown") == Admission("downtown", True, True, downtown.hashes[1])
    assert office.rows(tables.stores) == first


def test_a_store_admitted_before_it_spoke_is_bound_by_its_first_event(office: HeadOffice, downtown: History) -> None:
    assert admit(office, "downtown") == Admission("downtown", False, False, None)
    assert office.cursor("downtown") == Cursor("downtown", True, None, 1, 0, GENESIS)
    [applied] = office.apply(downtown.intake())
    assert office.cursor("downtown").first_hash == downtown.hashes[1]
    assert office.rows(tables.stores)[0].first_heard_us == applied.applied_us
    assert admit(office, "downtown") == Admission("downtown", True, True, downtown.hashes[1])


def test_a_store_admitted_before_it_spoke_comes_back_as_admitted(office: HeadOffice, downtown: History) -> None:
    admit(office, "downtown")
    [cursor] = office.register(downtown.heard(START_US))
    assert cursor.admitted
    assert office.rows(tables.stores)[0].first_heard_us == START_US


def test_a_ledger_whose_identity_is_not_known_yet_does_not_forget_it(office: HeadOffice, downtown: History) -> None:
    """A frame of events does not carry the first hash; the receiver then says zeros."""
    office.register(downtown.heard())
    [cursor] = office.register(downtown.heard()._replace(first_hash=GENESIS))
    assert cursor.first_hash == downtown.hashes[1]


@pytest.mark.parametrize("admit_any", [True, False])
def test_for_a_demo_all_are_admitted_once(
    office: HeadOffice, downtown: History, clock: ManualClock, *, admit_any: bool
) -> None:
    [cursor] = office.register(downtown.heard(), admit_any=True)
    assert cursor.admitted
    before = office.rows(tables.stores)
    clock.advance(5)
    office.register(downtown.heard(), admit_any=admit_any)
    assert office.rows(tables.stores) == before
    assert before[0].admitted_us is not None


def test_one_that_waits_is_admitted_when_all_are(office: HeadOffice, downtown: History) -> None:
    office.register(downtown.heard())
    assert office.register(downtown.heard(), admit_any=True)[0].admitted


def heard(store: str) -> Heard:
    return Heard(store, "b1", 1, 0, GENESIS, GENESIS, START_US)


@pytest.mark.fault_tolerance
def test_there_is_an_end_to_those_that_wait(office: HeadOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PENDING_MAX", 3)
    office.register(heard("s1"), heard("s2"))
    office.admit("s2")
    known = office.register(heard("s1"), heard("s3"), heard("s4"), heard("s5"))
    assert [cursor.store for cursor in known] == ["s1", "s3", "s4"]
    assert office.register(heard("s6")) == []
    assert [row.store for row in office.rows(tables.stores)] == ["s1", "s2", "s3", "s4"]
    assert office.register(heard("s6"), admit_any=True)[0].store == "s6"


@pytest.mark.parametrize("store", ["", "Downtown", "-x", "a" * 33, "a/b"])
def test_what_is_no_store_id_is_not_admitted(office: HeadOffice, store: str) -> None:
    with pytest.raises(InvalidValueError):
        admit(office, store)


@pytest.mark.concurrency
def test_an_admission_does_not_wait_behind_an_apply(
    postgres_url: str, clock: ManualClock, downtown: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "LOCK_TIMEOUT_S", 0.2)
    office = HeadOffice(postgres_url, clock)
    office.admit("downtown")
    office.take(downtown)
    downtown.adjust({"MOUSE-001": 1})
    held: list[Admission] = []

    def admit_meanwhile(*_: object) -> None:
        """All rows of the apply are written, and locked, at this point."""
        if not held:
            held.append(Admission("", already=False, heard=False, first_hash=None))
            held[:] = [admit(office, "downtown"), admit(office, "midtown")]
            office.register(heard("brooklyn"))

    sqlalchemy_event.listen(office.engine, "commit", admit_meanwhile)
    office.take(downtown)
    assert [each.already for each in held] == [True, False]
    office.close()


def test_cursors_are_loaded_by_shard_with_their_suspects(office: HeadOffice, downtown: History) -> None:
    downtown.adjust({"MOUSE-001": -1, "LAPTOP-001": -1}, "correction")
    office.admit("downtown", "midtown")
    office.apply(downtown.intake())
    with reading(office.engine) as connection:
        loaded = cursors.load_cursors(connection, 0)
        assert cursors.load_cursors(connection, 1) == []
        assert cursors.load_cursor(connection, "nowhere") is None
    assert loaded == [
        Cursor("downtown", True, downtown.hashes[1], 1, 2, downtown.hashes[2], 2),
        Cursor("midtown", True, None, 1, 0, GENESIS),
    ]


def test_on_several_shards_a_store_belongs_to_the_one_of_its_slot(empty_postgres: str, clock: ManualClock) -> None:
    from central.database import open_database
    from central.migrations import migrate

    engine = open_database(empty_postgres, clock=clock)
    migrate(engine)
    with writing(engine) as connection:
        shards.found(connection, 4)
        stores.admit(connection, "downtown")
        connection.commit()
    with reading(engine) as connection:
        mine = shards.shard_of(slot_of("downtown"), 4)
        assert mine != 0
        for shard in range(4):
            found = [cursor.store for cursor in cursors.load_cursors(connection, shard)]
            assert found == (["downtown"] if shard == mine else [])
    engine.dispose()


@pytest.mark.business
def test_a_name_that_nobody_spoke_under_is_not_admitted_unless_that_is_meant(office: HeadOffice) -> None:
    with writing(office.engine) as connection, pytest.raises(NotFoundError):
        stores.admit(connection, "downtwon", unheard=False)
    assert office.rows(tables.stores) == []
    assert not admit(office, "downtwon").already


@pytest.mark.business
def test_a_store_is_removed_as_long_as_nothing_of_it_is_applied(office: HeadOffice, downtown: History) -> None:
    def remove() -> None:
        with writing(office.engine) as connection:
            stores.remove(connection, "downtown")
            connection.commit()

    with pytest.raises(NotFoundError):
        remove()
    office.register(downtown.heard(START_US))
    admit(office, "downtown")
    remove()
    assert office.rows(tables.stores) == office.rows(tables.cursors) == []
    admit(office, "downtown")
    office.take(downtown)
    with pytest.raises(RefusedError):
        remove()
    assert len(office.rows(tables.stores)) == 1

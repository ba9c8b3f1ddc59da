from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from invctl.clock import ManualClock, SystemClock
from invctl.errors import InvalidValueError, NotFoundError, RefusedError
from invctl.ledger import database, migrations, products, reads
from invctl.ledger.ledger import FILE, Ledger, Store, SystemBits
from invctl.ledger.verify import verify
from invctl.ledger.writing import Origin
from invctl.model import events
from tests.unit.ledger.support import head, level, new_ledger, tables, types, written

if TYPE_CHECKING:
    from collections.abc import Callable

WAYS_IN: list[Callable[[Path], Ledger]] = [Ledger.open, lambda home: Ledger.create(home, "downtown")]


def test_a_new_ledger_begins_with_the_event_that_says_whose_it_is(tmp_path: Path, clock: ManualClock) -> None:
    home = tmp_path / "stores" / "downtown"
    origin = Origin(clerk="ann", trace=f"00-{'a' * 32}-{'b' * 16}-01")
    facts = Store("downtown", "Tech Store Downtown", "EUR", "America/New_York", 1)
    with Ledger.create(
        home, "downtown", name=facts.name, currency="EUR", timezone="America/New_York", clock=clock, origin=origin
    ) as ledger:
        (event,) = written(ledger)
        assert (event.type, event.store, event.subject) == (events.LEDGER_CREATED, "downtown", "downtown")
        assert event.data == facts._asdict()
        assert event.trace == origin.trace
    with Ledger.open(home) as ledger:
        assert ledger.store == facts
        assert verify(ledger).findings == []


def test_without_a_name_a_store_is_called_by_its_id(tmp_path: Path) -> None:
    with Ledger.create(tmp_path, "downtown") as ledger:
        assert ledger.store == Store("downtown", "downtown", "USD", "UTC", 1)
        assert isinstance(ledger.clock, SystemClock)


@pytest.mark.parametrize(
    ("store", "facts"),
    [
        ("Downtown", {}),
        ("", {}),
        ("-", {}),
        ("a" * 33, {}),
        ("\ud800", {}),
        ("downtown", {"name": "\ud800"}),
        ("downtown", {"name": "a\0b"}),
        ("downtown", {"name": "   "}),
        ("downtown", {"name": "x" * 201}),
        ("downtown", {"currency": "usd"}),
        ("downtown", {"currency": "DOLLAR"}),
        ("downtown", {"timezone": ""}),
        ("downtown", {"timezone": "New York"}),
        ("downtown", {"timezone": "x" * 65}),
        ("downtown", {"origin": Origin(clerk="\n")}),
    ],
)
def test_nothing_is_opened_under_a_value_that_is_not_of_its_form(
    tmp_path: Path, store: str, facts: dict[str, Any]
) -> None:
    with pytest.raises(InvalidValueError) as caught:
        Ledger.create(tmp_path / "home", store, **facts)
    assert caught.value.hint
    assert not (tmp_path / "home").exists()


def test_a_second_opening_is_told_whose_ledger_there_is(tmp_path: Path, clock: ManualClock) -> None:
    with new_ledger(tmp_path, clock, MOUSE=5) as ledger:
        before = tables(ledger)
        with pytest.raises(RefusedError, match="there is a ledger here already, of store downtown"):
            Ledger.create(tmp_path, "midtown")
        assert tables(ledger) == before


def test_a_cut_off_opening_is_no_ledger_and_can_be_completed(tmp_path: Path, clock: ManualClock) -> None:
    # Each is what a kill leaves behind: a file without content, one in WAL mode, one with a schema and no first event.
    for stage in range(3):
        home = tmp_path / str(stage)
        home.mkdir()
        (home / FILE).touch()
        if stage:
            connection = database.connect(home / FILE, create=True)
            connection.pragma("journal_mode", "wal")
            if stage == 2:
                migrations.migrate(connection)
            connection.close()
        with pytest.raises(NotFoundError, match="there is no ledger") as caught:
            Ledger.open(home)
        assert "invctl init" in caught.value.hint
        with new_ledger(home, clock, MOUSE=5) as ledger:
            assert level(ledger, "MOUSE") == (5, 0, 1)


def test_an_opening_that_fails_gives_its_file_back(tmp_path: Path) -> None:
    with Ledger.create(tmp_path, "downtown"):
        pass
    opened: list[apsw.Connection] = []
    apsw.connection_hooks.append(opened.append)
    try:
        with pytest.raises(RefusedError):
            Ledger.create(tmp_path, "midtown")
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / FILE).touch()
        with pytest.raises(NotFoundError):
            Ledger.open(tmp_path / "empty")
    finally:
        apsw.connection_hooks.remove(opened.append)
    assert len(opened) == 2
    for connection in opened:
        with pytest.raises(apsw.ConnectionClosedError):
            connection.execute("SELECT 1")


def test_a_ledger_that_is_closed_has_no_file_open(tmp_path: Path, clock: ManualClock) -> None:
    def mine() -> list[str]:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return [name for name in map(os.path.realpath, links) if name.startswith(str(tmp_path))]

    with new_ledger(tmp_path, clock, MOUSE=5):
        assert len(mine()) == 4
    assert mine() == []


def test_where_there_is_nothing_there_is_no_ledger_and_none_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for home in (tmp_path, tmp_path / "nowhere", tmp_path / "file" / "below"):
        with pytest.raises(NotFoundError, match="there is no ledger"):
            Ledger.open(home)
    assert not (tmp_path / FILE).exists()
    assert not (tmp_path / "nowhere").exists()


def test_no_ledger_is_opened_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RefusedError, match="no folder can be made"):
            Ledger.create(home, "downtown")


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    for way_in in WAYS_IN:
        with pytest.raises(RefusedError, match="cannot be opened"):
            way_in(tmp_path)


@pytest.mark.parametrize("version", [0, 1])
def test_another_programs_database_is_left_as_it_is(tmp_path: Path, version: int) -> None:
    connection = apsw.Connection(str(tmp_path / FILE))
    connection.execute(f"CREATE TABLE cats (name TEXT); PRAGMA user_version = {version}").fetchall()
    connection.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(RefusedError):
        Ledger.create(tmp_path, "downtown")
    with pytest.raises(NotFoundError if version == 0 else RefusedError):
        Ledger.open(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_ledger_newer_than_the_program_is_refused(tmp_path: Path, clock: ManualClock) -> None:
    with new_ledger(tmp_path, clock, MOUSE=5) as ledger:
        ledger.connection.execute(f"PRAGMA user_version = {migrations.NEWEST + 1}")
    for way_in in WAYS_IN:
        with pytest.raises(RefusedError, match=f"format {migrations.NEWEST + 1}, this program knows") as caught:
            way_in(tmp_path)
        assert "newer invctl" in caught.value.hint


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("version", [0, -1, -(2**31), 10_000, 2**31 - 1])
def test_a_header_that_says_another_format_than_any_there_is_says_damage(
    tmp_path: Path, clock: ManualClock, version: int
) -> None:
    with new_ledger(tmp_path, clock, MOUSE=5) as ledger:
        ledger.connection.execute(f"PRAGMA user_version = {version}")
        ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    before = (tmp_path / FILE).read_bytes()
    for way_in in WAYS_IN:
        with pytest.raises(RefusedError) as caught:
            way_in(tmp_path)
        assert caught.value.code == "damaged"
        assert "invctl restore" in caught.value.hint
    assert (tmp_path / FILE).read_bytes() == before


def test_a_step_that_fails_leaves_the_ledger_at_the_step_before(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_ledger(tmp_path, clock, MOUSE=5) as ledger:
        before = tables(ledger)
    steps, newest = migrations.STEPS, migrations.NEWEST
    step = "CREATE TABLE more (x INTEGER) STRICT; SELECT 1; INSERT INTO more VALUES (1);"
    for last, fails in (("INSERT INTO nowhere VALUES (1);", True), ("", False)):
        monkeypatch.setattr(migrations, "STEPS", (*steps, step + last))
        monkeypatch.setattr(migrations, "NEWEST", newest + 1)
        if fails:
            with pytest.raises(RefusedError, match="nowhere"):
                Ledger.open(tmp_path)
            connection = database.connect(tmp_path / FILE)
            assert migrations.version_of(connection) == newest
            assert connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'more'").fetchall() == []
            connection.close()
        else:
            # All statements of a step run, also those after one that returns a row.
            with Ledger.open(tmp_path) as ledger:
                assert tables(ledger) == {**before, "more": [(1,)]}


def test_an_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "SQLITE_VERSION_NUMBER", 3_051_002)
    with pytest.raises(RefusedError, match="may corrupt a shared WAL file"):
        Ledger.create(tmp_path, "downtown")


def test_every_connection_is_set_up_alike(tmp_path: Path, clock: ManualClock) -> None:
    new_ledger(tmp_path, clock).close()
    with Ledger.open(tmp_path) as ledger:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers")
        assert [ledger.connection.pragma(name) for name in pragmas] == ["wal", 2, 1, 1]


def test_what_was_written_is_there_when_it_is_opened_again(tmp_path: Path, clock: ManualClock) -> None:
    with new_ledger(tmp_path, clock, MOUSE=5) as ledger:
        before = tables(ledger)
    with Ledger.open(tmp_path, clock=clock, chance=Random(2)) as ledger:
        assert tables(ledger) == before
        products.add(ledger, "PHONE", "Phone")
        assert head(ledger) == len(before["events"]) + 1
        assert types(ledger)[-1] == "product.added"


def test_leaving_without_a_commit_undoes(tmp_path: Path, clock: ManualClock) -> None:
    with new_ledger(tmp_path, clock, MOUSE=5) as ledger:
        before = tables(ledger)
        with ledger.write() as write:
            products.insert(write, {"sku": "PHONE", "name": "Phone", "price": None}, Origin())
        assert tables(ledger) == before
        with ledger.write() as write:
            products.insert(write, {"sku": "PHONE", "name": "Phone", "price": None}, Origin())
            write.commit()
        assert reads.stock(ledger, "PHONE")[0]


def test_the_systems_own_chance_gives_so_many_bits_and_uses_all_of_them() -> None:
    chance = SystemBits()
    for bits in (1, 5, 8, 128):
        drawn = [chance.getrandbits(bits) for _ in range(400)]
        assert max(drawn) < 1 << bits
        # Each bit is seen set and not set: that one is not has a chance of 1 in 10^120.
        assert [any(number >> bit & 1 for number in drawn) for bit in range(bits)] == [True] * bits
        assert [all(number >> bit & 1 for number in drawn) for bit in range(bits)] == [False] * bits

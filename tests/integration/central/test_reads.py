"""What the command line reads, and how fresh it says it is."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event as sqlalchemy_event

from central import centrals, reads, tables
from central.database import reading, writing
from central.freshness import Freshness
from invctl.errors import NotFoundError
from invctl.model import events
from tests.integration.central.head_office import HeadOffice
from tests.integration.central.histories import HOLD_US, START_US, History

if TYPE_CHECKING:
    from collections.abc import Iterator

    from invctl.clock import ManualClock


@pytest.fixture
def histories() -> list[History]:
    made = []
    for seed, store in enumerate(("downtown", "midtown")):
        history = History(random.Random(seed), store)
        history.created(f"Tech Store {store.title()}")
        history.product("MOUSE-001", "Wireless mouse", 8000)
        history.adjust({"MOUSE-001": 10, "LAPTOP-001": 3})
        made.append(history)
    made[0].reserve({"MOUSE-001": 4, "LAPTOP-001": 1}, order="A-17", clerk="anna")
    return made


@pytest.fixture
def stocked(office: HeadOffice, histories: list[History]) -> HeadOffice:
    office.admit("downtown", "midtown")
    office.apply(*(history.intake() for history in histories))
    return office


@pytest.fixture
def at_noon(sqlite_url: str, clock: ManualClock, histories: list[History]) -> Iterator[HeadOffice]:
    """On SQLite the database's clock is ours to set."""
    office = HeadOffice(sqlite_url, clock)
    office.admit("downtown", "midtown")
    office.apply(*(history.intake() for history in histories))
    yield office
    office.close()


def stock(office: HeadOffice, **options: Any) -> list[dict[str, Any]]:
    with reading(office.engine) as connection:
        return [row.as_dict() for row in reads.stock(connection, **options)]


@pytest.mark.business
def test_stock_shows_who_has_it_and_as_of_when(stocked: HeadOffice, histories: list[History]) -> None:
    rows = stock(stocked, sku="MOUSE-001")
    assert [(row["store"], row["on_hand"], row["reserved"], row["available"]) for row in rows] == [
        ("downtown", 10, 4, 6),
        ("midtown", 10, 0, 10),
    ]
    assert rows[0] == {
        "store": "downtown",
        "sku": "MOUSE-001",
        "name": "Wireless mouse",
        "price": 8000,
        "currency": "USD",
        "on_hand": 10,
        "reserved": 4,
        "available": 6,
        "version": 2,
        "suspect": None,
        "as_of_seq": histories[0].seq,
        "age_s": None,
        "gap": False,
        "head_seq": 0,
        "heard_s": None,
        "silent": True,
        "lacks_seq": None,
    }


def test_stock_of_one_store_names_what_has_no_product(stocked: HeadOffice) -> None:
    rows = stock(stocked, store="midtown")
    assert [(row["sku"], row["name"]) for row in rows] == [("LAPTOP-001", None), ("MOUSE-001", "Wireless mouse")]
    assert stock(stocked, store="midtown", sku="LAPTOP-001")[0]["on_hand"] == 3


def test_a_suspect_level_says_why(stocked: HeadOffice, histories: list[History]) -> None:
    histories[1].adjust({"LAPTOP-001": -9}, "correction")
    stocked.take(histories[1])
    assert [(row["store"], row["suspect"]) for row in stock(stocked, sku="LAPTOP-001")] == [
        ("downtown", None),
        ("midtown", "impossible_level"),
    ]


@pytest.mark.parametrize("options", [{"store": "nowhere"}, {"sku": "GHOST-001"}])
def test_what_is_not_there_is_said_at_once(stocked: HeadOffice, options: dict[str, str]) -> None:
    with reading(stocked.engine) as connection, pytest.raises(NotFoundError):
        reads.stock(connection, **options)
    with reading(stocked.engine) as connection, pytest.raises(NotFoundError):
        reads.reservations(connection, store="nowhere")


@pytest.mark.business
def test_freshness_is_measured_by_the_databases_clock(
    at_noon: HeadOffice, clock: ManualClock, histories: list[History]
) -> None:
    now = clock.now_us()
    history = histories[0]
    at_noon.apply(heard=(history.heard(now),), fresh={"downtown": now - 250_000})
    clock.advance(2)

    def fresh() -> Freshness:
        with reading(at_noon.engine) as connection:
            return next(reads.stock(connection, store="downtown")).fresh

    assert fresh() == Freshness(
        history.seq, 2.25, gap=False, head_seq=history.seq, heard_s=2.0, silent=False, lacks_seq=None
    )
    clock.advance(4.001)
    assert fresh() == Freshness(
        history.seq, 6.251, gap=False, head_seq=history.seq, heard_s=6.001, silent=True, lacks_seq=None
    )
    # It spoke of an event that did not arrive.
    history.adjust({"MOUSE-001": 1})
    at_noon.apply(heard=(history.heard(clock.now_us()),))
    assert fresh() == Freshness(
        history.seq - 1, 6.251, gap=True, head_seq=history.seq, heard_s=0.0, silent=False, lacks_seq=None
    )
    at_noon.take(history)
    assert not fresh().gap


@pytest.mark.business
def test_what_a_ledger_lacks_is_shown_until_it_is_known_to_have_it(
    at_noon: HeadOffice, histories: list[History]
) -> None:
    history = histories[0]

    def shown(lacks_seq: int | None) -> int | None:
        at_noon.apply(heard=(history.heard()._replace(lacks_seq=lacks_seq),))
        with reading(at_noon.engine) as connection:
            return next(reads.stock(connection, store="downtown")).fresh.lacks_seq

    # A central that took over, and does not know yet, takes nothing back.
    assert [shown(each) for each in (None, 3, None, 0, None)] == [None, 3, 3, None, None]


@pytest.mark.fault_tolerance
def test_after_the_clock_was_set_back_nothing_is_proved(
    at_noon: HeadOffice, clock: ManualClock, histories: list[History]
) -> None:
    now = clock.now_us()
    at_noon.apply(heard=(histories[0].heard(now),), fresh={"downtown": now})
    clock.shift_wall(-1800)
    with reading(at_noon.engine) as connection:
        fresh = next(reads.stock(connection, store="downtown")).fresh
    assert (fresh.age_s, fresh.heard_s, fresh.silent) == (None, None, True)
    earlier = clock.now_us()
    at_noon.apply(heard=(histories[0].heard(earlier),), fresh={"downtown": earlier})
    with reading(at_noon.engine) as connection:
        fresh = next(reads.stock(connection, store="downtown")).fresh
    assert (fresh.age_s, fresh.heard_s, fresh.silent) == (0.0, 0.0, False)


def reservations(office: HeadOffice, **options: Any) -> list[dict[str, Any]]:
    with reading(office.engine) as connection:
        return [row.as_dict() for row in reads.reservations(connection, **options)]


@pytest.mark.business
def test_open_reservations_are_listed_with_their_lines(stocked: HeadOffice, histories: list[History]) -> None:
    [key] = histories[0].pending
    [row] = reservations(stocked)
    expires_at = histories[0].pending[key]["expires_at"]
    assert row == {
        "store": "downtown",
        "reservation": f"downtown/{key}",
        "status": "pending",
        "order": "A-17",
        "clerk": "anna",
        "created_at": histories[0].pending[key]["created_at"],
        "expires_at": expires_at,
        "ended_at": None,
        "seq": 4,
        "lines": [
            {"sku": "MOUSE-001", "quantity": 4, "confirmed": 0, "released": 0},
            {"sku": "LAPTOP-001", "quantity": 1, "confirmed": 0, "released": 0},
        ],
        "as_of_seq": 4,
        "age_s": None,
        "gap": False,
        "head_seq": 0,
        "heard_s": None,
        "silent": True,
        "lacks_seq": None,
    }


def test_reservations_are_found_by_what_is_known_of_them(stocked: HeadOffice, histories: list[History]) -> None:
    first, second = histories
    [old] = first.pending
    new = first.reserve({"MOUSE-001": 1}, order="", clerk="")
    there = second.reserve({"LAPTOP-001": 1})
    first.end(old, events.RESERVATION_CONFIRMED)
    stocked.take(first)
    stocked.take(second)

    def keys(**options: Any) -> list[str]:
        return [row["reservation"] for row in reservations(stocked, **options)]

    assert keys() == [f"downtown/{new}", f"midtown/{there}"]
    assert keys(status=None) == [f"downtown/{old}", f"downtown/{new}", f"midtown/{there}"]
    assert keys(status="confirmed") == [f"downtown/{old}"]
    assert keys(store="midtown") == [f"midtown/{there}"]
    assert keys(sku="LAPTOP-001", status=None) == [f"downtown/{old}", f"midtown/{there}"]
    assert keys(reservation=new) == [f"downtown/{new}"]
    assert keys(status=None, limit=2) == [f"downtown/{old}", f"downtown/{new}"]
    [row] = reservations(stocked, reservation=new)
    assert (row["order"], row["clerk"]) == (None, None)
    [row] = reservations(stocked, status="confirmed")
    assert [(line["confirmed"], line["released"]) for line in row["lines"]] == [(4, 0), (1, 0)]
    assert row["ended_at"] is not None


def test_the_soonest_to_expire_comes_first(stocked: HeadOffice, histories: list[History]) -> None:
    history = histories[0]
    [first] = history.pending
    history.now_us += HOLD_US // 2
    second = history.reserve({"MOUSE-001": 1})
    history.extend(first)
    stocked.take(history)
    assert [row["reservation"] for row in reservations(stocked)] == [f"downtown/{second}", f"downtown/{first}"]


@pytest.mark.business
def test_status_counts_what_is_behind_and_in_doubt(stocked: HeadOffice, histories: list[History]) -> None:
    first = histories[0]
    first.adjust({"LAPTOP-001": -9}, "correction")
    stocked.take(first)
    for _ in range(3):
        first.adjust({"MOUSE-001": 1})
    stocked.apply(heard=(first.heard(),))
    waiting = History(random.Random(9), "brooklyn")
    waiting.created()
    stocked.register(waiting.heard(START_US))
    with reading(stocked.engine) as connection:
        status = reads.status(connection)
        shown = status.as_dict()
        rows = {row.store: row for row in reads.list_stores(connection)}
    assert list(rows) == ["brooklyn", "downtown", "midtown"]
    downtown = rows["downtown"]
    assert (downtown.lag, downtown.suspects, downtown.open_reservations, downtown.epoch) == (3, 1, 1, 1)
    assert (downtown.name, downtown.status) == ("Tech Store Downtown", "admitted")
    assert (rows["midtown"].lag, rows["midtown"].suspects, rows["midtown"].open_reservations) == (0, 0, 0)
    brooklyn = rows["brooklyn"].as_dict()
    assert (brooklyn["status"], brooklyn["first_hash"]) == ("pending", waiting.hashes[1].hex())
    assert (brooklyn["first_heard_at"], brooklyn["admitted_at"]) == ("2026-01-01T00:00:00.000000Z", None)
    assert status.events == len(stocked.rows(tables.archive)) == 8
    assert shown["shards"] == [
        {
            "shard": 0,
            "holder": "central-1",
            "fenced_at": shown["shards"][0]["fenced_at"],
            "position": 8,
            "served_by": None,
        }
    ]
    assert shown["centrals"] == []
    assert [store["store"] for store in shown["stores"]] == list(rows)
    assert shown["now"] >= shown["shards"][0]["fenced_at"]


@pytest.mark.parametrize(("ttl_s", "living"), [(60.0, True), (0.0, False)])
def test_status_shows_each_central_and_a_shard_s_server_while_that_lives(
    office: HeadOffice, ttl_s: float, *, living: bool
) -> None:
    with writing(office.engine) as connection:
        for holder, shards in (("central-1", [0]), ("central-2", [])):
            centrals.be_seen(
                connection, holder=holder, host="office", pid=7, version="1.0", ttl_s=ttl_s, shards=shards, metrics=None
            )
        connection.commit()
    with reading(office.engine) as connection:
        shown = reads.status(connection).as_dict()
    assert [(each["holder"], each["living"], each["shards"]) for each in shown["centrals"]] == [
        ("central-1", living, [0] if living else []),
        ("central-2", living, []),
    ]
    first = shown["centrals"][0]
    assert (first["host"], first["pid"], first["version"], first["metrics"]) == ("office", 7, "1.0", None)
    assert first["since_at"] == first["seen_at"]
    assert first["seen_s"] >= 0
    assert shown["shards"][0]["served_by"] == ("central-1" if living else None)


def test_rows_come_one_by_one_while_others_are_read(stocked: HeadOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "ROWS_FETCHED_MAX", 1)
    with reading(stocked.engine) as connection:
        levels = reads.stock(connection)
        open_now = reads.reservations(connection)
        pairs = [(next(levels).sku, row.reservation) for row in open_now]
        rest = [row.sku for row in levels]
    assert len(pairs) == 1
    assert len(rest) == 3


def test_the_open_reservations_have_an_index_of_their_own(at_noon: HeadOffice) -> None:
    """On SQLite; PostgreSQL plans by statistics, and reads a small table whole."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if "reservations" in statement:
            statements.append((statement, parameters))

    sqlalchemy_event.listen(at_noon.engine, "before_cursor_execute", note)
    with reading(at_noon.engine) as connection:
        list(reads.reservations(connection))
        reads.list_stores(connection)
    sqlalchemy_event.remove(at_noon.engine, "before_cursor_execute", note)
    plans: list[str] = []
    with reading(at_noon.engine) as connection:
        for statement, parameters in statements:
            explained = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans += [row.detail for row in explained]
    assert sum("ix_reservations_open" in plan for plan in plans) == 2


def test_a_level_without_a_cursor_cannot_be(stocked: HeadOffice) -> None:
    row = {"store": "nowhere", "sku": "X", "on_hand": 1, "reserved": 0, "version": 1, "seq": 1}
    with writing(stocked.engine) as connection, pytest.raises(Exception, match=r"(?i)foreign key|fk_levels_stores"):
        connection.execute(tables.levels.insert(), [row])

"""The stream of what was committed: complete, in order, and resumed anywhere."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, update

from central import shards, stores, tables
from central.apply import apply_intakes
from central.database import open_database, reading, writing
from central.fence import mint
from central.migrations import migrate
from central.tail import TailEvent, TailPage, latest_positions, positions_before, read_tail
from invctl.clock import format_time
from invctl.model import events
from tests.integration.central.histories import START_US, History

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from invctl.clock import ManualClock
    from tests.integration.central.head_office import HeadOffice

STORES = ("downtown", "midtown", "brooklyn")


@pytest.fixture
def histories() -> list[History]:
    made = []
    for seed, store in enumerate(STORES):
        history = History(random.Random(seed), store)
        history.created()
        history.product("MOUSE-001")
        history.adjust({"MOUSE-001": 10})
        key = history.reserve({"MOUSE-001": 1})
        history.extend(key)
        history.adjust({"LAPTOP-001": 5})
        made.append(history)
    return made


@pytest.fixture
def told(office: HeadOffice, histories: list[History]) -> HeadOffice:
    """Three stores, applied in turns of two events."""
    office.admit(*STORES)
    for upto in (2, 4, 6):
        for history in histories:
            office.take(history, upto)
    return office


def page(office: HeadOffice, after: dict[int, int] | None = None, **options: Any) -> TailPage:
    with reading(office.engine) as connection:
        return read_tail(connection, after or {}, **options)


def whole(office: HeadOffice, **options: Any) -> list[TailEvent]:
    """Follow the stream from its start, page by page."""
    after: dict[int, int] = {}
    seen = []
    while True:
        got = page(office, after, **options)
        seen += got.events
        if not got.more:
            return seen
        assert got.after != after
        after = got.after


@pytest.mark.business
def test_it_shows_each_event_once_in_the_order_of_commits(told: HeadOffice, histories: list[History]) -> None:
    seen = whole(told)
    assert [item.position for item in seen] == list(range(1, 19))
    assert [(item.store, item.seq) for item in seen[:6]] == [(store, seq) for store in STORES for seq in (1, 2)]
    for history in histories:
        mine = [item for item in seen if item.store == history.store]
        assert [item.body for item in mine] == history.bodies
        assert [item.hash for item in mine] == history.hashes[1:]


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("limit", [1, 2, 5, 18, 1000])
def test_resumed_anywhere_it_misses_nothing(told: HeadOffice, limit: int) -> None:
    complete = [item.position for item in whole(told)]
    assert [item.position for item in whole(told, limit=limit)] == complete
    for position in range(19):
        assert [item.position for item in page(told, {0: position}).events] == complete[position:]


def test_an_event_is_shown_with_what_it_says(told: HeadOffice, histories: list[History]) -> None:
    [first] = page(told, limit=1).events
    shown = first.as_dict()
    assert shown["position"] == 1
    assert shown["store"] == "downtown"
    assert shown["type"] == events.LEDGER_CREATED
    assert shown["time"] == format_time(START_US + 1_000)
    assert shown["applied_at"] == format_time(first.applied_us)
    assert shown["hash"] == histories[0].hashes[1].hex()
    assert shown["event"]["data"]["name"] == "Tech Store Downtown"
    assert "body" not in shown


def test_what_is_no_event_is_shown_as_its_bytes(told: HeadOffice, histories: list[History]) -> None:
    histories[0].raw(b'{"data":\xff}')
    told.take(histories[0])
    item = whole(told)[-1]
    assert (item.event, item.event_id, item.type, item.time_us) == (None, None, None, None)
    assert item.body == b'{"data":\xff}'
    assert item.as_dict()["body"] == '{"data":\\xff}'


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"stores": ["midtown"]}, [("midtown", seq) for seq in (1, 2, 3, 4, 5, 6)]),
        ({"types": ["inventory.product.added"]}, [(store, 2) for store in STORES]),
        ({"types": ["product.added"]}, [(store, 2) for store in STORES]),
        ({"types": ["reservation"]}, [(store, seq) for seq in (4, 5) for store in STORES]),
        ({"types": ["reserv"]}, []),
        ({"types": ["stock.adjusted", "ledger"]}, [(store, seq) for seq in (1, 3, 6) for store in STORES]),
        ({"skus": ["LAPTOP-001"]}, [(store, 6) for store in STORES]),
        ({"skus": ["MOUSE-001"]}, [(store, seq) for seq in (2, 3, 4, 5) for store in STORES]),
        ({"skus": ["MOUSE-001"], "stores": ["midtown"], "types": ["reservation.extended"]}, [("midtown", 5)]),
        ({"stores": ["nowhere"]}, []),
    ],
)
@pytest.mark.parametrize("limit", [1, 4, 1000])
def test_filters_show_what_fits_and_still_move_on(
    told: HeadOffice, options: dict[str, Any], expected: list[tuple[str, int]], limit: int
) -> None:
    seen = whole(told, limit=limit, **options)
    assert sorted((item.seq, item.store) for item in seen) == sorted((seq, store) for store, seq in expected)
    assert [item.position for item in seen] == sorted(item.position for item in seen)
    assert page(told, **options).after == {0: 18}


def test_at_the_end_there_is_nothing_until_something_is_committed(told: HeadOffice, histories: list[History]) -> None:
    with reading(told.engine) as connection:
        end = latest_positions(connection)
    assert page(told, end) == TailPage([], {0: 18}, more=False)
    histories[1].product("MONITOR-001")
    told.take(histories[1])
    assert [item.position for item in page(told, end).events] == [19]


@pytest.mark.fault_tolerance
def test_a_position_from_before_a_restore_does_not_hide_what_comes(told: HeadOffice, histories: list[History]) -> None:
    got = page(told, {0: 5000})
    assert got == TailPage([], {0: 18}, more=False)
    histories[1].product("MONITOR-001")
    told.take(histories[1])
    assert [item.position for item in page(told, got.after).events] == [19]


def forget_the_archive(office: HeadOffice, upto: int) -> None:
    with writing(office.engine) as connection:
        connection.execute(delete(tables.archive).where(tables.archive.c.position <= upto))
        connection.commit()


@pytest.mark.fault_tolerance
def test_after_a_reset_the_stream_goes_on_where_it_was(told: HeadOffice) -> None:
    """The positions before are gone with their events; nobody pages through them."""
    forget_the_archive(told, 10)
    assert [item.position for item in page(told, limit=3).events] == [11, 12, 13]
    forget_the_archive(told, 18)
    assert page(told, {0: 4}) == TailPage([], {0: 18}, more=False)


def test_since_a_moment_is_found_by_the_time_of_commit(
    sqlite_url: str, clock: ManualClock, histories: list[History]
) -> None:
    from tests.integration.central.head_office import HeadOffice

    office = HeadOffice(sqlite_url, clock)
    office.admit(*STORES)
    moments = []
    for upto in (1, 3, 6):
        clock.advance(10)
        moments.append(clock.now_us())
        office.take(histories[0], upto)
    with reading(office.engine) as connection:
        assert positions_before(connection, moments[0] - 1) == {0: 0}
        assert positions_before(connection, moments[0]) == {0: 0}
        assert positions_before(connection, moments[1]) == {0: 1}
        assert positions_before(connection, moments[1] + 1) == {0: 3}
        assert positions_before(connection, moments[2]) == {0: 3}
        assert positions_before(connection, moments[2] + 1) == {0: 6}
    forget_the_archive(office, 2)
    with reading(office.engine) as connection:
        assert positions_before(connection, 0) == {0: 2}
        assert positions_before(connection, moments[2]) == {0: 3}
    office.close()


@pytest.fixture
def sharded(empty_postgres: str, clock: ManualClock) -> Engine:
    engine = open_database(empty_postgres, clock=clock)
    migrate(engine)
    with writing(engine) as connection:
        shards.found(connection, 2)
        connection.commit()
    return engine


def test_two_shards_are_merged_by_the_time_of_commit(sharded: Engine, histories: list[History]) -> None:
    tokens = {}
    with writing(sharded) as connection:
        for shard in (0, 1):
            tokens[shard] = mint(connection, shard, "central-1", random.Random(shard))
        for history in histories:
            stores.admit(connection, history.store)
        connection.commit()
    shard_of = {row.store: row.shard for row in _rows(sharded)}
    assert set(shard_of.values()) == {0, 1}
    committed = []
    for upto in (2, 4, 6):
        for history in histories:
            shard = shard_of[history.store]
            apply_intakes(sharded, shard, tokens[shard], [history.intake(upto - 2, upto)])
            committed += [(history.store, seq) for seq in (upto - 1, upto)]
    with reading(sharded) as connection:
        got = read_tail(connection, {})
        assert [(item.store, item.seq) for item in got.events] == committed
        assert got.after == latest_positions(connection)
        rest = read_tail(connection, {0: got.after[0], 1: got.after[1] - 1})
        assert [(item.shard, item.position) for item in rest.events] == [(1, got.after[1])]
    # A clock that was set back changes nothing within a shard.
    with writing(sharded) as connection:
        table = tables.archive
        connection.execute(update(table).where(table.c.position == 3).values(applied_us=0))
        connection.commit()
    with reading(sharded) as connection:
        for shard in (0, 1):
            positions = [item.position for item in read_tail(connection, {}).events if item.shard == shard]
            assert positions == sorted(positions)
    sharded.dispose()


def _rows(engine: Engine) -> list[Any]:
    with reading(engine) as connection:
        return list(connection.execute(tables.stores.select()))

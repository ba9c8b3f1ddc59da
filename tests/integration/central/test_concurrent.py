"""Several shards at work at once on PostgreSQL: real transactions that overlap, and tails that read meanwhile."""

from __future__ import annotations

import random
import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from central import stores, tables
from central.apply import apply_intakes
from central.cli.following import Filters, Follower
from central.database import now_us, open_database, reading, writing
from central.fence import mint
from central.tail import format_positions, latest_positions, parse_positions, positions_before
from invctl.clock import SystemClock
from tests.integration.central.head_office import set_up
from tests.integration.central.histories import History

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from central.tail import Positions, TailEvent

pytestmark = pytest.mark.concurrency

SHARDS = 4
STORES = [f"store-{number:02}" for number in range(16)]
BATCHES = 15
SKUS = ["MOUSE-001", "LAPTOP-001"]


class Writers:
    """A thread for every store, so that four or so meet at each shard's row."""

    def __init__(self, url: str) -> None:
        self.engine = self.open(url)
        chance = random.Random(1)
        with writing(self.engine) as connection:
            self.fences = {shard: mint(connection, shard, "test", chance) for shard in range(SHARDS)}
            for store in STORES:
                stores.admit(connection, store)
            connection.commit()
        with reading(self.engine) as connection:
            table = tables.stores.c
            rows = connection.execute(select(table.store, table.shard))
            self.shard_of: dict[str, int] = {row.store: row.shard for row in rows}
        self.histories = [History(random.Random(store), store) for store in STORES]
        for history in self.histories:
            history.created()
            history.adjust(dict.fromkeys(SKUS, 50))
            for _ in range(40):
                history.random_step(SKUS)
        self._failed: list[BaseException] = []
        self._threads = [threading.Thread(target=self._write, args=(history,)) for history in self.histories]

    @staticmethod
    def open(url: str) -> Engine:
        return open_database(url, clock=SystemClock())

    @property
    def at_work(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    @property
    def total(self) -> int:
        return sum(history.seq for history in self.histories)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()
        assert self._failed == []

    def _write(self, history: History) -> None:
        chance = random.Random(f"{history.store} batches")
        ends = sorted(chance.sample(range(1, history.seq), BATCHES - 1))
        shard = self.shard_of[history.store]
        try:
            for first, last in pairwise([0, *ends, history.seq]):
                apply_intakes(self.engine, shard, self.fences[shard], [history.intake(first, last)])
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            self._failed.append(error)


@pytest.fixture
def reader(empty_postgres: str) -> Iterator[Engine]:
    opened = Writers.open(empty_postgres)
    yield opened
    opened.dispose()


@pytest.fixture
def writers(empty_postgres: str) -> Iterator[Writers]:
    set_up(empty_postgres, SHARDS)
    made = Writers(empty_postgres)
    yield made
    made.engine.dispose()


def follower(engine: Engine, after: Positions) -> Follower:
    return Follower(engine, after, Filters(), clock=SystemClock())


def check(seen: list[TailEvent], writers: Writers) -> None:
    """Everything was seen once, in the order of its shard's stream, byte for byte."""
    assert len(seen) == writers.total
    for shard in range(SHARDS):
        positions = [event.position for event in seen if event.shard == shard]
        assert positions == list(range(1, len(positions) + 1))
    for history in writers.histories:
        assert [event.body for event in seen if event.store == history.store] == history.bodies


def test_a_tail_over_several_shards_misses_nothing_of_what_is_committed_meanwhile(
    writers: Writers, reader: Engine
) -> None:
    tail = follower(reader, dict.fromkeys(range(SHARDS), 0))
    writers.start()
    seen: list[TailEvent] = []
    busy = True
    while busy:
        busy = writers.at_work
        seen += tail.rest()
    writers.join()
    check(seen, writers)
    with reading(reader) as connection:
        assert tail.after == latest_positions(connection)


def test_a_tail_that_is_cut_off_again_and_again_goes_on_from_what_it_printed(writers: Writers, reader: Engine) -> None:
    chance = random.Random(2)
    writers.start()
    resume = format_positions(dict.fromkeys(range(SHARDS), 0))
    seen: list[TailEvent] = []
    busy = True
    while busy:
        busy = writers.at_work
        whole = False
        while not whole:
            tail = follower(reader, parse_positions(resume))
            whole = True
            for event in tail.rest():
                seen.append(event)
                resume = format_positions(tail.after)
                if chance.random() < 0.05:
                    whole = False
                    break
    writers.join()
    check(seen, writers)


def test_since_a_moment_is_exact_in_each_shard_though_others_commit_meanwhile(writers: Writers, reader: Engine) -> None:
    writers.start()
    moments = []
    while writers.at_work:
        with reading(reader) as connection:
            moments.append(now_us(connection))
    writers.join()
    table = tables.archive.c
    with reading(reader) as connection:
        rows = connection.execute(select(table.shard, table.position, table.applied_us).order_by(table.position)).all()
        for moment in random.Random(3).sample(moments, min(20, len(moments))):
            expected = {
                shard: max((row.position for row in rows if row.shard == shard and row.applied_us < moment), default=0)
                for shard in range(SHARDS)
            }
            assert positions_before(connection, moment) == expected
    for shard in range(SHARDS):
        times = [row.applied_us for row in rows if row.shard == shard]
        assert times == sorted(times)

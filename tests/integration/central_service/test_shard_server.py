"""One shard's server, round by round, over the real database."""

from __future__ import annotations

import logging
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from structlog.testing import LogCapture, capture_logs

from central import shard_server
from central.apply import apply_intakes
from central.database import reading, writing
from central.fence import FenceLostError
from central.latency import Latencies
from central.reads import list_stores
from central.shard_server import FAILURES_IN_A_ROW_MAX, Frame
from central.stores import register_newcomers, remove
from invctl.clock import format_time
from invctl.errors import BusyError, UnreachableError
from invctl.model.events import compose
from invctl.sync import frames
from invctl.sync.shipper import HEARTBEAT_S, Link, Shipper
from tests.integration.central_service.office import (
    Store,
    admitted,
    archived,
    archived_events,
    minted,
    serving,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from central.shard_server import ShardServer
    from central.views import StoreRow
    from invctl.clock import ManualClock
    from invctl.sync.cursor import Intake

NAMES = ["downtown", "midtown", "brooklyn", "harlem", "queens"]


@pytest.fixture
def server(engine: Engine, clock: ManualClock) -> ShardServer:
    admitted(engine, *NAMES)
    server = serving(engine, minted(engine), clock=clock)
    server.open()
    return server


@pytest.fixture
def downtown(clock: ManualClock) -> Store:
    return Store("downtown", clock=clock)


def row(engine: Engine, store: str) -> StoreRow:
    with reading(engine) as connection:
        return next(each for each in list_stores(connection) if each.store == store)


def linked(server: ShardServer, *stores: Store) -> list[Frame]:
    """Let stores say hello and be answered. Returns what they send next: their events, uncommitted."""
    for store in stores:
        store.hear(server.round(store.says()))
    return [frame for store in stores for frame in store.says()]


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, *, for_store: str | None = None) -> list[list[str]]:
    """Let transactions fail that hold anything of `for_store` (None: of anybody). Returns what was tried."""
    tried: list[list[str]] = []

    def apply(engine: Engine, shard: int, fence: str, intakes: Sequence[Intake], **more: Any) -> Any:
        stores = [intake.store for intake in intakes]
        tried.append(stores)
        if for_store is None or for_store in stores:
            raise error
        return apply_intakes(engine, shard, fence, intakes, **more)

    monkeypatch.setattr(shard_server, "apply_intakes", apply)
    return tried


def test_what_is_acknowledged_is_in_the_archive(server: ShardServer, engine: Engine, downtown: Store) -> None:
    events = linked(server, downtown)
    assert archived(engine, "downtown") == []
    replies = server.round(events)
    assert archived(engine, "downtown") == downtown.bodies
    (ack,) = downtown.hear(replies)
    assert isinstance(ack, frames.Ack)
    assert (ack.applied_seq, ack.applied_hash) == (2, downtown.outbox.hashes[2])
    assert downtown.acked_seq == 2


def test_many_stores_are_committed_in_one_transaction(
    server: ShardServer, engine: Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = [Store(name, clock=clock) for name in NAMES]
    events = linked(server, *stores)
    tried = failing(monkeypatch, BusyError(), for_store="nobody")
    replies = server.round(events)
    assert tried == [NAMES]
    assert [len(store.hear(replies)) for store in stores] == [1] * len(NAMES)
    assert server.counts["transactions"] == 1
    assert server.counts["events"] == archived_events(engine) == 2 * len(NAMES)


@pytest.mark.fault_tolerance
def test_a_locked_database_gives_no_answer_and_what_was_sent_is_sent_again(
    server: ShardServer, engine: Engine, downtown: Store, clock: ManualClock
) -> None:
    events = linked(server, downtown)
    with writing(engine):  # another process writes, and holds the lock
        assert server.round(events) == []
    assert archived(engine, "downtown") == []
    clock.advance(HEARTBEAT_S * 1.1)
    downtown.talk(server)
    assert archived(engine, "downtown") == downtown.bodies
    assert downtown.acked_seq == 2


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("error", [BusyError("busy"), UnreachableError("away")])
def test_a_group_that_fails_is_tried_store_by_store(
    server: ShardServer, engine: Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    stores = {name: Store(name, clock=clock) for name in NAMES}
    events = linked(server, *stores.values())
    tried = failing(monkeypatch, error, for_store="midtown")
    replies = server.round(events)
    assert tried == [NAMES, *([name] for name in NAMES)]
    assert {name: store.hear(replies) != [] for name, store in stores.items()} == {
        name: name != "midtown" for name in NAMES
    }
    assert {name: archived(engine, name) for name in NAMES} == {
        name: [] if name == "midtown" else store.bodies for name, store in stores.items()
    }


@pytest.mark.fault_tolerance
def test_a_database_that_is_away_is_not_asked_for_every_store(
    server: ShardServer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = linked(server, *(Store(name, clock=clock) for name in NAMES))
    tried = failing(monkeypatch, UnreachableError("away"))
    assert server.round(events) == []
    assert len(tried) == 1 + FAILURES_IN_A_ROW_MAX


@pytest.mark.fault_tolerance
def test_a_cursor_that_moved_is_loaded_and_answered_with(
    server: ShardServer, engine: Engine, downtown: Store, clock: ManualClock
) -> None:
    events = linked(server, downtown)
    # An answer to a commit was lost: the transaction is there, and nobody told us.
    with writing(engine) as connection:
        fence = connection.exec_driver_sql("SELECT fence FROM shards").scalar_one()
    apply_intakes(engine, 0, fence, [downtown.history.intake()])
    (ack,) = downtown.hear(server.round(events))
    assert isinstance(ack, frames.Ack)
    assert ack.applied_seq == 2
    downtown.trade(3)
    downtown.talk(server)
    assert archived(engine, "downtown") == downtown.bodies


@pytest.mark.concurrency
def test_whoever_lost_the_fence_commits_nothing_and_says_so(
    server: ShardServer, engine: Engine, downtown: Store
) -> None:
    events = linked(server, downtown)
    minted(engine, "another", Random(7))
    with pytest.raises(FenceLostError):
        server.round(events)
    assert archived(engine, "downtown") == []
    with pytest.raises(FenceLostError):
        server.upkeep()


@pytest.mark.business
def test_a_store_that_was_not_admitted_is_listed_and_nothing_of_it_applied(
    engine: Engine, clock: ManualClock, downtown: Store
) -> None:
    server = serving(engine, minted(engine), clock=clock)
    server.open()
    (refused,) = downtown.hear(server.round(downtown.says()))
    assert isinstance(refused, frames.Refused)
    assert refused.reason == frames.NOT_ADMITTED
    listed = row(engine, "downtown")
    assert (listed.status, listed.first_hash, listed.fresh.head_seq) == ("pending", downtown.outbox.hashes[1].hex(), 2)
    assert archived_events(engine) == 0

    admitted(engine, "downtown")  # by another process
    (greeting,) = downtown.hear(server.upkeep())
    assert isinstance(greeting, frames.CentralHello)
    clock.advance(1.0)
    downtown.talk(server)
    assert archived(engine, "downtown") == downtown.bodies
    assert server.upkeep() == []


def test_a_store_that_speaks_after_its_admission_is_served_at_once(
    engine: Engine, clock: ManualClock, downtown: Store
) -> None:
    server = serving(engine, minted(engine), clock=clock)
    server.open()
    admitted(engine, "downtown")
    downtown.talk(server)
    assert archived(engine, "downtown") == downtown.bodies


def test_admit_any_admits_whoever_speaks(engine: Engine, clock: ManualClock, downtown: Store) -> None:
    server = serving(engine, minted(engine), clock=clock, admit_any=True)
    server.open()
    downtown.talk(server)
    assert archived(engine, "downtown") == downtown.bodies
    assert row(engine, "downtown").status == "admitted"


@pytest.mark.fault_tolerance
def test_while_the_database_cannot_be_asked_no_store_is_told_that_it_is_not_admitted(
    engine: Engine, clock: ManualClock, downtown: Store
) -> None:
    server = serving(engine, minted(engine), clock=clock)
    server.open()
    admitted(engine, "downtown")
    with writing(engine):
        assert server.round(downtown.says()) == []
    clock.advance(HEARTBEAT_S * 1.1)
    downtown.talk(server)
    assert downtown.link is Link.UP


@pytest.mark.fault_tolerance
def test_strangers_that_shout_cost_two_transactions_a_second(
    engine: Engine, clock: ManualClock, downtown: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serving(engine, minted(engine), clock=clock)
    server.open()
    registered: list[int] = []

    def register(*arguments: Any, **more: Any) -> Any:
        registered.append(1)
        return register_newcomers(*arguments, **more)

    monkeypatch.setattr(shard_server, "register_newcomers", register)
    hello = downtown.says()
    for _ in range(100):
        server.round(hello)
        clock.advance(0.01)
    assert len(registered) == 2


@pytest.mark.business
def test_freshness_of_a_store_that_sells_nothing_is_kept_up(
    server: ShardServer, engine: Engine, downtown: Store, clock: ManualClock
) -> None:
    downtown.talk(server)
    for _ in range(10):
        clock.advance(HEARTBEAT_S * 1.1)
        downtown.talk(server)
        server.upkeep()
    fresh = row(engine, "downtown").fresh
    assert fresh.heard_s == 0.0
    assert fresh.age_s is not None
    assert fresh.age_s <= HEARTBEAT_S * 1.1
    clock.advance(3600.0)
    server.upkeep()
    assert row(engine, "downtown").fresh.age_s == fresh.age_s + 3600.0
    assert row(engine, "downtown").fresh.silent


def test_upkeep_without_news_writes_nothing(
    server: ShardServer, downtown: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    downtown.talk(server)
    server.upkeep()
    tried = failing(monkeypatch, BusyError())
    server.upkeep()
    assert tried == []


@pytest.mark.fault_tolerance
def test_what_could_not_be_saved_is_saved_the_next_time(
    server: ShardServer, engine: Engine, downtown: Store, clock: ManualClock
) -> None:
    downtown.talk(server)
    clock.advance(HEARTBEAT_S * 1.1)
    server.round(downtown.says())
    with writing(engine):
        server.upkeep()
    before = row(engine, "downtown").fresh.heard_s
    server.upkeep()
    assert before == HEARTBEAT_S * 1.1
    assert row(engine, "downtown").fresh.heard_s == 0.0


@pytest.mark.metrics
def test_what_is_odd_is_told_with_its_store_and_counted(
    server: ShardServer, downtown: Store, clock: ManualClock
) -> None:
    (hello,) = downtown.says()
    downtown.hear(server.round([hello]))
    (events,) = downtown.says()
    with capture_logs() as lines:
        server.round([Frame("downtown", events.payload[:-30])])
        server.round([Frame("midtown", events.payload)])
        server.round([events, events])
    assert [(line["event"], line["store"], line["log_level"]) for line in lines if "frame" in line["event"]] == [
        ("frame.damaged", "downtown", "warning"),
        ("frame.foreign", "midtown", "warning"),
    ]
    assert {name: server.counts[name] for name in ("damaged", "foreign", "duplicate")} == {
        "damaged": 1,
        "foreign": 1,
        "duplicate": 1,
    }


@pytest.mark.metrics
def test_a_doubtful_fact_is_told_with_its_event_and_trace(server: ShardServer, downtown: Store) -> None:
    downtown.talk(server)
    level = downtown.history.levels["MOUSE-001"]
    downtown.history.levels["MOUSE-001"] = level._replace(version=level.version + 5)
    downtown.adjust("MOUSE-001", 1)
    with capture_logs() as lines:
        downtown.talk(server)
    (line,) = [line for line in lines if line["event"] == "sku.suspect"]
    assert (line["store"], line["sku"], line["seq"], line["log_level"]) == ("downtown", "MOUSE-001", 3, "warning")
    assert server.counts["doubts"] == 1


@pytest.mark.metrics
def test_a_level_that_drifted_at_central_is_told_as_an_error(
    server: ShardServer, engine: Engine, downtown: Store
) -> None:
    downtown.talk(server)
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE levels SET on_hand = 7, version = 9 WHERE sku = 'MOUSE-001'")
        connection.commit()
    downtown.adjust("MOUSE-001", 1)
    with capture_logs() as lines:
        downtown.talk(server)
    (line,) = [line for line in lines if line["event"] == "sku.drifted"]
    assert (line["store"], line["sku"], line["log_level"]) == ("downtown", "MOUSE-001", "error")
    assert line["had"] == {"on_hand": 7, "reserved": 0, "version": 9}
    assert line["archived"] == {"on_hand": 50, "reserved": 0, "version": 1}


@pytest.mark.metrics
def test_latency_is_from_the_event_s_time_to_its_commit(engine: Engine, clock: ManualClock, downtown: Store) -> None:
    admitted(engine, "downtown")
    latencies = Latencies()
    server = serving(engine, minted(engine), clock=clock, latencies=latencies)
    server.open()
    clock.advance((downtown.history.now_us - clock.now_us()) / 1_000_000 + 0.005)
    server.open()
    downtown.talk(server)
    # Both of its events, a millisecond apart.
    assert latencies.quantiles() == {"p50": 5.0, "p99": 6.0}


@pytest.mark.fault_tolerance
@pytest.mark.business
def test_a_store_whose_copy_spoke_first_is_shown_and_told_once_until_it_has_what_was_applied(
    server: ShardServer, engine: Engine, clock: ManualClock, downtown: Store
) -> None:
    downtown.talk(server)
    copy = Store("downtown", clock=clock)
    copy.shipper = Shipper(copy.outbox, acked_seq=0, chance=Random(7), now_s=clock.monotonic_s())
    copy.adjust("MOUSE-001", -1)
    copy.talk(server)
    downtown.adjust("MOUSE-001", -2)
    seq = len(copy.bodies)

    def heartbeats(*stores: Store) -> None:
        for _ in range(4):
            clock.advance(HEARTBEAT_S * 1.2)
            for store in stores:
                store.talk(server)
        server.upkeep()

    with capture_logs() as logs:
        heartbeats(downtown, copy)
        assert (downtown.link, copy.link) == (Link.DIVERGED, Link.UP)
        assert row(engine, "downtown").fresh.lacks_seq == seq
        heartbeats(copy)
        assert row(engine, "downtown").fresh.lacks_seq is None
    told = [(line["event"], line["store"], line["seq"]) for line in logs if line["event"].startswith("store.")]
    assert told == [("store.diverged", "downtown", seq), ("store.agrees", "downtown", seq)]


@pytest.mark.business
def test_when_another_ledger_spoke_under_a_store_s_id_is_kept(
    server: ShardServer, engine: Engine, clock: ManualClock, downtown: Store
) -> None:
    downtown.talk(server)
    server.upkeep()
    assert row(engine, "downtown").other_ledger_us is None
    clock.advance(1)
    Store("downtown", clock=clock, seed=9).talk(server)
    server.upkeep()
    assert row(engine, "downtown").other_ledger_us == clock.now_us()
    assert row(engine, "downtown").as_dict()["other_ledger_at"] == format_time(clock.now_us())


@pytest.mark.fault_tolerance
def test_time_that_the_database_tells_late_does_not_void_what_was_proved(
    server: ShardServer, engine: Engine, downtown: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    downtown.talk(server)
    monkeypatch.setattr(shard_server, "now_us", lambda _: clock.now_us() - 3_000)
    for _ in range(3):
        clock.advance(0.001)
        server.upkeep()
        server.round(downtown.says())
    assert server.counts["clock_set_back"] == 0


def fresh_us(engine: Engine) -> int | None:
    with reading(engine) as connection:
        found: int | None = connection.exec_driver_sql("SELECT fresh_us FROM cursors WHERE store = 'downtown'").scalar()
    return found


def proved(server: ShardServer, downtown: Store, clock: ManualClock) -> None:
    """Let a token go out and come back, and store what it proves."""
    for _ in range(2):
        clock.advance(2.5)
        downtown.talk(server)
    server.upkeep()


@pytest.mark.fault_tolerance
def test_a_clock_set_back_takes_back_what_it_proved_and_proofs_go_on(
    server: ShardServer, engine: Engine, downtown: Store, clock: ManualClock
) -> None:
    proved(server, downtown, clock)
    before_us = fresh_us(engine)
    assert before_us is not None
    clock.shift_wall(-3600)
    server.upkeep()
    proved(server, downtown, clock)
    after_us = fresh_us(engine)
    assert after_us is not None
    assert after_us <= clock.now_us() < before_us


@pytest.mark.fault_tolerance
def test_a_clock_set_back_while_no_central_ran_leaves_no_proof_that_would_come_round(
    server: ShardServer, engine: Engine, downtown: Store, clock: ManualClock
) -> None:
    proved(server, downtown, clock)
    assert fresh_us(engine) is not None
    clock.shift_wall(-3600)
    serving(engine, minted(engine), clock=clock).open()
    assert fresh_us(engine) is None


@pytest.mark.metrics
def test_each_commit_is_told_with_its_trace_where_debugging_is_asked_for(
    engine: Engine, clock: ManualClock, downtown: Store
) -> None:
    admitted(engine, "downtown")
    for level, told in ((logging.INFO, 0), (logging.DEBUG, 1)):
        lines = LogCapture()
        log = structlog.wrap_logger(
            None, processors=[lines], wrapper_class=structlog.make_filtering_bound_logger(level)
        )
        server = serving(engine, minted(engine), clock=clock, log=log)
        server.open()
        trace = f"{downtown.history.seq:032x}"
        downtown.write(
            compose(
                id=trace,
                type="inventory.stock.looked_at",
                store="downtown",
                time=format_time(clock.now_us()),
                subject="x",
                data={},
                trace=f"00-{trace}-00f067aa0ba902b7-01",
            )
        )
        clock.advance(HEARTBEAT_S * 1.1)
        downtown.talk(server)
        commits = [line for line in lines.entries if line["event"] == "events.committed"]
        assert [(line["store"], line["seq"], line["trace"]) for line in commits] == [
            ("downtown", downtown.history.seq, trace)
        ] * told


@pytest.mark.business
def test_a_store_that_was_removed_is_a_stranger_again(server: ShardServer, engine: Engine, downtown: Store) -> None:
    with writing(engine) as connection:
        remove(connection, "downtown")
        connection.commit()
    downtown.talk(server)
    server.upkeep()
    downtown.shipper.subscribed(0.0)
    downtown.talk(server)
    assert (downtown.link, downtown.shipper.state.reason) == (Link.REFUSED, frames.NOT_ADMITTED)
    server.upkeep()
    assert row(engine, "downtown").status == "pending"

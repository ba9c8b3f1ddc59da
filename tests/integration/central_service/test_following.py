"""Following the stream of events through outages, on a clock that the test moves."""

from __future__ import annotations

import os
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from central.cli import following
from central.cli.following import LOOK_EVERY_S, OUTAGE_SAID_AFTER_S, RETRY_S, Filters, Follower, wait_for_reader
from central.database import reading
from central.tail import PAGE_EVENTS_MAX
from invctl.errors import BusyError, UnreachableError
from tests.integration.central_service.office import Store, admitted, minted, serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from central.shard_server import ShardServer
    from invctl.clock import ManualClock


class Reader:
    """Follows, and is told what somebody at a terminal is told."""

    def __init__(self, engine: Engine, clock: ManualClock, filters: Filters | None = None) -> None:
        self.clock = clock
        self.follower = Follower(engine, {0: 0}, filters or Filters(), clock=clock)
        self.said: list[str] = []
        self.waits: list[float] = []
        self.meanwhile: list[Callable[[], None]] = []

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.advance(seconds)
        if self.meanwhile:
            self.meanwhile.pop(0)()

    def read(self, count: int) -> list[int]:
        """The positions of the next events."""
        return [event.position for event in islice(self.follower.follow(self.wait, self.said.append), count)]


@pytest.fixture
def downtown(engine: Engine, clock: ManualClock) -> Store:
    admitted(engine, "downtown")
    return Store("downtown", clock=clock)


@pytest.fixture
def server(engine: Engine, clock: ManualClock, downtown: Store) -> ShardServer:
    server = serving(engine, minted(engine), clock=clock)
    server.open()
    downtown.talk(server)
    return server


def failing(monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> None:
    """Let the database fail so often, and then answer."""

    def read(engine: Engine) -> Any:
        if errors:
            raise errors.pop(0)
        return reading(engine)

    monkeypatch.setattr(following, "reading", read)


@pytest.mark.fault_tolerance
def test_an_outage_ends_nothing_and_is_said_once_with_its_end(
    engine: Engine, clock: ManualClock, server: ShardServer, downtown: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(engine, clock)
    assert reader.read(2) == [1, 2]
    downtown.trade(3)
    downtown.talk(server)
    tries = round(OUTAGE_SAID_AFTER_S / RETRY_S) + 5
    failing(monkeypatch, [UnreachableError("the server is away", hint="see its log") for _ in range(tries)])
    assert reader.read(3) == [3, 4, 5]
    assert reader.waits == [RETRY_S] * tries
    assert len(reader.said) == 2
    assert "the server is away" in reader.said[0]
    assert "nothing was missed" in reader.said[1]


def test_a_short_one_is_not_worth_a_word(
    engine: Engine, clock: ManualClock, server: ShardServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(engine, clock)
    failing(monkeypatch, [BusyError("busy"), BusyError("busy")])
    assert reader.read(2) == [1, 2]
    assert reader.said == []


def test_without_following_an_outage_is_an_error(
    engine: Engine, clock: ManualClock, server: ShardServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, [BusyError("busy")])
    with pytest.raises(BusyError):
        list(Reader(engine, clock).follower.rest())


def test_what_comes_later_is_seen_at_the_next_look(
    engine: Engine, clock: ManualClock, server: ShardServer, downtown: Store
) -> None:
    reader = Reader(engine, clock)

    def trade() -> None:
        downtown.trade(1)
        downtown.talk(server)

    reader.meanwhile = [lambda: None, trade]
    assert reader.read(3) == [1, 2, 3]
    assert reader.waits == [LOOK_EVERY_S] * 2
    # On a terminal, and in a pipe, an event is wanted within 50 ms of its commit.
    assert LOOK_EVERY_S <= 0.025


def test_a_reader_has_seen_an_event_that_it_was_handed_and_no_later_one(
    engine: Engine, clock: ManualClock, server: ShardServer
) -> None:
    reader = Reader(engine, clock)
    assert reader.read(1) == [1]
    assert reader.follower.after == {0: 1}
    assert reader.read(1) == [2]


def test_what_the_filters_leave_out_is_passed_over_for_good(
    engine: Engine, clock: ManualClock, server: ShardServer, downtown: Store
) -> None:
    downtown.adjust("MOUSE-001", 1)
    downtown.talk(server)
    reader = Reader(engine, clock, Filters(types=["ledger"]))
    assert [event.position for event in reader.follower.rest()] == [1]
    assert reader.follower.after == {0: 3}


def test_more_than_a_page_is_read_without_a_wait(
    engine: Engine, clock: ManualClock, server: ShardServer, downtown: Store
) -> None:
    events = PAGE_EVENTS_MAX + 200
    downtown.trade(events - 2)
    downtown.talk(server)
    assert [event.position for event in Reader(engine, clock).follower.rest()] == list(range(1, events + 1))
    reader = Reader(engine, clock)
    assert reader.read(events) == list(range(1, events + 1))
    assert reader.waits == []


def test_nobody_waits_for_a_reader_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    end, ours = os.pipe()
    with os.fdopen(ours, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        wait_for_reader(0.0)
        os.close(end)
        with pytest.raises(BrokenPipeError):
            wait_for_reader(3600.0)


def test_it_ends_once_nothing_wanted_came_for_so_long(
    engine: Engine, clock: ManualClock, server: ShardServer, downtown: Store
) -> None:
    reader = Reader(engine, clock)
    wanted: list[int] = []

    def trade() -> None:
        clock.advance(0.9)
        downtown.trade(1)
        downtown.talk(server)

    reader.meanwhile = [trade, trade]
    # Who takes his time with an event does not hasten the end.
    for event in reader.follower.follow(reader.wait, reader.said.append, idle_s=1.0):
        wanted.append(event.position)
        clock.advance(5.0)
    assert wanted == [1, 2, 3, 4]
    assert sum(reader.waits[-round(1.0 / LOOK_EVERY_S) :]) == pytest.approx(1.0)
    assert reader.follower.after == {0: 4}


def test_what_does_not_fit_does_not_put_the_end_off_and_is_passed_over(
    engine: Engine, clock: ManualClock, server: ShardServer, downtown: Store
) -> None:
    reader = Reader(engine, clock)
    reader.follower = Follower(engine, {0: 0}, Filters(), clock=clock, fits=lambda event: event.seq == 1)

    def trade() -> None:
        clock.advance(0.9)
        downtown.trade(1)
        downtown.talk(server)

    reader.meanwhile = [trade, trade]
    found = [event.seq for event in reader.follower.follow(reader.wait, reader.said.append, idle_s=1.0)]
    assert found == [1]
    assert reader.meanwhile == []
    assert len(reader.waits) == 2
    assert reader.follower.after == {0: 4}


@pytest.mark.fault_tolerance
def test_an_outage_is_no_time_in_which_nothing_came(
    engine: Engine, clock: ManualClock, server: ShardServer, downtown: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(engine, clock)
    assert reader.read(2) == [1, 2]
    errors: list[Exception] = [UnreachableError("the server is away") for _ in range(20)]
    failing(monkeypatch, errors)

    def trade() -> None:
        downtown.trade(1)
        downtown.talk(server)

    reader.meanwhile = [*([lambda: None] * 20), trade]
    found = [event.position for event in reader.follower.follow(reader.wait, reader.said.append, idle_s=1.0)]
    assert found == [3]

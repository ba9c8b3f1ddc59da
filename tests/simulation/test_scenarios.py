"""Single troubles, each alone in a world that is otherwise calm, with the time that it takes to get over it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from invctl.sync import frames
from invctl.sync.shipper import HEARTBEAT_S, RETRY_FIRST_S, SILENCE_S, Link
from scripts.simulation.agenda import START_S
from tests.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.store import SimStore

pytestmark = [pytest.mark.simulation, pytest.mark.fault_tolerance]

LONGEST_HEARTBEAT_S = 1.1 * HEARTBEAT_S
ROUND_S = 0.3


@pytest.fixture
def world() -> World:
    """A calm world, in which all stores have been admitted and have said hello."""
    world = World(7)
    world.network.heal()
    world.commit_failure_rate = world.crash_rate = 0.0
    for store in world.stores.values():
        world.central.admitted(world.database.admit(store.name))
        store.outbox.batch_max = 256
        store.commit(3)
        store.start()
    world.agenda.run(START_S + 2 * LONGEST_HEARTBEAT_S)
    world.check_drained()
    return world


def drained(world: World, store: SimStore) -> bool:
    return world.database.archive.get(store.name) == store.outbox.bodies


def seconds_until(world: World, done: Callable[[], bool], at_most_s: float) -> float:
    start_s = world.agenda.now_s
    world.agenda.run(start_s + at_most_s, done=done)
    assert done()
    return world.agenda.now_s - start_s


def commit(store: SimStore, events: int = 1) -> None:
    """Commit, and let the daemon know."""
    store.commit(events)
    store.tick()


def test_a_last_event_that_is_lost_comes_with_the_next_try(world: World) -> None:
    store = world.stores["downtown"]
    world.network.black_holes.add(store.up)
    commit(store)
    world.network.black_holes.clear()
    assert seconds_until(world, partial(drained, world, store), 1.25 * RETRY_FIRST_S + ROUND_S) > 0.5 * RETRY_FIRST_S


def test_an_ack_that_is_lost_costs_a_try_and_nothing_is_applied_twice(world: World) -> None:
    store = world.stores["downtown"]
    world.network.black_holes.add(store.down)
    commit(store)
    seconds_until(world, partial(drained, world, store), ROUND_S)
    world.network.black_holes.clear()
    assert store.shipper is not None
    shipper = store.shipper
    seconds_until(world, lambda: shipper.state.acked_seq == len(store.outbox.bodies), 1.25 * RETRY_FIRST_S + ROUND_S)
    assert drained(world, store)


def test_a_last_event_of_a_daemon_that_was_killed_is_found_by_the_next(world: World) -> None:
    store = world.stores["downtown"]
    world.network.black_holes.add(store.up)
    commit(store)
    store.remembered_seq = len(store.outbox.bodies)
    store.kill()
    world.network.black_holes.clear()
    store.start()
    seconds_until(world, partial(drained, world, store), 2 * ROUND_S)


def test_a_poke_that_is_lost_costs_a_second(world: World) -> None:
    store = world.stores["downtown"]
    store.outbox.append(b'{"id":"unpoked"}')
    store.committed_us.append(world.database_clock_us)
    seconds_until(world, partial(drained, world, store), 1.0 + ROUND_S)


def test_after_a_black_hole_of_ten_minutes_everything_comes_within_two_heartbeats(world: World) -> None:
    store = world.stores["downtown"]
    world.network.black_holes.update((store.up, store.down))
    commit(store, 500)
    assert store.shipper is not None
    world.agenda.run(world.agenda.now_s + SILENCE_S + LONGEST_HEARTBEAT_S)
    assert store.shipper.state.link is Link.UNKNOWN
    sent = store.events_sent
    world.agenda.run(world.agenda.now_s + 600.0)
    assert store.events_sent == sent
    world.network.black_holes.clear()
    seconds_until(world, partial(drained, world, store), 2 * LONGEST_HEARTBEAT_S)


def test_a_store_that_was_offline_for_long_catches_up_as_fast_as_central_commits(world: World) -> None:
    store = world.stores["downtown"]
    store.kill()
    store.commit(20_000)
    store.start()
    sent = world.network.sent
    seconds_until(world, partial(drained, world, store), 20.0)
    assert world.network.sent - sent < 4 * 20_000 // frames.BATCH_EVENTS_MAX
    world.agenda.run(world.agenda.now_s + 2 * LONGEST_HEARTBEAT_S)
    world.check_drained()


def test_a_store_that_waits_for_admission_sends_heartbeats_alone_and_everything_once_admitted(world: World) -> None:
    store = world.stores["downtown"]
    cursor = world.database.cursors[store.name]
    world.database.cursors[store.name] = cursor._replace(admitted=False)
    world.restart_central()
    assert store.shipper is not None
    shipper = store.shipper
    seconds_until(world, lambda: shipper.state.link is Link.REFUSED, 1.0 + ROUND_S)
    sent = store.events_sent
    commit(store, 10)
    world.agenda.run(world.agenda.now_s + 600.0)
    assert store.events_sent == sent
    assert shipper.state == (3, Link.REFUSED, frames.NOT_ADMITTED, 0)
    world.central.admitted(world.database.admit(store.name))
    seconds_until(world, partial(drained, world, store), LONGEST_HEARTBEAT_S + 2 * ROUND_S)


def test_after_a_reset_of_central_everything_comes_back(world: World) -> None:
    for store in world.stores.values():
        commit(store, 300)
    world.agenda.run(world.agenda.now_s + 5.0)
    world.check_drained()
    world.database.archive.clear()
    world.database.cursors.clear()
    world.database.fresh_us.clear()
    world.restart_central()
    for store in world.stores.values():
        world.central.admitted(world.database.admit(store.name))
    for store in world.stores.values():
        seconds_until(world, partial(drained, world, store), LONGEST_HEARTBEAT_S + 4 * ROUND_S)


def test_a_central_that_took_over_is_known_within_a_second(world: World) -> None:
    world.restart_central()
    known: set[str] = set()

    def all_spoke() -> bool:
        known.update(name for name in world.stores if world.central.receiver._peers[name].heard)
        return len(known) == len(world.stores)

    seconds_until(world, all_spoke, 1.0 + ROUND_S)


@pytest.mark.business
def test_the_age_of_a_quiet_stores_numbers_stays_within_two_heartbeats(world: World) -> None:
    oldest_us = 0

    def measure() -> None:
        nonlocal oldest_us
        ages_us = [world.database_clock_us - world.database.fresh_us[name] for name in world.stores]
        oldest_us = max(oldest_us, *ages_us)
        world.agenda.after(0.1, measure)

    measure()
    world.agenda.run(world.agenda.now_s + 60.0)
    assert oldest_us / 1_000_000 <= 2 * LONGEST_HEARTBEAT_S + ROUND_S


@pytest.mark.business
def test_the_age_of_a_silent_stores_numbers_grows(world: World) -> None:
    store = world.stores["downtown"]
    store.kill()
    world.agenda.run(world.agenda.now_s + 1.0)
    fresh_us = world.database.fresh_us[store.name]
    commit(store)
    world.agenda.run(world.agenda.now_s + 600.0)
    assert world.database.fresh_us[store.name] == fresh_us


def test_a_frame_that_never_gets_through_costs_little(world: World) -> None:
    """As a broker does that takes no message of its size, though it takes those behind it."""
    store = world.stores["downtown"]
    store.outbox.batch_max = 1
    first_seq = len(store.outbox.bodies) + 1
    publish = world.network.publish

    def choosy(channel: str, payload: bytes) -> bool:
        frame = frames.decode_up(payload) if channel == store.up else None
        if isinstance(frame, frames.Events) and frame.first_seq <= first_seq <= frame.last_seq:
            return True
        return publish(channel, payload)

    world.network.publish = choosy  # type: ignore[method-assign]
    commit(store, 100)
    sent = store.events_sent
    world.agenda.run(world.agenda.now_s + 600.0)
    assert store.events_sent - sent < 60
    world.network.publish = publish  # type: ignore[method-assign]
    seconds_until(world, partial(drained, world, store), 40.0)

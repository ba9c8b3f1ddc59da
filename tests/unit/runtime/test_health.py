"""Alive and ready, as told by another thread than the one that may hang."""

from __future__ import annotations

import asyncio
import threading
from random import Random

import pytest
import structlog
from prometheus_client import CollectorRegistry

from invctl.clock import ManualClock
from invctl.errors import UnreachableError
from invctl.runtime.breaker import Breaker
from invctl.runtime.health import STALLED_AFTER_S, Health
from invctl.runtime.watch import BusMeter, new_registry, watch_server
from invctl.settings import Listen
from tests.watching import get, scrape

pytestmark = pytest.mark.metrics


def test_a_process_is_alive_while_its_loop_turns() -> None:
    clock = ManualClock()
    health = Health(clock)
    clock.advance(STALLED_AFTER_S - 0.1)
    assert health.liveness() == (True, {"alive": True, "stands_still_s": 9.9})
    clock.advance(0.1)
    assert health.liveness() == (False, {"alive": False, "stands_still_s": 10.0})
    clock.shift_wall(-3600)
    health.beat()
    assert health.liveness()[0]


def test_a_process_is_ready_when_nothing_speaks_against_it() -> None:
    health, why = Health(clock := ManualClock()), dict[str, str]()
    health.add_check("bus", lambda: why.get("bus"))
    health.add_check("database", lambda: why.get("database"))
    assert health.readiness() == (True, {"ready": True, "reasons": {}})
    why["bus"] = "not subscribed"
    assert health.readiness() == (False, {"ready": False, "reasons": {"bus": "not subscribed"}})
    clock.advance(60)
    assert health.readiness()[1]["reasons"].keys() == {"bus", "loop"}


@pytest.mark.fault_tolerance
async def test_a_loop_that_hangs_is_told_and_its_end_too() -> None:
    """The loop really stands still; only the clock is ours, so that nobody waits ten seconds."""
    clock = ManualClock()
    health = Health(clock)
    server = watch_server(Listen("127.0.0.1", 0), CollectorRegistry(), health, log=structlog.get_logger())
    server.start()
    beating = asyncio.create_task(health.beats())
    await asyncio.sleep(0)
    url = server.url
    assert url
    seen = []

    def ask() -> None:
        seen.append(get(url, "/livez"))
        clock.advance(STALLED_AFTER_S)
        seen.append(get(url, "/livez"))

    watcher = threading.Thread(target=ask)
    watcher.start()
    watcher.join()  # this is the loop's own thread: it stands still until the watcher has seen it
    assert [each.status for each in seen] == [200, 503]
    assert seen[1].json == {"alive": False, "stands_still_s": 10.0}
    while not health.liveness()[0]:  # noqa: ASYNC110 - a heartbeat announces nothing
        await asyncio.sleep(0)
    beating.cancel()
    assert get(url, "/livez").status == 200
    server.stop()


def test_what_all_daemons_show() -> None:
    clock = ManualClock()
    health = Health(clock)
    log = structlog.get_logger()
    breaker = Breaker("bus", clock=clock, chance=Random(1), log=log)
    registry = new_registry("invd", "1.2.3", health, [breaker])
    meter = BusMeter()
    registry.register(meter)
    health.add_check("bus", lambda: "away" if breaker.status().failures else None)
    server = watch_server(Listen("127.0.0.1", 0), registry, health, log=log)
    server.start()
    assert server.url
    try:
        meter.published(100, 0.0003)
        meter.published(50, 0.02)
        meter.received(7)
        meter.subscribed()
        meter.lost()
        for cause in ("timeout", "of another kind", ""):
            meter.publish_failed(cause)
        before = scrape(server.url)
        for _ in range(4):
            with pytest.raises(UnreachableError), breaker.attempt():
                raise UnreachableError
        clock.advance(2.0)
        after = scrape(server.url)
        ready = get(server.url, "/readyz")
    finally:
        server.stop()
    expected = {
        'invctl_build_info{process="invd",version="1.2.3"}': 1,
        "invctl_bus_published_messages_total": 2,
        "invctl_bus_published_bytes_total": 150,
        "invctl_bus_publish_seconds_count": 2,
        'invctl_bus_publish_seconds_bucket{le="0.0005"}': 1,
        "invctl_bus_received_messages_total": 1,
        "invctl_bus_received_bytes_total": 7,
        "invctl_bus_subscriptions_total": 1,
        "invctl_bus_losses_total": 1,
        'invctl_bus_publish_failures_total{cause="timeout"}': 1,
        'invctl_bus_publish_failures_total{cause="other"}': 2,
        'invctl_bus_publish_failures_total{cause="breaker_open"}': 0,
        'invctl_breaker_state{breaker="bus",state="closed"}': 1,
        'invctl_breaker_state{breaker="bus",state="open"}': 0,
        "invctl_ready": 1,
        "invctl_loop_stands_still_seconds": 0,
    }
    assert {name: before[name] for name in expected} == expected
    assert before["process_cpu_seconds_total"] > 0
    changed = {
        'invctl_breaker_state{breaker="bus",state="closed"}': 0,
        'invctl_breaker_state{breaker="bus",state="open"}': 1,
        'invctl_breaker_failures{breaker="bus"}': 3,
        'invctl_breaker_opened_total{breaker="bus"}': 1,
        'invctl_breaker_refused_calls_total{breaker="bus"}': 1,
        "invctl_ready": 0,
        "invctl_loop_stands_still_seconds": 2,
    }
    assert {name: after[name] for name in changed} == changed
    assert (ready.status, ready.json) == (503, {"ready": False, "reasons": {"bus": "away"}})

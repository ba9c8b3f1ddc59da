"""What a central shows of its stores, and whether it is ready."""

from __future__ import annotations

from collections import Counter

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from central.freshness import Freshness
from central.metrics import OfficeCollector, Sight
from central.tables import ADMITTED
from central.views import StoreRow
from central.watching import ANSWERED_WITHIN_S, Watching
from invctl.clock import ManualClock
from invctl.errors import UnreachableError
from tests.layers import breaker
from tests.watching import parse

pytestmark = pytest.mark.metrics


def store_row(store: str = "downtown", status: str = ADMITTED, age_s: float | None = 1.5) -> StoreRow:
    return StoreRow(
        store=store,
        status=status,
        name=None,
        currency=None,
        timezone=None,
        slot=9,
        shard=0,
        first_hash=None,
        first_heard_us=1,
        admitted_us=1,
        epoch=1,
        applied_us=1,
        lag=3,
        suspects=2,
        open_reservations=6,
        other_ledger_us=None,
        fresh=Freshness(7, age_s, True, 10, 0.5, False, 5 if store == "midtown" else None),
    )


def test_stores_are_shown_once_they_are_admitted_and_their_ages_grow_by_themselves() -> None:
    clock, registry = ManualClock(), CollectorRegistry()
    meter = OfficeCollector(clock)
    meter.register(registry)
    stores = [store_row(), store_row("midtown", age_s=None), store_row("harlem", status="pending")]
    meter.note_stores([*stores, store_row("bronx")._replace(shard=5)], {0: 40, 3: 7, 5: 9})
    meter.note_work(Counter(events=4, gap=2, hello_frames=9, cursors_moved=1, transactions_failed=3))
    meter.sees(Sight(lambda: [0, 3], lambda: 2, 8, lambda: 5_000_000))
    meter.lost("ended")
    meter.applied(0.003)
    meter.asked("acquire", "granted", 0.001)
    meter.arrived([0.004, -1.0])
    clock.advance(10.0)
    clock.shift_wall(-3600)
    shown = parse(generate_latest(registry))
    expected = {
        'invcentral_stores{status="admitted"}': 2,
        'invcentral_stores{status="waiting"}': 1,
        'invcentral_store_lag_events{store="downtown"}': 3,
        'invcentral_store_applied_seq{store="downtown"}': 7,
        'invcentral_store_suspect_skus{store="midtown"}': 2,
        'invcentral_store_open_reservations{store="downtown"}': 6,
        "invcentral_disk_free_bytes": 5_000_000,
        'invcentral_store_fresh_age_seconds{store="downtown"}': 11.5,
        'invcentral_store_heard_age_seconds{store="midtown"}': 10.5,
        'invcentral_store_diverged{store="downtown"}': 0,
        'invcentral_store_diverged{store="midtown"}': 1,
        "invctl_events_applied_total": 4,
        "invcentral_version_conflicts_total": 1,
        "invcentral_retries_total": 3,
        "invcentral_lock_wait_seconds_count": 1,
        'invcentral_odd_frames_total{outcome="gap"}': 2,
        'invcentral_odd_frames_total{outcome="damaged"}': 0,
        'invcentral_frames_total{kind="hello"}': 9,
        "invcentral_shards": 8,
        "invcentral_shards_held": 2,
        'invcentral_leases_lost_total{reason="ended"}': 1,
        'invcentral_leases_lost_total{reason="fence"}': 0,
        'invcentral_shard_position{shard="3"}': 7,
        "invcentral_centrals": 2,
        "invcentral_apply_seconds_count": 1,
        "invctl_end_to_end_seconds_count": 2,
        'invctl_end_to_end_seconds_bucket{le="0.002"}': 1,
    }
    assert {name: shown[name] for name in expected} == expected
    assert 'invcentral_store_fresh_age_seconds{store="midtown"}' not in shown
    # Neither one that waits, nor what another central holds: that one shows it.
    assert not any("harlem" in name or "bronx" in name or 'shard="5"' in name for name in shown)


@pytest.mark.fault_tolerance
def test_what_is_held_no_more_is_not_shown_although_nothing_new_was_noted() -> None:
    """As where the database is away: then nothing can be read of it."""
    registry, held, living = CollectorRegistry(), [0, 3], [1, 2]
    watching = Watching(ManualClock(), [])
    watching.meter.register(registry)
    watching.sees(Sight(lambda: held, lambda: len(living), 8))
    watching.meter.note_stores([store_row()], {0: 40})
    watching.meter.note_work(Counter(events=4))
    assert parse(generate_latest(registry))['invcentral_store_applied_seq{store="downtown"}'] == 7
    held.clear()
    living.clear()
    shown = parse(generate_latest(registry))
    assert (shown["invcentral_shards_held"], shown["invcentral_centrals"], shown["invcentral_shards"]) == (0, 0, 8)
    assert shown["invctl_events_applied_total"] == 4
    assert not any(name.startswith(("invcentral_store_", "invcentral_shard_position")) for name in shown)
    assert watching.health.readiness()[1]["shards"] == []


class TestReadiness:
    def test_a_standby_that_reaches_database_and_leases_is_ready_without_a_subscription(self) -> None:
        watching = Watching(ManualClock(), [])
        watching.hears_by(lambda: "no subscription stands")
        assert watching.health.readiness()[1]["reasons"] == {"leases": "not asked yet", "database": "not asked yet"}
        watching.answered("leases")
        watching.answered("database")
        assert watching.health.readiness() == (True, {"ready": True, "reasons": {}, "role": "standby", "shards": []})
        watching.sees(Sight(lambda: [3, 1]))
        told = watching.health.readiness()[1]
        assert (told["reasons"], told["role"], told["shards"]) == (
            {"bus": "no subscription stands"},
            "serving",
            [1, 3],
        )

    @pytest.mark.fault_tolerance
    def test_a_database_that_fails_or_says_nothing_is_told(self) -> None:
        clock = ManualClock()
        watching = Watching(clock, [])
        watching.answered("leases")
        watching.answered("database", UnreachableError("the database is away"))
        assert watching.health.readiness()[1]["reasons"] == {"database": "the database is away"}
        watching.answered("database")
        clock.advance(ANSWERED_WITHIN_S + 1)
        watching.health.beat()
        watching.answered("leases")
        assert watching.health.readiness()[1]["reasons"] == {"database": "no answer for 11 s"}

    @pytest.mark.fault_tolerance
    def test_an_open_breaker_speaks_against_it_and_is_in_the_status(self) -> None:
        clock = ManualClock()
        guard = breaker("leases", clock=clock)
        watching = Watching(clock, [guard])
        watching.answered("leases")
        watching.answered("database")
        assert watching.told()["ready"] is True
        for _ in range(3):
            with pytest.raises(UnreachableError), guard.attempt():
                raise UnreachableError("gone")
        told = watching.told()
        assert (told["ready"], told["metrics"], told["breakers"]["leases"]["state"]) == (False, None, "open")
        assert told["reasons"]["leases_breaker"].startswith("open since 2026-01-01T")

"""What the service measures and says, and that both are bounded."""

from __future__ import annotations

import pytest
import structlog
from structlog.testing import capture_logs

from central.database_clock import DatabaseClock
from central.latency import SAMPLES_MAX, Latencies
from central.limited_log import BURST_LINES, LimitedLog
from invctl.clock import ManualClock

pytestmark = pytest.mark.metrics

START_US = 1_767_225_600_000_000


def test_quantiles_are_those_of_the_events_that_were_committed() -> None:
    latencies = Latencies()
    assert latencies.quantiles() is None
    latencies.note([START_US - each * 1000 for each in range(1, 101)], START_US)
    assert latencies.quantiles() == {"p50": 50.0, "p99": 99.0}


def test_only_the_latest_events_count() -> None:
    latencies = Latencies()
    latencies.note([START_US - 60_000_000] * SAMPLES_MAX, START_US)
    for _ in range(SAMPLES_MAX):
        latencies.note([START_US - 2_000], START_US)
    assert latencies.quantiles() == {"p50": 2.0, "p99": 2.0}


def test_a_flood_of_lines_of_one_action_is_cut_and_counted_and_others_are_not() -> None:
    clock = ManualClock()
    log = LimitedLog(structlog.get_logger(), clock)
    with capture_logs() as lines:
        for _ in range(1000):
            log.warning("frame.damaged", store="downtown")
        log.error("sku.drifted", store="downtown")
    assert [line["event"] for line in lines] == ["frame.damaged"] * BURST_LINES + ["sku.drifted"]
    clock.advance(1.0)
    with capture_logs() as lines:
        log.info("frame.damaged", store="midtown")
        log.info("frame.damaged", store="midtown")
    assert lines == [
        {
            "event": "frame.damaged",
            "log_level": "info",
            "store": "midtown",
            "left_out": 1000 - BURST_LINES,
        }
    ]


def test_the_database_s_clock_is_carried_forward_whatever_this_machine_s_is_set_to() -> None:
    clock = ManualClock()
    time = DatabaseClock(clock)
    time.set(5_000_000)
    clock.advance(1.5)
    clock.shift_wall(-3600)
    assert time.now_us() == 6_500_000


def test_an_answer_that_comes_late_does_not_set_the_clock_back() -> None:
    time = DatabaseClock(ManualClock())
    time.set(5_000_000)
    assert time.now_us() == 5_000_000
    time.set(5_000_000 - 999_999)
    assert time.now_us() == 5_000_000


def test_a_database_whose_clock_was_set_back_is_followed() -> None:
    clock = ManualClock()
    time = DatabaseClock(clock)
    time.set(3_600_000_000)
    assert time.now_us() == 3_600_000_000
    time.set(7_000_000)
    clock.advance(0.5)
    assert time.now_us() == 7_500_000

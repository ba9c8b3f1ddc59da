"""Times as people at the counter read them."""

import time
from collections.abc import Iterator

import pytest

from invctl.cli.times import StoreTime, spoken
from invctl.clock import parse_time

pytestmark = pytest.mark.cli

NOW = "2026-11-24T09:30:00.000000Z"


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the machine's own zone to none of those in use here."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "instant", "short", "exact"),
    [
        ("UTC", "2026-11-24T10:42:07.999999Z", "10:42 UTC", "10:42:07 UTC"),
        ("America/New_York", "2026-11-24T10:42:07Z", "05:42 EST", "05:42:07 EST"),
        # Another day there, though it is the same in Greenwich.
        ("America/New_York", "2026-11-24T04:59:59Z", "2026-11-23 23:59 EST", "2026-11-23 23:59:59 EST"),
        ("Asia/Kolkata", "2026-11-24T19:00:00Z", "2026-11-25 00:30 IST", "2026-11-25 00:30:00 IST"),
        # The machine's own, by way of the C library.
        ("Pacific/Auckland", "2026-11-24T10:59:00Z", "23:59 NZDT", "23:59:00 NZDT"),
        ("Pacific/Auckland", "2026-11-24T11:00:00Z", "2026-11-25 00:00 NZDT", "2026-11-25 00:00:00 NZDT"),
        # This machine does not know it.
        ("Mars/Olympus", "2026-11-24T10:42:07Z", "10:42 UTC", "10:42:07 UTC"),
    ],
)
def test_an_instant(zone: str, instant: str, short: str, exact: str) -> None:
    when = StoreTime(zone, parse_time(NOW))
    assert (when.short(instant), when.exact(instant)) == (short, exact)
    assert when.exact(parse_time(instant)) == exact


def test_summer_and_winter_have_their_own_offsets() -> None:
    when = StoreTime("Europe/Berlin", parse_time(NOW))
    assert when.short("2026-07-01T10:00:00Z") == "2026-07-01 12:00 CEST"
    assert when.short("2026-11-24T10:00:00Z") == "11:00 CET"


def test_how_long_it_is() -> None:
    when = StoreTime("UTC", parse_time(NOW))
    assert when.until("2026-11-24T10:00:00Z") == "30 min"
    assert when.since("2026-11-24T10:00:00Z") == "0 s"
    assert when.since("2026-11-24T09:29:15.500000Z") == "44 s"
    assert when.until("2026-11-24T09:29:15Z") == "0 s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (1, "1 s"),
        (59, "59 s"),
        (60, "1 min"),
        (90, "1 min 30 s"),
        (119, "1 min 59 s"),
        (121, "2 min"),
        (1799, "29 min"),
        (1800, "30 min"),
        (3600, "1 h"),
        (5430, "1 h 30 min"),
        (86_400, "1 day"),
        (90_000, "1 day 1 h"),
        (172_800, "2 days"),
        (176_459, "2 days 1 h"),
        (86_460, "1 day 1 min"),
    ],
)
def test_a_duration(seconds: int, text: str) -> None:
    assert spoken(seconds) == text

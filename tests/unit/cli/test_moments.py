"""Moments as people say them, in the store's time zone."""

from __future__ import annotations

import pytest

from invctl.cli.moments import parse_moment
from invctl.cli.times import StoreTime
from invctl.clock import format_time, parse_time
from invctl.errors import InvalidValueError

NOW = "2026-03-10T03:30:00.000000Z"
WHEN = StoreTime("America/New_York", parse_time(NOW))  # the evening of the 9th there, two days after the clocks changed


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("today", "2026-03-09T04:00:00Z"),
        ("today 18:00", "2026-03-09T22:00:00Z"),
        ("Yesterday  9:05", "2026-03-08T13:05:00Z"),
        ("yesterday 01:00", "2026-03-08T06:00:00Z"),
        ("2026-03-01 18:00:30", "2026-03-01T23:00:30Z"),
        ("2026-03-01", "2026-03-01T05:00:00Z"),
        ("2h", "2026-03-10T01:30:00Z"),
        ("2026-03-01T18:00:00Z", "2026-03-01T18:00:00Z"),
        ("2026-03-01T18:00:00+01:00", "2026-03-01T17:00:00Z"),
    ],
)
def test_what_is_meant(said: str, meant: str) -> None:
    assert format_time(parse_moment(said, WHEN)) == format_time(parse_time(meant))


@pytest.mark.parametrize(
    "said", ["", "tomorrow", "yesterday 25:00", "2026-02-30", "18:00", "2026-03-01T18:00:00", "-2h"]
)
def test_what_is_no_moment_is_refused(said: str) -> None:
    with pytest.raises(InvalidValueError):
        parse_moment(said, WHEN)

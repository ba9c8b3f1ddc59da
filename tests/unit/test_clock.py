from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invctl.clock import format_time, parse_time

pytestmark = pytest.mark.business

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def us(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


# From the year 1000: what strftime writes for an earlier one is not padded, and differs from system to system.
instants = st.integers(us(datetime(1000, 1, 1, tzinfo=UTC)), us(datetime.max.replace(tzinfo=UTC)))


@given(instants)
def test_an_instant_is_written_as_the_plain_way_writes_it(instant_us: int) -> None:
    plain = (EPOCH + timedelta(microseconds=instant_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    assert format_time(instant_us) == plain


@pytest.mark.parametrize(
    ("instant_us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_795_512_600_000_000, "2026-11-24T09:30:00.000000Z"),
        (us(datetime.min.replace(tzinfo=UTC)), "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_a_written_instant_has_six_decimals_and_four_digits_of_a_year(instant_us: int, text: str) -> None:
    assert format_time(instant_us) == text


@given(instants)
def test_what_is_written_reads_back(instant_us: int) -> None:
    assert parse_time(format_time(instant_us)) == instant_us


@given(instants, instants)
def test_text_sorts_as_time_does(one_us: int, other_us: int) -> None:
    assert (format_time(one_us) < format_time(other_us)) == (one_us < other_us)

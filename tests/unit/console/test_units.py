"""Durations and money, as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invctl import language
from invctl.console.units import format_duration, format_money, parse_duration, parse_money, parse_whole
from invctl.errors import InvalidValueError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("2h", 7200), ("90s", 90), ("1d", 86_400), ("1h30m", 5400), ("1d2h3m4s", 93_784), ("0s", 0)],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "30", "m", "30M", "-5m", "1.5h", "30m1h", " 5m", "5m\n", "5 m", "٣m", "9999999999s"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_duration(text)
    assert repr(text) in caught.value.message
    assert "30m" in caught.value.hint


def test_whole_numbers_of_a_range() -> None:
    assert [parse_whole(text, 1, 8) for text in ("1", "8", "007")] == [1, 8, 7]
    for text in ("", "0", "9", "abc", "-1", "1.5", "1e1", "²", "9" * 5000):
        with pytest.raises(InvalidValueError, match="is not a whole number from 1 to 8"):
            parse_whole(text, 1, 8)


@given(st.integers(0, 999_999 * 86_400))
def test_a_duration_reads_back_as_it_was_written(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


def test_durations_are_written_without_empty_units() -> None:
    assert [format_duration(seconds) for seconds in (0, 59, 3600, 5400, 86_401)] == ["0s", "59s", "1h", "1h30m", "1d1s"]


@pytest.mark.parametrize(
    ("text", "exponent", "minor"),
    [("80.00", 2, 8000), ("80", 2, 8000), ("80.5", 2, 8050), ("0.01", 2, 1), ("80", 0, 80), ("1.234", 3, 1234)],
)
def test_money(text: str, exponent: int, minor: int) -> None:
    assert parse_money(text, exponent) == minor


@pytest.mark.parametrize(
    ("text", "exponent", "example"),
    [
        ("", 2, "80.00"),
        ("80.005", 2, "80.00"),
        ("80.0", 0, "80"),
        ("1,299", 2, "80.00"),
        ("80,5", 0, "80"),
        ("1,299.00", 2, "80.00"),
        ("-1", 2, "80.00"),
    ]
    + [(text, 3, "80.000") for text in (".5", "5.", "$5", "1e3", "٣", "5\n", "1" * 13)],
)
def test_what_is_no_amount(text: str, exponent: int, example: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_money(text, exponent)
    assert repr(text) in caught.value.message
    assert caught.value.hint.endswith(f" {example}")


@given(st.integers(0, 10**12 - 1), st.integers(0, 6))
def test_money_reads_back_as_it_was_written(minor: int, exponent: int) -> None:
    # Less the marks of thousands, which might be meant for that of the decimals.
    assert parse_money(format_money(minor, exponent).replace(",", ""), exponent) == minor


@pytest.mark.parametrize(("text", "exponent", "minor"), [("80,00", 2, 8000), ("80,5", 2, 8050), ("80,5", 3, 80_500)])
def test_a_comma_before_one_or_two_digits_is_the_mark_of_decimals(text: str, exponent: int, minor: int) -> None:
    assert parse_money(text, exponent) == minor


@pytest.mark.parametrize(
    ("locale", "shown"), [("en", "1,234.50"), ("es_ES", "1.234,50"), ("es", "1.234,50"), ("es_MX", "1,234.50")]
)
def test_money_is_shown_as_the_clerks_country_writes_it(locale: str, shown: str) -> None:
    language.speak(locale)
    try:
        assert format_money(123_450, 2) == shown
    finally:
        language.speak("en")


@pytest.mark.parametrize("exponent", [0, 2, 3, 4])
@pytest.mark.parametrize("locale", ["en", "es_ES"])
def test_what_the_hint_shows_can_be_typed(locale: str, exponent: int) -> None:
    language.speak(locale)
    try:
        with pytest.raises(InvalidValueError) as caught:
            parse_money("?", exponent)
        assert parse_money(caught.value.hint.split()[-1], exponent) == 80 * 10**exponent
    finally:
        language.speak("en")


def test_negative_money_can_be_shown() -> None:
    assert format_money(-5, 2) == "-0.05"

"""A point in the stream, as it is typed and shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.tail import format_positions, parse_positions
from invctl.errors import InvalidValueError


@pytest.mark.parametrize(
    ("text", "positions"),
    [("0", {0: 0}), ("1234", {0: 1234}), ("0:5", {0: 5}), ("0:1234,1:88", {0: 1234, 1: 88}), ("3:1", {3: 1})],
)
def test_positions_are_read(text: str, positions: dict[int, int]) -> None:
    assert parse_positions(text) == positions


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1,2", "0:1,", "0:1,7", ":1", "1:", "0:x", "a:1", "0:1:2", "1.5", "²", "9" * 20, "9" * 5000]
)
def test_what_is_no_position_is_said(text: str) -> None:
    with pytest.raises(InvalidValueError):
        parse_positions(text)


@given(st.dictionaries(st.integers(0, 63), st.integers(0, 2**63 - 1), min_size=1))
def test_what_was_written_is_read_again(positions: dict[int, int]) -> None:
    assert parse_positions(format_positions(positions)) == positions


def test_with_one_shard_it_is_a_number() -> None:
    assert format_positions({0: 1234}) == "1234"
    assert format_positions({1: 88, 0: 1234}) == "0:1234,1:88"

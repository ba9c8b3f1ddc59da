from __future__ import annotations

import pytest

from invctl.bus.names import checked, hears, prefix_of


@pytest.mark.parametrize(
    ("name", "channel", "heard"),
    [
        ("inv:up", "inv:up", True),
        ("inv:up", "inv:up:1", False),
        ("inv:up:*", "inv:up:1", True),
        ("inv:up:*", "inv:up:", True),
        ("inv:up:*", "inv:up", False),
        ("inv:up:s1*", "inv:up:s10", True),
        ("inv:up:s1:*", "inv:up:s10:x", False),
        ("a*b", "a*b", True),
        ("a*b", "axb", False),
        ("a*b*", "a*bc", True),
        ("a*b*", "axbc", False),
        ("*", "anything", True),
        ("*", "", True),
    ],
)
def test_a_name_hears_itself_and_a_prefix_what_begins_with_it(name: str, channel: str, heard: bool) -> None:
    assert hears(name, channel) is heard


def test_a_prefix_is_what_stands_before_the_last_star() -> None:
    assert prefix_of("inv:up") is None
    assert prefix_of("a*b*") == "a*b"
    assert prefix_of("a**") == "a*"


def test_each_channel_counts_once_in_the_order_asked() -> None:
    assert checked(["b", "a", "b"]) == ("b", "a")

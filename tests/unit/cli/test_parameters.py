"""How a command's values are read: exactly, or not at all."""

import re

import pytest

from invctl.cli.money import format_price, parse_price
from invctl.cli.origin import new_trace, origin
from invctl.cli.parameters import Item, parse_item, parse_part, parse_quantity, parse_whole
from invctl.errors import InvalidValueError

pytestmark = pytest.mark.cli


@pytest.mark.parametrize(("text", "number"), [("12", 12), ("-1", -1), ("+3", 3), ("0", 0), ("007", 7)])
def test_a_whole_number(text: str, number: int) -> None:
    assert parse_whole(text) == number


@pytest.mark.parametrize("text", ["", " 1", "1 ", "1_0", "1.0", "1e3", "0x1", "--1", "٣", "¹", "1" * 16, "1\n"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_whole(text)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["0", "-1", "1000000001"])
def test_a_quantity_is_one_or_more(text: str) -> None:
    with pytest.raises(InvalidValueError):
        parse_quantity(text)


def test_an_item() -> None:
    assert parse_item("mouse-001") == Item("MOUSE-001", 1)
    assert parse_item("MOUSE-001=12") == Item("MOUSE-001", 12)
    assert parse_part("MOUSE-001=12") == Item("MOUSE-001", 12)


@pytest.mark.parametrize("text", ["=2", "MOUSE-001=", "MOUSE-001=2=3", "MOUSE 001", "MOUSE-001=0"])
def test_what_is_no_item(text: str) -> None:
    with pytest.raises(InvalidValueError, match=re.escape(text)) as caught:
        parse_item(text)
    assert caught.value.hint
    with pytest.raises(InvalidValueError):
        parse_part(text)


def test_a_part_says_how_many() -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_part("mouse-001")
    assert caught.value.hint == "write mouse-001=1; lines that are not named are released"


@pytest.mark.parametrize(
    ("currency", "text", "minor", "shown"),
    [
        ("USD", "80", 8000, "80.00"),
        ("EUR", "0.05", 5, "0.05"),
        ("JPY", "500", 500, "500"),
        ("KWD", "1.5", 1500, "1.500"),
        ("CLF", "0.0001", 1, "0.0001"),
        # Not in the table, as most are not: hundredths.
        ("XXX", "1.25", 125, "1.25"),
    ],
)
def test_a_price_is_exact_in_its_currency(currency: str, text: str, minor: int, shown: str) -> None:
    assert parse_price(text, currency) == minor
    assert format_price(minor, currency) == shown


@pytest.mark.parametrize(("currency", "text"), [("USD", "1.234"), ("JPY", "5.0"), ("KWD", "1.2345"), ("USD", "-1")])
def test_a_price_is_not_rounded(currency: str, text: str) -> None:
    with pytest.raises(InvalidValueError):
        parse_price(text, currency)


class TestTrace:
    PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    def test_a_step_of_a_trace(self) -> None:
        trace, within = new_trace(self.PARENT)
        assert within == self.PARENT[36:52]
        assert trace[:36] == self.PARENT[:36]
        assert re.fullmatch(r"[0-9a-f]{16}-01", trace[36:])
        assert trace != self.PARENT
        assert new_trace(self.PARENT[:-2] + "00")[0].endswith("-00")

    @pytest.mark.parametrize(
        "parent",
        [
            "",
            "nonsense",
            PARENT + "-more",
            PARENT.upper(),
            "01" + PARENT[2:],
            "00-" + "0" * 32 + PARENT[35:],
            PARENT[:36] + "0" * 16 + "-01",
        ],
    )
    def test_a_parent_that_is_none_begins_a_new_one(self, parent: str) -> None:
        trace, within = new_trace(parent)
        assert within == ""
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace)
        assert "4bf92f3577b34da6" not in trace
        assert trace[3:35] != new_trace(parent)[0][3:35]

    def test_an_origin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRACEPARENT", self.PARENT)
        asked = origin("ana", "r1")
        assert (asked.clerk, asked.request_id, asked.trace[:36]) == ("ana", "r1", self.PARENT[:36])
        assert asked.parent == self.PARENT[36:52]
        assert origin(None, None)[:2] == ("", "")

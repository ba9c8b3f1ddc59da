"""Events in words, beyond what a store's clerk can bring about in a test."""

import pytest

from invctl.cli.telling import steps, table
from invctl.cli.times import StoreTime
from invctl.cli.words import named, units
from invctl.clock import parse_time
from invctl.ledger.reads import HistoryRow

pytestmark = pytest.mark.cli

WHEN = StoreTime("UTC", parse_time("2026-11-24T09:30:00Z"))


def row(**fields: object) -> HistoryRow:
    known = dict.fromkeys(HistoryRow._fields) | {"seq": 1, "time": "2026-11-24T09:00:00Z"}
    return HistoryRow(**{**known, "on_hand_change": 0, "reserved_change": 0, **fields})  # type: ignore[arg-type] # of tests


def test_an_event_that_has_no_words_is_told_by_its_type() -> None:
    _, (told,) = table([row(event="ledger.rebased")], WHEN)
    assert told["event"] == "ledger.rebased"


def test_a_level_that_does_not_move_stands_alone() -> None:
    counted_out = row(event="stock.adjusted", reason="damaged", on_hand=4, on_hand_change=-1, reserved=2)
    _, (told,) = table([counted_out], WHEN)
    assert (told["event"], told["on_hand"], told["reserved"]) == ("damaged", "4 (-1)", "2")


def test_the_zone_stands_above_the_times_or_with_each_where_they_differ() -> None:
    berlin = StoreTime("Europe/Berlin", parse_time("2026-11-24T09:30:00Z"))
    winter, summer = row(event="opened"), row(event="opened", time="2026-07-01T09:00:00Z")
    for rows, heading, times in [
        ([winter, winter], "Time CET", ["10:00:00", "10:00:00"]),
        ([summer, winter], "Time", ["2026-07-01 11:00:00 CEST", "10:00:00 CET"]),
        ([], "Time", []),
    ]:
        columns, told = table(rows, berlin)
        assert columns[1].heading == heading
        assert [each["time"] for each in told] == times


def test_a_story_has_a_line_for_each_event_whatever_its_number_of_items() -> None:
    common = {"seq": 9, "event": "reservation.confirmed", "clerk": "ana"}
    rows = [
        row(**common, sku="LAPTOP-001", on_hand_change=-1, reserved_change=-3),
        row(**common, sku="MOUSE-001", on_hand_change=0, reserved_change=-2),
    ]
    assert steps(rows, WHEN) == [
        "09:00:00 UTC  confirmed by ana: 1 LAPTOP-001 sold, 2 LAPTOP-001 released, 2 MOUSE-001 released  (event 9)"
    ]


def test_lists_and_units() -> None:
    assert units([("A", 2), ("B", 0), ("C", 1)]) == "2 A, 1 C"
    assert [named("abc", at_most) for at_most in (3, 2)] == ["a, b, c", "a, b and 1 more"]

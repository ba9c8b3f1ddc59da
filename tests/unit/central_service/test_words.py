"""Events, levels, freshness and durations in words, whatever a store may have written."""

from __future__ import annotations

import json
import shlex
import time
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central.cli import words
from central.cli.following import Filters
from central.cli.narrow import cut
from central.cli.status import _lacks
from central.cli.tail import _again
from central.cli.tail_options import parse_start, parse_type
from central.cli.times import LocalTime
from central.freshness import Freshness
from central.tail import TailEvent
from invctl.clock import parse_time
from invctl.console.folding import folded
from invctl.console.style import paint
from invctl.errors import InvalidValueError
from invctl.model import events
from tests.integration.central.histories import History
from tests.unit.central_service.test_metrics import store_row

if TYPE_CHECKING:
    from collections.abc import Callable

    from central.tail import Positions
    from invctl.console.style import Part

pytestmark = pytest.mark.cli

DAY_US = 86_400_000_000

FRESH = Freshness(as_of_seq=48, age_s=0.41, gap=False, head_seq=48, heard_s=0.2, silent=False, lacks_seq=None)


def as_told(body: bytes) -> TailEvent:
    document = json.loads(body)
    return TailEvent(
        shard=0,
        position=1,
        store="downtown",
        seq=1,
        event_id=document["id"],
        type=document["type"],
        time_us=parse_time(document["time"]),
        applied_us=0,
        hash=b"",
        body=body,
        event=document,
    )


def written(write: Callable[[History], Any]) -> TailEvent:
    history = History(Random(1))
    history.adjust({"MOUSE-001": 50, "LAPTOP-001": 50})
    write(history)
    return as_told(history.bodies[-1])


def reserved_then(type_: str, confirmed: dict[str, int] | None = None) -> TailEvent:
    return written(lambda history: history.end(history.reserve({"MOUSE-001": 2, "LAPTOP-001": 1}), type_, confirmed))


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (written(lambda history: history.created()), "opened the ledger (Tech Store Downtown)"),
        (written(lambda history: history.state()), "stated its levels (2 SKUs)"),
        (written(lambda history: history.product("CABLE-001", "Cable")), "added CABLE-001 (Cable)"),
        (written(lambda history: history.product("MOUSE-001", "Mouse")), "edited MOUSE-001 (Mouse)"),
        (
            written(lambda history: history.adjust({"MOUSE-001": -3, "LAPTOP-001": 1}, "cycle_count")),
            "adjusted -3 MOUSE-001, +1 LAPTOP-001 (cycle count)",
        ),
        (
            written(lambda history: history.reserve({"MOUSE-001": 2})),
            "reserved 2 MOUSE-001 (R-… , order A-17, by anna)",
        ),
        (
            written(lambda history: history.extend(history.reserve({"MOUSE-001": 2}))),
            "extended 2 MOUSE-001 (R-… , order A-17, by anna, for 59m59s)",
        ),
        (
            reserved_then(events.RESERVATION_CONFIRMED, {"MOUSE-001": 1}),
            "sold 1 MOUSE-001 (R-… , order A-17, by anna, released 1 MOUSE-001, 1 LAPTOP-001)",
        ),
        (
            reserved_then(events.RESERVATION_CANCELLED),
            "cancelled 2 MOUSE-001, 1 LAPTOP-001 (R-… , order A-17, by anna)",
        ),
        (reserved_then(events.RESERVATION_EXPIRED), "expired 2 MOUSE-001, 1 LAPTOP-001 (R-… , order A-17)"),
        (
            written(
                lambda history: history.event("inventory.stock.teleported", "x", {"lines": [history.moved("A", 2, 1)]})
            ),
            "stock.teleported +2 A (+1 reserved)",
        ),
    ],
)
def test_every_kind_of_event_is_told(event: TailEvent, told: str) -> None:
    key = event.event["data"].get("reservation", "") if event.event else ""
    assert words.describe(event) == told.replace("R-… ", key)


def test_what_cannot_be_read_is_told_by_its_size() -> None:
    event = as_told(b'{"id":"1","type":"x","time":"2026-01-01T00:00:00Z"}')._replace(event=None, body=b"123")
    assert words.describe(event) == "unreadable 3 bytes (kept as they came)"
    assert words.levels_after(event) == ""


def test_levels_are_told_as_the_event_left_them() -> None:
    event = written(lambda history: history.reserve({"MOUSE-001": 2}))
    assert words.levels_after(event) == "MOUSE-001 50 on hand, 2 reserved"


def test_of_many_lines_the_first_are_told_and_the_rest_counted() -> None:
    event = written(lambda history: history.adjust({f"S{number}": 1 for number in range(50)}))
    assert words.tell(event).what.endswith("+1 S4, and 45 more")
    assert words.levels_after(event).endswith("; and 45 more")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["sku", "quantity"]), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        "skus",
        "reservation",
        "order",
        "clerk",
        "holds",
        "expires_at",
        "reason",
        "note",
        "sku",
        "name",
        "quantity",
        "lines",
    ]
)
LINES = st.lists(
    st.fixed_dictionaries(
        {
            "sku": st.text(max_size=5),
            **{name: st.integers(-9, 9) for name in ("on_hand", "reserved", "version")},
            **{name: st.integers(-9, 9) for name in ("on_hand_change", "reserved_change")},
        },
        optional=dict.fromkeys(("quantity", "confirmed", "released"), VALUES),
    ),
    max_size=3,
)


@settings(deadline=None)
@given(type_=st.sampled_from([*words._TELLERS, "inventory.x", "y"]), data=st.dictionaries(NAMES, VALUES), lines=LINES)
def test_no_data_that_a_ledger_of_any_version_may_write_breaks_the_telling(
    type_: str, data: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    body = events.compose(
        id="1", type=type_, store="downtown", time="2026-01-01T00:00:00Z", subject="", data={**data, "lines": lines}
    )
    assert events.parse(body).data is not None
    told = words.describe(as_told(body))
    assert told.startswith(words.tell(as_told(body)).verb)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0, "0.0s"),
        (0.44, "0.4s"),
        (9.94, "9.9s"),
        (9.96, "10.0s"),
        (10, "10s"),
        (59.9, "59s"),
        (60, "1m"),
        (75, "1m15s"),
        (3600, "1h"),
        (3605, "1h"),
        (11_100, "3h5m"),
        (90_000, "1d1h"),
    ],
)
def test_durations(seconds: float, told: str) -> None:
    assert words.duration(seconds) == told


@pytest.mark.parametrize(("ms", "told"), [(4.13, "4.1ms"), (999.9, "999.9ms"), (2500.0, "2.5s")])
def test_milliseconds(ms: float, told: str) -> None:
    assert words.milliseconds(ms) == told


@pytest.mark.business
@pytest.mark.parametrize(
    ("fresh", "told"),
    [
        (FRESH, ("0.4s", "")),
        (FRESH._replace(gap=True, head_seq=51), ("0.4s", "3 behind")),
        (FRESH._replace(age_s=75.0, heard_s=70.0, silent=True), ("1m15s", "may have moved")),
        (FRESH._replace(age_s=None, silent=True), ("never", "may have moved")),
        (FRESH._replace(lacks_seq=45), ("0.4s", "lacks event 45")),
    ],
)
def test_freshness_stands_beside_its_number(fresh: Freshness, told: tuple[str, str]) -> None:
    assert (words.bare_age(fresh), words.doubts(fresh)) == told


def test_why_a_number_is_in_doubt() -> None:
    assert words.doubts(FRESH, "does_not_follow") == "does not follow: count it"


def test_a_part_sale_is_shown_as_one() -> None:
    lines = [
        {"sku": "MOUSE-001", "quantity": 2, "confirmed": 1},
        {"sku": "LAPTOP-001", "quantity": 1, "confirmed": 1},
        {"sku": "KEYBOARD-001", "quantity": 3, "confirmed": 0},
    ]
    assert words.reserved_lines(lines) == "1 of 2 MOUSE-001, 1 LAPTOP-001, 3 KEYBOARD-001"


@pytest.mark.parametrize("word", words.VERBS)
def test_every_word_that_is_printed_is_taken_for_its_type(word: str) -> None:
    assert f"inventory.{words.VERBS[word]}" in words.TYPES
    assert parse_type(word) == words.VERBS[word]


def test_an_unknown_type_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidValueError) as refused:
        parse_type("reservation.creatd")
    assert "reservation.created" in refused.value.hint
    assert parse_type("inventory.reservation") == "reservation"


@pytest.mark.parametrize(
    ("width", "shown"), [(None, "reserved 2 MOUSE-001"), (20, "reserved 2 MOUSE-001"), (12, "reserved 2 …")]
)
def test_a_line_is_cut_to_the_terminal(width: int | None, shown: str) -> None:
    line: list[Part] = [("reserved", "cyan"), " 2 ", "MOUSE-001"]
    assert paint(cut(line, width), colour=False) == shown


def test_times_are_the_operator_s_own_with_the_date_where_it_is_another_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        when = LocalTime(parse_time("2026-07-01T12:00:00Z"))
        assert when.zone == "EDT"
        assert when.second(parse_time("2026-07-01T13:30:07Z")) == "09:30:07"
        assert when.millisecond(parse_time("2026-07-01T01:30:07.123456Z")) == "2026-06-30 21:30:07.123"
        # A clock that stands at the beginning of the calendar, where this time zone has none.
        assert when.second(parse_time("0001-01-01T00:00:00Z")) == "0001-01-01 00:00:00"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_ledger_that_was_refused_long_ago_is_an_operator_s_matter_no_more() -> None:
    row = store_row()._replace(other_ledger_us=DAY_US)
    assert words.troubles(row, 2 * DAY_US - 1) == [
        "downtown: another ledger under this id was refused, last 23h59m ago"
    ]
    assert words.troubles(row, 2 * DAY_US) == []
    # After the clock was set back, that moment is still to come.
    assert words.troubles(row, 0) == ["downtown: another ledger under this id was refused, last 0.0s ago"]


@pytest.mark.parametrize(
    ("after", "filters", "start", "narrowed"),
    [
        ({0: 0}, Filters(), {0: 0}, []),
        ({0: 1234}, Filters(stores=["downtown"]), {0: 1234}, ["--store", "downtown"]),
        ({0: 0, 1: 0}, Filters(), {0: 0}, []),
        ({0: 5, 1: 0}, Filters(), {0: 5}, []),
        (dict.fromkeys(range(64), 10**9), Filters(skus=["A-1", "B"]), None, ["--sku", "A-1", "--sku", "B"]),
    ],
)
def test_the_command_that_goes_on_is_one_command_to_a_shell_on_any_screen(
    after: Positions, filters: Filters, start: Positions | None, narrowed: list[str]
) -> None:
    told = paint(folded(f"go on with: {_again(after, filters)}", 80), colour=False)
    command = shlex.split(told.removeprefix("go on with: ").replace("\\\n", "").replace(" --from ", " --from="))
    assert "\n" not in told.replace("\\\n", "")
    assert command[:2] == ["invcentral", "tail"]
    (given,) = [word.removeprefix("--from=") for word in command if word.startswith("--from=")]
    assert parse_start(given) == (start or after)
    # Where there are several shards, a number alone would name none.
    assert len(after) == 1 or ":" in given or given == "0"
    assert [word for word in command[2:] if not word.startswith("--from=")] == narrowed


def test_why_a_central_is_not_ready_is_said_once_and_not_beside_a_pause_that_says_it() -> None:
    breakers = {"bus": {"state": "closed"}, "leases": {"state": "half_open"}}
    reasons = {"leases": "no", "leases_breaker": "half open: no", "bus": "its certificate is not trusted"}
    told = _lacks({"breakers": breakers, "reasons": reasons})
    assert "".join(part if isinstance(part, str) else part[0] for part in told) == (
        "\nnot ready    bus: its certificate is not trusted"
    )
    # An older process does not say it.
    assert _lacks({"breakers": breakers}) == []

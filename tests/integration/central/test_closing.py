"""The close of a day: which events are in it, by whose midnight, and when it is complete."""

from __future__ import annotations

import random
from datetime import date
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, update

from central import closing, tables
from central.closing import Totals, close_day, zone_of
from central.database import reading, writing
from invctl.clock import format_time, parse_time
from invctl.errors import NotFoundError
from invctl.model import events
from tests.integration.central.histories import History

if TYPE_CHECKING:
    from central.closing import StoreClose
    from invctl.clock import ManualClock
    from tests.integration.central.head_office import HeadOffice

pytestmark = pytest.mark.business

NEW_YEARS_EVE = date(2025, 12, 31)
NEW_YEAR = date(2026, 1, 1)
# In New York, and where nobody knows where it is.
MIDNIGHT, MIDNIGHT_UTC = "2026-01-01T05:00:00Z", "2026-01-01T00:00:00Z"


@pytest.fixture
def traded(office: HeadOffice, clock: ManualClock) -> dict[str, History]:
    """Two stores: one trades on New Year's Eve and on New Year's Day of New York, the other in a zone of its own."""
    downtown, midtown = (History(random.Random(seed), name) for seed, name in enumerate(("downtown", "midtown")))
    downtown.created()
    downtown.adjust({"MOUSE-001": 10, "LAPTOP-001": 5})
    key = downtown.reserve({"MOUSE-001": 4, "LAPTOP-001": 1})
    downtown.end(key, events.RESERVATION_CONFIRMED, {"MOUSE-001": 3})
    downtown.adjust({"LAPTOP-001": -2}, "damaged")
    downtown.now_us = parse_time(MIDNIGHT)
    downtown.adjust({"MOUSE-001": 7})
    midtown.created(timezone="Middle_Earth/Shire")
    office.admit("downtown", "midtown")
    office.apply(downtown.intake(), midtown.intake())
    clock.advance(30 * 86_400)
    return {"downtown": downtown, "midtown": midtown}


def proved(office: HeadOffice, **until: str) -> None:
    office.apply(fresh={store: parse_time(text) for store, text in until.items()})


def closed(office: HeadOffice, day: date) -> dict[str, StoreClose]:
    with reading(office.engine) as connection:
        return {each.store: each for each in close_day(connection, day).stores}


def test_a_day_is_that_of_the_store_and_each_event_is_in_one(office: HeadOffice, traded: dict[str, History]) -> None:
    history = traded["downtown"]
    eve, day = (closed(office, each)["downtown"] for each in (NEW_YEARS_EVE, NEW_YEAR))
    assert (eve.timezone, format_time(eve.until_us)) == ("America/New_York", "2026-01-01T05:00:00.000000Z")
    assert (eve.seq, eve.hash) == (5, history.hashes[5].hex())
    assert eve.totals == Totals(events=5, confirmed=1, sold=3, received=15, adjusted=-2)
    assert (day.seq, day.hash, day.from_us) == (6, history.hashes[6].hex(), eve.until_us)
    assert day.totals == Totals(events=1, received=7)
    before = closed(office, date(2025, 12, 30))["downtown"]
    assert (before.seq, before.hash, before.totals) == (0, None, Totals())


def test_where_nobody_knows_the_zone_it_is_utc(office: HeadOffice, traded: dict[str, History]) -> None:
    found = closed(office, NEW_YEARS_EVE)["midtown"]
    assert (found.timezone, format_time(found.until_us), found.seq) == ("UTC", "2026-01-01T00:00:00.000000Z", 0)
    assert closed(office, NEW_YEAR)["midtown"].seq == 1
    assert {zone_of(name).key for name in (None, "", "America", "../etc", "\0", "x" * 999)} == {"UTC"}


def test_it_is_complete_once_it_is_proved_beyond_the_store_s_own_midnight(
    office: HeadOffice, traded: dict[str, History]
) -> None:
    def told() -> list[tuple[str, int]]:
        return [(each.why_not, each.missing) for each in closed(office, NEW_YEARS_EVE).values()]

    assert told() == [(closing.NEVER_PROVED, 0)] * 2
    # At midnight in Greenwich it is seven in the evening at the one, and the other's day is over.
    proved(office, downtown=MIDNIGHT_UTC, midtown=MIDNIGHT_UTC)
    assert told() == [(closing.NOT_PROVED, 0), ("", 0)]
    traded["downtown"].adjust({"MOUSE-001": 1})
    office.apply(heard=(traded["downtown"].heard(),))
    assert told() == [(closing.NOT_PROVED, 1), ("", 0)]
    proved(office, downtown=MIDNIGHT)
    assert [why for why, _ in told()] == ["", ""]


def test_a_day_that_is_not_over_is_not_complete(office: HeadOffice, traded: dict[str, History]) -> None:
    assert {each.why_not for each in closed(office, date(9000, 1, 1)).values()} == {closing.NOT_OVER}


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_an_archive_that_is_not_what_its_hashes_say_is_not_complete(
    office: HeadOffice, traded: dict[str, History], damage: str
) -> None:
    proved(office, downtown="2026-01-02T05:00:00Z", midtown="2026-01-02T05:00:00Z")
    assert {each.why_not for day in (NEW_YEARS_EVE, NEW_YEAR) for each in closed(office, day).values()} == {""}
    third = (tables.archive.c.store == "downtown") & (tables.archive.c.seq == 3)
    with writing(office.engine) as connection:
        connection.execute(
            delete(tables.archive).where(third)
            if damage == "gone"
            else update(tables.archive).where(third).values(body=b"{}")
        )
        connection.commit()
    assert closed(office, NEW_YEARS_EVE)["downtown"].why_not == closing.ARCHIVE_DIFFERS
    assert closed(office, NEW_YEAR)["downtown"].complete


def test_a_clock_that_was_set_back_leaves_no_event_out_and_counts_none_twice(
    office: HeadOffice, traded: dict[str, History]
) -> None:
    history = traded["downtown"]
    history.now_us = parse_time(MIDNIGHT) - 3_600_000_000
    history.adjust({"MOUSE-001": 5})
    history.now_us = parse_time(MIDNIGHT) + 3_600_000_000
    history.adjust({"MOUSE-001": 6})
    office.take(history)
    eve, day = (closed(office, each)["downtown"] for each in (NEW_YEARS_EVE, NEW_YEAR))
    assert (eve.seq, eve.totals.events, eve.totals.received) == (7, 7, 27)
    assert (day.seq, day.totals) == (8, Totals(events=1, received=6))


def test_who_is_not_admitted_is_named_and_not_part_of_it(office: HeadOffice) -> None:
    with reading(office.engine) as connection, pytest.raises(NotFoundError):
        close_day(connection, NEW_YEAR)
    office.admit("downtown")
    waiting = History(random.Random(3), "harlem")
    waiting.created()
    office.register(waiting.heard())
    with reading(office.engine) as connection:
        found = close_day(connection, NEW_YEAR)
    assert ([each.store for each in found.stores], found.waiting) == (["downtown"], ["harlem"])


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("America/New_York", date(2026, 3, 8), "2026-03-08T05:00:00.000000Z"),
        ("America/New_York", date(2026, 3, 9), "2026-03-09T04:00:00.000000Z"),
        # Where clocks go from 24:00 to 01:00, the day begins as they do.
        ("America/Santiago", date(2025, 9, 7), "2025-09-07T04:00:00.000000Z"),
        ("Asia/Kathmandu", date(2026, 1, 1), "2025-12-31T18:15:00.000000Z"),
    ],
)
def test_midnight_is_where_the_zone_has_it(zone: str, day: date, begins: str) -> None:
    assert format_time(closing._midnight(day, zone_of(zone))) == begins

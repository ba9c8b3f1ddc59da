from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invctl.errors import InvalidValueError, NotFoundError
from invctl.model import events
from invctl.model.reservation import Reservation, ReservationLine, after_event, shares

CREATED_AT = "2026-11-24T09:00:00.000000Z"
EXPIRES_AT = "2026-11-24T09:30:00.000000Z"
HELD = (ReservationLine("LAPTOP-001", 1), ReservationLine("MOUSE-001", 4))


def event(type_: str, time: str = CREATED_AT, **data: Any) -> events.Event:
    stated = {"reservation": "R-7K4QM2", "created_at": CREATED_AT, "expires_at": EXPIRES_AT, **data}
    return events.Event("1", type_, "downtown", time, "R-7K4QM2", "", "", "", stated, [])


@pytest.mark.business
def test_a_whole_confirmation_confirms_every_unit() -> None:
    assert shares(HELD, None) == [ReservationLine("LAPTOP-001", 1, 1, 0), ReservationLine("MOUSE-001", 4, 4, 0)]


@pytest.mark.business
def test_a_partial_confirmation_releases_the_rest() -> None:
    assert shares(HELD, {"MOUSE-001": 1}) == [
        ReservationLine("LAPTOP-001", 1, 0, 1),
        ReservationLine("MOUSE-001", 4, 1, 3),
    ]


@pytest.mark.business
def test_an_empty_confirmation_releases_everything() -> None:
    assert [(line.confirmed, line.released) for line in shares(HELD, {})] == [(0, 1), (0, 4)]


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=6))
def test_confirmed_and_released_are_together_what_was_held(lines: list[tuple[int, int]]) -> None:
    held = tuple(ReservationLine(f"SKU-{place}", quantity) for place, (quantity, _) in enumerate(lines))
    wanted = {f"SKU-{place}": min(confirm, quantity) for place, (quantity, confirm) in enumerate(lines)}
    divided = shares(held, wanted)
    assert [line.sku for line in divided] == [line.sku for line in held]
    for line in divided:
        assert line.confirmed + line.released == line.quantity
        assert line.confirmed == wanted[line.sku]
        assert line.released >= 0


@pytest.mark.business
def test_confirming_what_is_not_in_it_names_what_is() -> None:
    with pytest.raises(NotFoundError, match="MONITOR-001") as caught:
        shares(HELD, {"MONITOR-001": 1})
    assert caught.value.hint == "it holds LAPTOP-001, MOUSE-001"


@pytest.mark.business
@pytest.mark.parametrize("quantity", [5, -1])
def test_confirming_more_than_is_held_or_less_than_none_is_refused(quantity: int) -> None:
    with pytest.raises(InvalidValueError, match="4 are held") as caught:
        shares(HELD, {"MOUSE-001": quantity})
    assert caught.value.details == {"sku": "MOUSE-001", "held": 4}


@pytest.mark.parametrize(
    ("type_", "status", "ended_at"),
    [
        (events.RESERVATION_CREATED, "pending", ""),
        (events.RESERVATION_EXTENDED, "pending", ""),
        (events.RESERVATION_CONFIRMED, "confirmed", EXPIRES_AT),
        (events.RESERVATION_CANCELLED, "cancelled", EXPIRES_AT),
        (events.RESERVATION_EXPIRED, "expired", EXPIRES_AT),
    ],
)
def test_each_event_leaves_the_whole_reservation(type_: str, status: str, ended_at: str) -> None:
    lines = [{"sku": "MOUSE-001", "quantity": 4, "confirmed": 1, "released": 3}]
    where = "holds" if type_ == events.RESERVATION_EXTENDED else "lines"
    after = after_event(7, event(type_, EXPIRES_AT, order="A-17", clerk="ann", **{where: lines}))
    assert after == Reservation(
        reservation="R-7K4QM2",
        status=status,
        order="A-17",
        clerk="ann",
        created_at=CREATED_AT,
        expires_at=EXPIRES_AT,
        ended_at=ended_at,
        seq=7,
        lines=(ReservationLine("MOUSE-001", 4, 1, 3),),
    )
    assert after.pending is (status == "pending")
    told = after.as_dict()
    assert (told["order"], told["clerk"], told["ended_at"]) == ("A-17", "ann", ended_at or None)


def test_who_opened_it_stays_whoever_ends_it() -> None:
    opened = after_event(1, event(events.RESERVATION_CREATED, clerk="ann", lines=[{"sku": "A", "quantity": 1}]))
    ended = after_event(
        2, event(events.RESERVATION_CANCELLED, clerk="bob", lines=[{"sku": "A", "quantity": 1}]), opened
    )
    assert (opened.clerk, ended.clerk) == ("ann", "ann")


def test_as_json_it_has_the_words_of_the_domain_and_null_for_what_is_not_known() -> None:
    opened = after_event(1, event(events.RESERVATION_CREATED, lines=[{"sku": "A", "quantity": 2}]))
    assert json.loads(json.dumps(opened.as_dict())) == {
        "reservation": "R-7K4QM2",
        "status": "pending",
        "order": None,
        "clerk": None,
        "created_at": CREATED_AT,
        "expires_at": EXPIRES_AT,
        "ended_at": None,
        "seq": 1,
        "lines": [{"sku": "A", "quantity": 2, "confirmed": 0, "released": 0}],
    }


_SOUND = {"reservation": "R-1", "created_at": CREATED_AT, "expires_at": EXPIRES_AT, "order": "A-17", "clerk": "ann"}


@pytest.mark.parametrize("name", ["reservation", "created_at", "expires_at", "order", "clerk", "lines"])
@pytest.mark.parametrize("wrong", [7, ["x"], {"x": 1}, True])
def test_a_field_of_another_type_is_an_error_and_no_state(name: str, wrong: Any) -> None:
    data = {**_SOUND, "lines": [{"sku": "A", "quantity": 1}], name: wrong}
    with pytest.raises((KeyError, TypeError, AttributeError)):
        after_event(1, event(events.RESERVATION_CREATED)._replace(data=data))


@pytest.mark.parametrize("name", ["sku", "quantity", "confirmed", "released"])
@pytest.mark.parametrize("wrong", [None, ["x"], {"x": 1}, True])
def test_a_line_with_a_field_of_another_type_is_an_error_and_no_state(name: str, wrong: Any) -> None:
    holds = [{"sku": "A", "quantity": 1, name: wrong}]
    with pytest.raises((KeyError, TypeError, AttributeError)):
        after_event(1, event(events.RESERVATION_EXTENDED)._replace(data={**_SOUND, "holds": holds}))


@pytest.mark.parametrize("name", ["reservation", "created_at", "expires_at", "lines"])
def test_a_field_that_is_missing_is_an_error_and_no_state(name: str) -> None:
    data = {**_SOUND, "lines": [{"sku": "A", "quantity": 1}]}
    del data[name]
    with pytest.raises(KeyError, match=name):
        after_event(1, event(events.RESERVATION_CREATED)._replace(data=data))

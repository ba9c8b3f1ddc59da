"""Where an event is on its way: all events of a reservation, one by its id, and those of a trace."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from central.database import reading
from central.tracing import Traced, trace_ident, trace_reservation
from invctl.clock import format_time
from invctl.errors import NotFoundError
from invctl.model import events
from tests.integration.central.histories import History

if TYPE_CHECKING:
    from tests.integration.central.head_office import HeadOffice

pytestmark = pytest.mark.business

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def history(office: HeadOffice) -> History:
    history = History(random.Random(7))
    history.created()
    history.adjust({"MOUSE-001": 50})
    office.admit("downtown", "midtown")
    return history


def traced_event(history: History, trace: str, **more: Any) -> int:
    history.now_us += 1000
    return history.raw(
        events.compose(
            id=f"{history.seq + 1:032x}",
            type=events.STOCK_ADJUSTED,
            store=history.store,
            time=format_time(history.now_us),
            subject="received",
            data={"lines": [history.moved("MOUSE-001", 1, 0)], "reason": "received", **more},
            trace=f"00-{trace}-b7ad6b7169203331-01",
        )
    )


def reservation(office: HeadOffice, *args: Any) -> list[Traced]:
    with reading(office.engine) as connection:
        return trace_reservation(connection, *args)


def ident(office: HeadOffice, *args: Any) -> list[Traced]:
    with reading(office.engine) as connection:
        return trace_ident(connection, *args)


def test_all_events_of_a_reservation_are_there_in_order_and_no_other(office: HeadOffice, history: History) -> None:
    first, second = history.reserve({"MOUSE-001": 2}), history.reserve({"MOUSE-001": 3})
    history.extend(first)
    history.end(second, events.RESERVATION_CANCELLED)
    history.end(first, events.RESERVATION_CONFIRMED)
    history.adjust({"MOUSE-001": 1})
    office.take(history)
    found = reservation(office, first)
    assert [(each.event.seq, each.event.type) for each in found] == [
        (3, events.RESERVATION_CREATED),
        (5, events.RESERVATION_EXTENDED),
        (7, events.RESERVATION_CONFIRMED),
    ]
    assert [each.event.seq for each in reservation(office, second, "downtown")] == [4, 6]
    assert [each.event.position for each in found] == [3, 5, 7]


def test_two_stores_may_have_a_reservation_of_one_id(office: HeadOffice, history: History) -> None:
    other = History(random.Random(7), "midtown")
    other.created()
    other.adjust({"MOUSE-001": 50})
    key = history.reserve({"MOUSE-001": 2})
    assert other.reserve({"MOUSE-001": 1}) == key
    office.apply(history.intake(), other.intake())
    assert [each.event.store for each in reservation(office, key)] == ["downtown", "midtown"]
    assert [each.event.store for each in reservation(office, key, "midtown")] == ["midtown"]


def test_an_event_is_found_by_its_id_and_its_like_by_their_trace(office: HeadOffice, history: History) -> None:
    seqs = [traced_event(history, TRACE), traced_event(history, "0" * 31 + "1"), traced_event(history, TRACE)]
    # One that only speaks of it is none of it.
    traced_event(history, "0" * 31 + "2", about={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    office.take(history)
    (found,) = ident(office, f"{seqs[0]:032x}")
    assert (found.event.seq, found.trace) == (seqs[0], TRACE)
    assert [each.event.seq for each in ident(office, TRACE)] == [seqs[0], seqs[2]]
    with pytest.raises(NotFoundError):
        ident(office, TRACE, "midtown")


def test_it_says_how_long_it_took_and_whether_the_store_has_heard(office: HeadOffice, history: History) -> None:
    seq = traced_event(history, TRACE)
    office.take(history)
    (found,) = ident(office, TRACE)
    event = found.event
    assert event.time_us is not None
    assert found.took_s == (event.applied_us - event.time_us) / 1_000_000
    assert found.acknowledged is None
    office.apply(fresh={"downtown": event.applied_us})
    assert ident(office, TRACE)[0].acknowledged is None
    office.apply(fresh={"downtown": event.applied_us + 1})
    shown = ident(office, TRACE)[0].as_dict()
    assert (shown["seq"], shown["trace"], shown["acknowledged"], shown["position"]) == (seq, TRACE, True, seq)
    assert (shown["committed_at"], shown["applied_at"]) == (format_time(event.time_us), format_time(event.applied_us))


def test_of_what_is_not_here_it_is_said_from_where_it_may_come(office: HeadOffice, history: History) -> None:
    office.take(history)
    history.adjust({"MOUSE-001": 1})
    office.apply(heard=(history.heard(),))
    with pytest.raises(NotFoundError) as missing:
        reservation(office, "R-7K4QMQ")
    assert missing.value.hint == "it may be on its way: downtown is 1 behind, midtown is silent"
    with pytest.raises(NotFoundError) as missing:
        ident(office, TRACE, "midtown")
    assert missing.value.hint == "it may be on its way: midtown is silent"
    with pytest.raises(NotFoundError) as missing:
        ident(office, TRACE, "nowhere")
    assert missing.value.message == "there is no store nowhere"

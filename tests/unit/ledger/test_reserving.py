from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invctl.clock import ManualClock, format_time, parse_time
from invctl.errors import InvalidValueError, NotEnoughStockError, NotFoundError, RefusedError
from invctl.ledger import reads, reservations, seeding
from invctl.ledger.seeding import SeedProduct
from invctl.ledger.writing import Origin
from invctl.model import events
from invctl.model.identifiers import is_whole_reservation_body
from invctl.model.stock import QUANTITY_MAX, sum_lines
from tests.unit.ledger.support import HOLD_S, MINUTE_S, head, hold, key_of, level, new_ledger, tables, types

if TYPE_CHECKING:
    from pathlib import Path

    from invctl.ledger.ledger import Ledger

pytestmark = pytest.mark.business

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


def test_a_reservation_holds_its_units_for_thirty_minutes(ledger: Ledger, clock: ManualClock) -> None:
    receipt = reservations.reserve(
        ledger, {"MOUSE": 2, "LAPTOP": 1}, order="A-17", origin=Origin(clerk="ann", trace=TRACE)
    )
    event = receipt.event
    assert (receipt.seq, event.type, event.subject) == (head(ledger), events.RESERVATION_CREATED, key_of(receipt))
    assert event.trace == TRACE
    assert (event.data["order"], event.data["clerk"]) == ("A-17", "ann")
    assert parse_time(event.time) == clock.now_us()
    assert parse_time(event.data["expires_at"]) - clock.now_us() == HOLD_S * 1_000_000
    assert level(ledger, "MOUSE") == (100, 2, 2)
    assert level(ledger, "LAPTOP") == (10, 1, 2)
    held = reads.reservation(ledger, key_of(receipt))
    assert held.quantities == {"MOUSE": 2, "LAPTOP": 1}
    assert (held.status, held.order, held.clerk, held.seq) == ("pending", "A-17", "ann", receipt.seq)


def test_all_lines_or_none(ledger: Ledger) -> None:
    before = tables(ledger)
    with pytest.raises(NotEnoughStockError):
        reservations.reserve(ledger, {"MOUSE": 1, "LAPTOP": 11})
    assert tables(ledger) == before


def test_a_sku_named_twice_is_summed_and_both_must_be_there(ledger: Ledger) -> None:
    with pytest.raises(NotEnoughStockError, match="11 wanted, 10 available"):
        reservations.reserve(ledger, sum_lines([("LAPTOP", 6), ("LAPTOP", 5)]))
    reservations.reserve(ledger, sum_lines([("LAPTOP", 6), ("LAPTOP", 4)]))
    assert level(ledger, "LAPTOP") == (10, 10, 2)


def test_the_last_unit_may_be_reserved_and_no_more(ledger: Ledger) -> None:
    hold(ledger, LAPTOP=10)
    with pytest.raises(NotEnoughStockError):
        hold(ledger, LAPTOP=1)


def test_not_enough_tells_for_every_short_line_what_there_is_and_who_holds_it(
    ledger: Ledger, clock: ManualClock
) -> None:
    first = hold(ledger, LAPTOP=7, order="A-1", origin=Origin(clerk="ann"), hold_s=HOLD_S)
    second = hold(ledger, LAPTOP=2, hold_s=10 * MINUTE_S)
    with pytest.raises(NotEnoughStockError) as caught:
        reservations.reserve(ledger, {"LAPTOP": 2, "MOUSE": 5, "CABLE": 3})
    cable, laptop = caught.value.details["lines"]
    assert laptop == {
        "sku": "LAPTOP",
        "requested": 2,
        "on_hand": 10,
        "reserved": 9,
        "available": 1,
        "held_by": [
            {
                "reservation": second,
                "quantity": 2,
                "order": None,
                "clerk": None,
                "expires_at": format_time(clock.now_us() + 10 * MINUTE_S * 1_000_000),
            },
            {
                "reservation": first,
                "quantity": 7,
                "order": "A-1",
                "clerk": "ann",
                "expires_at": format_time(clock.now_us() + HOLD_S * 1_000_000),
            },
        ],
        "held_by_more": False,
    }
    assert cable == {
        "sku": "CABLE",
        "requested": 3,
        "on_hand": 0,
        "reserved": 0,
        "available": 0,
        "held_by": [],
        "held_by_more": False,
    }
    assert caught.value.message == (
        "not enough stock of CABLE: 3 wanted, 0 available (0 on hand, 0 reserved); "
        f"LAPTOP: 2 wanted, 1 available (10 on hand, 9 reserved by {second} (2), {first} (7))"
    )
    assert second in caught.value.hint


def test_not_enough_names_five_holders_and_says_that_there_are_more(ledger: Ledger) -> None:
    holders = [hold(ledger, LAPTOP=1, hold_s=minute * MINUTE_S) for minute in range(1, 8)]
    with pytest.raises(NotEnoughStockError) as caught:
        hold(ledger, LAPTOP=4)
    (line,) = caught.value.details["lines"]
    assert [holder["reservation"] for holder in line["held_by"]] == holders[:5]
    assert line["held_by_more"]
    assert "and more" in caught.value.message


def test_one_unknown_sku_refuses_the_whole(ledger: Ledger) -> None:
    before = tables(ledger)
    with pytest.raises(NotFoundError, match="no product PHONE") as caught:
        reservations.reserve(ledger, {"MOUSE": 1, "PHONE": 1})
    assert caught.value.details == {"sku": "PHONE"}
    assert tables(ledger) == before


@pytest.mark.parametrize(
    ("lines", "changed"),
    [
        ({}, {}),
        ({"MOUSE": 0}, {}),
        ({"MOUSE": -1}, {}),
        ({"MOUSE": 1, "LAPTOP": -1}, {}),
        ({"MOUSE": QUANTITY_MAX + 1}, {}),
        ({"MOUSE": 2**70}, {}),
        ({"MOUSE": 1}, {"hold_s": 0}),
        ({"MOUSE": 1}, {"hold_s": -5}),
        ({"MOUSE": 1}, {"hold_s": reservations.HOLD_S_MAX + 1}),
        ({"MOUSE": 1}, {"order": "A\0B"}),
        ({"MOUSE": 1}, {"order": "A\nB"}),
        ({"MOUSE": 1}, {"order": "\ud800"}),
        ({"MOUSE": 1}, {"order": "x" * 501}),
        ({"MOUSE": 1}, {"origin": Origin(clerk="a\0b")}),
        ({"MOUSE": 1}, {"origin": Origin(clerk="\ud800")}),
        ({"MOUSE": 1}, {"origin": Origin(clerk="x" * 201)}),
        ({"MOUSE": 1}, {"origin": Origin(request_id="two words")}),
        ({"MOUSE": 1}, {"origin": Origin(request_id="x" * 129)}),
        ({"MOUSE": 1}, {"origin": Origin(trace="00-zz")}),
        ({"\ud800": 1}, {}),
        ({"\ud800": 1}, {"origin": Origin(request_id="r-1")}),
    ],
)
def test_what_is_out_of_range_is_refused_and_writes_nothing(
    ledger: Ledger, lines: dict[str, int], changed: dict[str, Any]
) -> None:
    before = tables(ledger)
    with pytest.raises(InvalidValueError) as caught:
        reservations.reserve(ledger, lines, **changed)
    assert caught.value.hint
    assert tables(ledger) == before


@pytest.mark.parametrize("hold_s", [1, reservations.HOLD_S_MAX])
def test_the_shortest_and_the_longest_hold(ledger: Ledger, clock: ManualClock, hold_s: int) -> None:
    held = reads.reservation(ledger, hold(ledger, MOUSE=1, hold_s=hold_s))
    assert parse_time(held.expires_at) == clock.now_us() + hold_s * 1_000_000


def test_an_id_that_is_taken_is_drawn_again(ledger: Ledger) -> None:
    taken = hold(ledger, MOUSE=1)
    draws = ["0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(char) for char in taken.removeprefix("R-")[:-1]]

    class Repeating(Random):
        def getrandbits(self, k: int, /) -> int:
            return draws.pop(0) if k == 5 and draws else super().getrandbits(k)

    ledger.chance = Repeating(1)
    other = hold(ledger, MOUSE=1)
    assert not draws
    assert other != taken
    assert is_whole_reservation_body(other.removeprefix("R-"))


def test_where_ids_are_scarce_a_longer_one_is_drawn_and_in_the_end_none(ledger: Ledger) -> None:
    class Stuck(Random):
        def getrandbits(self, k: int, /) -> int:
            return 0 if k == 5 else super().getrandbits(k)

    ledger.chance = Stuck(3)
    drawn = [hold(ledger, MOUSE=1) for _ in range(4)]
    assert [len(key) for key in drawn] == [8, 9, 10, 11]
    assert [reads.reservation(ledger, key).reservation for key in drawn] == drawn
    before = tables(ledger)
    with pytest.raises(RefusedError, match="no free reservation id"):
        hold(ledger, MOUSE=1)
    assert tables(ledger) == before


def longest_basket(ledger: Ledger) -> dict[str, int]:
    """Return as many lines of the longest SKUs as one event may be sure to carry."""
    skus = [f"{number:04d}".ljust(64, "X") for number in range(400)]
    while events.size_bound(skus) > events.EVENT_BYTES_MAX:
        skus.pop()
    carried = [*skus, "ONE-MORE".ljust(64, "X")]
    seeding.seed(ledger, [SeedProduct(sku, "Product", None, QUANTITY_MAX) for sku in carried])
    return dict.fromkeys(skus, QUANTITY_MAX)


def test_the_largest_basket_also_ends(tmp_path: Path, clock: ManualClock) -> None:
    # Every text is as long as it may be: four bytes a character, and nothing to spare in numbers.
    wide = "\U0001f600"
    origin = Origin(wide * 200, "~" * 128, f"00-{'f' * 32}-{'f' * 16}-ff")
    with new_ledger(tmp_path / "wide", clock) as ledger:
        basket = longest_basket(ledger)
        receipt = reservations.reserve(ledger, basket, order=wide * 500, origin=origin)
        assert len(receipt.body) > events.EVENT_BYTES_MAX * 0.6
        ended = reservations.confirm(
            ledger,
            key_of(receipt),
            dict.fromkeys(basket, QUANTITY_MAX // 2),
            origin=origin._replace(request_id="!" * 128),
        )
        assert len(receipt.body) < len(ended.body) <= events.EVENT_BYTES_MAX


def test_one_line_more_than_the_largest_basket_is_refused(tmp_path: Path, clock: ManualClock) -> None:
    with new_ledger(tmp_path / "wide", clock) as ledger:
        basket = longest_basket(ledger) | {"ONE-MORE".ljust(64, "X"): 1}
        before = tables(ledger)
        with pytest.raises(RefusedError, match=f"{len(basket)} lines"):
            reservations.reserve(ledger, basket)
        assert tables(ledger) == before


@settings(max_examples=20)
@given(st.dictionaries(st.sampled_from(["A", "B", "C"]), st.integers(1, 5), min_size=1))
def test_an_event_states_the_change_and_what_it_came_to(
    tmp_path_factory: pytest.TempPathFactory, lines: dict[str, int]
) -> None:
    with new_ledger(tmp_path_factory.mktemp("store"), ManualClock(), A=5, B=5, C=5) as ledger:
        event = reservations.reserve(ledger, lines).event
        assert {entry.sku: entry.reserved_change for entry in event.lines} == lines
        for entry in event.lines:
            assert entry.on_hand_change == 0
            assert tuple(entry.level) == level(ledger, entry.sku) == (5, lines[entry.sku], 2)


def test_reserving_is_one_event(ledger: Ledger) -> None:
    before = head(ledger)
    hold(ledger, MOUSE=1, LAPTOP=2)
    assert types(ledger, before) == ["reservation.created"]

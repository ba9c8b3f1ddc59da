from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from invctl.clock import ManualClock, format_time, parse_time
from invctl.errors import InvalidValueError, NotFoundError, WrongStateError
from invctl.ledger import reads, reservations
from invctl.ledger.writing import Origin
from invctl.model import events
from tests.unit.ledger.support import HOLD_S, MINUTE_S, head, hold, level, tables, types, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from invctl.ledger.ledger import Ledger
    from invctl.ledger.writing import Receipt

pytestmark = pytest.mark.business


def test_confirming_posts_the_sale_and_frees_what_was_held(ledger: Ledger) -> None:
    key = hold(ledger, MOUSE=3, LAPTOP=1, order="A-17", origin=Origin(clerk="ann"))
    receipt = reservations.confirm(ledger, key, origin=Origin(clerk="bob"))
    assert level(ledger, "MOUSE") == (97, 0, 3)
    assert level(ledger, "LAPTOP") == (9, 0, 3)
    assert receipt.event.type == events.RESERVATION_CONFIRMED
    assert (receipt.event.data["clerk"], receipt.event.data["order"]) == ("bob", "A-17")
    assert [(line["sku"], line["confirmed"], line["released"]) for line in receipt.event.data["lines"]] == [
        ("LAPTOP", 1, 0),
        ("MOUSE", 3, 0),
    ]
    ended = reads.reservation(ledger, key)
    assert (ended.status, ended.clerk, ended.ended_at) == ("confirmed", "ann", receipt.event.time)


@pytest.mark.parametrize(
    ("confirmed", "on_hand"),
    [({"MOUSE": 3}, (97, 10)), ({"MOUSE": 1, "LAPTOP": 2}, (99, 8)), ({"MOUSE": 0, "LAPTOP": 1}, (100, 9))],
)
def test_confirming_a_part_releases_the_rest_with_it(
    ledger: Ledger, confirmed: dict[str, int], on_hand: tuple[int, int]
) -> None:
    key = hold(ledger, MOUSE=3, LAPTOP=2)
    before = head(ledger)
    reservations.confirm(ledger, key, confirmed)
    assert types(ledger, before) == ["reservation.confirmed"]
    assert (level(ledger, "MOUSE")[:2], level(ledger, "LAPTOP")[:2]) == ((on_hand[0], 0), (on_hand[1], 0))
    for line in reads.reservation(ledger, key).lines:
        assert line.confirmed == confirmed.get(line.sku, 0)
        assert line.confirmed + line.released == line.quantity


def test_cancelling_gives_everything_back(ledger: Ledger) -> None:
    key = hold(ledger, MOUSE=3, LAPTOP=2)
    receipt = reservations.cancel(ledger, key)
    assert receipt.event.type == events.RESERVATION_CANCELLED
    assert level(ledger, "MOUSE") == (100, 0, 3)
    assert level(ledger, "LAPTOP") == (10, 0, 3)
    ended = reads.reservation(ledger, key)
    assert ended.status == "cancelled"
    assert all((line.confirmed, line.released) == (0, line.quantity) for line in ended.lines)


def test_extending_counts_from_now(ledger: Ledger, clock: ManualClock) -> None:
    key = hold(ledger, MOUSE=3)
    clock.advance(20 * MINUTE_S)
    receipt = reservations.extend(ledger, key, 45 * MINUTE_S, origin=Origin(clerk="bob"))
    due_us = clock.now_us() + 45 * MINUTE_S * 1_000_000
    data = receipt.event.data
    assert parse_time(data["expires_at"]) == due_us
    assert parse_time(data["expired_before_at"]) == clock.now_us() + 10 * MINUTE_S * 1_000_000
    assert data["holds"] == [{"sku": "MOUSE", "quantity": 3}]
    assert receipt.event.lines == []
    assert level(ledger, "MOUSE") == (100, 3, 2)
    assert reads.reservation(ledger, key).expires_at == format_time(due_us)


def test_extending_may_bring_the_end_nearer(ledger: Ledger, clock: ManualClock) -> None:
    key = hold(ledger, MOUSE=3)
    reservations.extend(ledger, key, 60)
    clock.advance(60)
    assert reads.reservation(ledger, key).status == "expired"


def test_an_extended_reservation_outlives_its_first_date_and_ends_at_the_second(
    ledger: Ledger, clock: ManualClock
) -> None:
    key = hold(ledger, LAPTOP=10)
    reservations.extend(ledger, key, 2 * HOLD_S)
    clock.advance(HOLD_S)
    assert reservations.expire(ledger) == 0
    assert reads.stock(ledger, "LAPTOP")[0][0].available == 0
    clock.advance(HOLD_S)
    hold(ledger, LAPTOP=10)
    assert reads.reservation(ledger, key).status == "expired"


def expire(ledger: Ledger, key: str) -> Receipt | None:
    """Let it expire, by the clock."""
    assert isinstance(ledger.clock, ManualClock)
    ledger.clock.advance(HOLD_S)
    assert reservations.expire(ledger) == 1
    return None


ENDS: dict[str, Callable[[Ledger, str], Receipt | None]] = {
    "confirmed": reservations.confirm,
    "cancelled": reservations.cancel,
    "expired": expire,
}
SECOND: dict[str, Callable[[Ledger, str], Receipt]] = {
    "confirm": reservations.confirm,
    "confirm a part": lambda ledger, key: reservations.confirm(ledger, key, {"MOUSE": 1}),
    "cancel": reservations.cancel,
    "extend": reservations.extend,
}


@pytest.mark.parametrize("first", ENDS)
@pytest.mark.parametrize("second", SECOND)
def test_a_second_end_is_refused_and_told_which_was_first(ledger: Ledger, first: str, second: str) -> None:
    key = hold(ledger, MOUSE=3)
    ENDS[first](ledger, key)
    ended_at = reads.reservation(ledger, key).ended_at
    before = tables(ledger)
    said = "expired at" if first == "expired" else f"was already {first}"
    with pytest.raises(WrongStateError, match=f"{key} {said}") as caught:
        SECOND[second](ledger, key)
    assert caught.value.details == {"reservation": key, "status": first, "ended_at": ended_at}
    assert caught.value.hint
    assert tables(ledger) == before


@pytest.mark.parametrize(
    ("quantities", "error"),
    [
        ({}, InvalidValueError),
        ({"MOUSE": 0}, InvalidValueError),
        ({"MOUSE": 4}, InvalidValueError),
        ({"MOUSE": -1}, InvalidValueError),
        ({"LAPTOP": 1}, NotFoundError),
        ({"MOUSE": 1, "LAPTOP": 1}, NotFoundError),
    ],
)
def test_what_is_not_held_cannot_be_confirmed(
    ledger: Ledger, quantities: dict[str, int], error: type[Exception]
) -> None:
    key = hold(ledger, MOUSE=3)
    before = tables(ledger)
    with pytest.raises(error):
        reservations.confirm(ledger, key, quantities)
    assert tables(ledger) == before


@pytest.mark.parametrize("hold_s", [0, -1, reservations.HOLD_S_MAX + 1])
def test_no_reservation_is_extended_out_of_range(ledger: Ledger, hold_s: int) -> None:
    key = hold(ledger, MOUSE=3)
    with pytest.raises(InvalidValueError):
        reservations.extend(ledger, key, hold_s)
    assert types(ledger)[-1] == "reservation.created"


class TestFinding:
    """A reservation is found by its id, and while it is open by the beginning of it."""

    @pytest.fixture
    def keys(self, ledger: Ledger) -> list[str]:
        draws: list[int] = []

        class Planned:
            def getrandbits(self, k: int, /) -> int:
                return draws.pop(0) if k == 5 else len(written(ledger))

        ledger.chance = Planned()
        found = []
        for body in ([1, 2, 3, 4, 5], [1, 2, 3, 4, 6], [1, 2, 9, 4, 5]):
            draws[:] = body
            found.append(hold(ledger, MOUSE=1))
        return found

    @pytest.mark.parametrize("written_as", ["R-1294", "r-129", "1294", " 129 ", "R-I29", "l29"])
    def test_by_a_beginning_as_people_type_it(self, ledger: Ledger, keys: list[str], written_as: str) -> None:
        assert reads.reservation(ledger, written_as).reservation == keys[2]
        reservations.confirm(ledger, written_as)
        assert reads.reservation(ledger, keys[2]).status == "confirmed"

    def test_by_the_whole_id_also_when_it_has_ended(self, ledger: Ledger, keys: list[str]) -> None:
        reservations.cancel(ledger, keys[0].lower())
        assert reads.reservation(ledger, keys[0]).status == "cancelled"

    def test_a_beginning_that_fits_several_names_them(self, ledger: Ledger, keys: list[str]) -> None:
        with pytest.raises(InvalidValueError) as caught:
            reservations.cancel(ledger, "R-123")
        assert caught.value.message == f"R-123 is the beginning of {keys[0]}, {keys[1]}"

    def test_a_beginning_that_fits_many_names_three(self, ledger: Ledger) -> None:
        ledger.chance = Counting()
        for _ in range(4):
            hold(ledger, MOUSE=1)
        with pytest.raises(InvalidValueError, match=r"R-000 is the beginning of R-\w+, R-\w+, R-\w+ and more"):
            reads.reservation(ledger, "000")

    def test_one_that_ended_no_longer_makes_a_beginning_ambiguous(self, ledger: Ledger, keys: list[str]) -> None:
        reservations.cancel(ledger, keys[0])
        assert reads.reservation(ledger, "R-123").reservation == keys[1]

    def test_one_that_is_due_is_not_open_recorded_or_not(
        self, ledger: Ledger, keys: list[str], clock: ManualClock
    ) -> None:
        reservations.extend(ledger, keys[1], 2 * HOLD_S)
        clock.advance(HOLD_S)
        for _ in "before and after it is recorded":
            assert reads.reservation(ledger, "R-123").reservation == keys[1]
            with pytest.raises(NotFoundError):
                reads.reservation(ledger, "R-129")
            reservations.expire(ledger)
        assert reads.reservation(ledger, keys[2]).status == "expired"

    def test_an_unknown_one_says_where_to_look(self, ledger: Ledger) -> None:
        with pytest.raises(NotFoundError, match="no reservation R-ZZZ") as caught:
            reads.reservation(ledger, "ZZZ")
        assert "invctl reservations" in caught.value.hint
        assert caught.value.details == {"reservation": "R-ZZZ"}

    def test_a_mistyped_one_is_said_to_be_mistyped(self, ledger: Ledger, keys: list[str]) -> None:
        mistyped = keys[0][:-1] + ("A" if keys[0][-1] != "A" else "B")
        with pytest.raises(NotFoundError) as caught:
            reservations.confirm(ledger, mistyped)
        assert "mistyped" in caught.value.hint

    @pytest.mark.parametrize("text", ["", "R-", "R-12", "R-12U", "hello world", "R-12\u0660", "\ud800\ud800\ud800"])
    def test_what_is_no_id_is_refused(self, ledger: Ledger, text: str) -> None:
        with pytest.raises(InvalidValueError):
            reads.reservation(ledger, text)
        with pytest.raises(InvalidValueError):
            reservations.cancel(ledger, text)


class Counting:
    """Chance that counts: reservation ids that begin alike, event ids that differ."""

    def __init__(self) -> None:
        self._drawn = 0
        self._ids = 1 << 100

    def getrandbits(self, k: int, /) -> int:
        if k != 5:
            self._ids += 1
            return self._ids
        self._drawn += 1
        return self._drawn // 5 if self._drawn % 5 == 0 else 0


def test_every_end_states_the_whole_reservation(ledger: Ledger, clock: ManualClock) -> None:
    ends: list[Any] = [reservations.confirm, reservations.cancel, reservations.extend]
    for end in ends:
        key = hold(ledger, MOUSE=1, order="A-1")
        created = written(ledger)[-1].data["created_at"]
        clock.advance(1)
        data = end(ledger, key).event.data
        assert (data["reservation"], data["order"], data["created_at"]) == (key, "A-1", created)
        assert "expires_at" in data

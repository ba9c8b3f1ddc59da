from __future__ import annotations

from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invctl.model import checkpoint, events
from invctl.model.events import Event, MalformedEventError
from invctl.model.projection import Finding, Product, Projection
from invctl.model.reservation import ReservationLine
from invctl.model.stock import EMPTY, StockLevel

T0 = "2026-11-24T09:00:00.000000Z"
DUE = "2026-11-24T09:30:00.000000Z"
LATER = "2026-11-24T10:00:00.000000Z"


class History:
    """Composes events as a sound store does, and lets a test bend one of them."""

    def __init__(self) -> None:
        self.projection = Projection()
        self.levels: dict[str, StockLevel] = {}
        self._seq = count(1)

    def append(self, type_: str, data: dict[str, Any], time: str = T0) -> int:
        seq = next(self._seq)
        body = events.compose(id=f"{seq:032x}", type=type_, store="downtown", time=time, subject="s", data=data)
        self.projection.apply(seq, events.parse(body))
        return seq

    def line(self, sku: str, on_hand_change: int, reserved_change: int, **more: int) -> dict[str, Any]:
        self.levels[sku] = self.levels.get(sku, EMPTY).moved(on_hand_change, reserved_change)
        return events.line(sku, on_hand_change, reserved_change, self.levels[sku], **more)

    def receive(self, sku: str, units: int) -> int:
        return self.append(events.STOCK_ADJUSTED, {"reason": "received", "lines": [self.line(sku, units, 0)]})

    def reserve(self, key: str, **lines: int) -> int:
        moved = [self.line(sku, 0, units, quantity=units) for sku, units in lines.items()]
        return self.append(events.RESERVATION_CREATED, reservation(key, lines=moved, clerk="ann"))

    def end(self, type_: str, key: str, shares: dict[str, tuple[int, int]], time: str = T0) -> int:
        moved = [
            self.line(sku, -sold, -(sold + freed), quantity=sold + freed, confirmed=sold, released=freed)
            for sku, (sold, freed) in shares.items()
        ]
        return self.append(type_, reservation(key, lines=moved), time)

    def state(self, **other: StockLevel) -> int:
        """Append a checkpoint of the levels, some of which are said to be others."""
        stated = checkpoint.tally({**self.levels, **other}.items()).total()
        return self.append(events.LEDGER_CHECKPOINT, stated.as_data())

    def findings(self) -> list[Finding]:
        return self.projection.close()


def reservation(key: str, **more: Any) -> dict[str, Any]:
    return {"reservation": key, "created_at": T0, "expires_at": DUE, **more}


@pytest.fixture
def history() -> History:
    history = History()
    history.append(events.PRODUCT_ADDED, {"sku": "A", "name": "Mouse", "price": 8000})
    history.receive("A", 10)
    return history


def the_only(findings: list[Finding], seq: int, what: str) -> None:
    assert [(found.seq, what in found.what) for found in findings] == [(seq, True)], findings


@pytest.mark.business
def test_a_sound_history_comes_to_its_state_and_nothing_is_found(history: History) -> None:
    history.append(events.PRODUCT_ADDED, {"sku": "B", "name": "Laptop"})
    history.append(events.PRODUCT_EDITED, {"sku": "A", "name": "Wireless mouse", "price": None})
    history.receive("B", 3)
    history.reserve("R-1", A=4, B=2)
    history.append(
        events.RESERVATION_EXTENDED,
        {**reservation("R-1", holds=[{"sku": "A", "quantity": 4}, {"sku": "B", "quantity": 2}]), "expires_at": LATER},
    )
    history.reserve("R-2", A=1)
    history.reserve("R-3", A=1)
    history.end(events.RESERVATION_CONFIRMED, "R-1", {"A": (1, 3), "B": (2, 0)}, DUE)
    last = history.end(events.RESERVATION_EXPIRED, "R-2", {"A": (0, 1)}, DUE)
    assert history.findings() == []
    state = history.projection
    assert state.products == {"A": Product("A", "Wireless mouse", None), "B": Product("B", "Laptop", None)}
    assert state.levels == {"A": StockLevel(9, 1, 6), "B": StockLevel(1, 0, 3)}
    assert dict(state.movements) == {"A": 9, "B": 1}
    assert {key: found.status for key, found in state.reservations.items()} == {
        "R-1": "confirmed",
        "R-2": "expired",
        "R-3": "pending",
    }
    assert state.reservations["R-1"].lines == (ReservationLine("A", 4, 1, 3), ReservationLine("B", 2, 2, 0))
    assert state.reservations["R-1"].clerk == "ann"
    assert (state.reservations["R-2"].seq, state.reservations["R-2"].ended_at) == (last, DUE)


def test_a_product_without_stock_has_a_level_of_nothing() -> None:
    history = History()
    history.append(events.PRODUCT_ADDED, {"sku": "A", "name": "Mouse"})
    assert history.projection.levels == {"A": EMPTY}
    assert history.findings() == []


def test_an_event_of_a_type_that_is_not_known_moves_its_lines(history: History) -> None:
    history.append("inventory.stock.teleported", {"lines": [history.line("A", -2, 0)]})
    assert history.findings() == []
    assert history.projection.levels["A"] == StockLevel(8, 0, 2)


@pytest.mark.parametrize("bent", [{"on_hand": 12}, {"reserved": 1}, {"version": 3}, {"version": 1}])
def test_a_level_that_does_not_follow_is_found_and_taken(history: History, bent: dict[str, int]) -> None:
    line = {**history.line("A", 1, 0), **bent}
    seq = history.append(events.STOCK_ADJUSTED, {"reason": "received", "lines": [line]})
    assert history.projection.findings[0].seq == seq
    assert "A does not follow" in history.projection.findings[0].what
    assert history.projection.levels["A"] == (line["on_hand"], line["reserved"], line["version"])


@pytest.mark.parametrize(("on_hand", "reserved"), [(-11, 0), (0, 11), (0, -1)])
def test_an_impossible_level_is_found(history: History, on_hand: int, reserved: int) -> None:
    seq = history.append(
        events.STOCK_ADJUSTED, {"reason": "correction", "lines": [history.line("A", on_hand, reserved)]}
    )
    the_only(history.projection.findings, seq, "A is at an impossible level")


def test_a_level_that_its_movements_do_not_come_to_is_found_at_the_close(history: History) -> None:
    line = {**history.line("A", 1, 0), "on_hand_change": 2}
    history.append(events.STOCK_ADJUSTED, {"reason": "received", "lines": [line]})
    assert Finding(0, "A has 11 on hand, its movements sum to 12") in history.findings()


def test_reserved_units_that_no_reservation_holds_are_found_at_the_close(history: History) -> None:
    history.append(events.STOCK_ADJUSTED, {"reason": "correction", "lines": [history.line("A", 0, 2)]})
    the_only(history.findings(), 0, "A has 2 reserved, its pending reservations hold 0")


def test_a_reservation_created_twice_is_found(history: History) -> None:
    history.reserve("R-1", A=1)
    history.end(events.RESERVATION_CANCELLED, "R-1", {"A": (0, 1)})
    seq = history.reserve("R-1", A=1)
    the_only(history.findings(), seq, "R-1 was created twice")


@pytest.mark.business
@pytest.mark.parametrize("first", [events.RESERVATION_CONFIRMED, events.RESERVATION_CANCELLED])
@pytest.mark.parametrize("second", [events.RESERVATION_CANCELLED, events.RESERVATION_CONFIRMED])
def test_a_second_end_is_found(history: History, first: str, second: str) -> None:
    history.reserve("R-1", A=1)
    history.reserve("R-2", A=1)
    history.end(first, "R-1", {"A": (0, 1)})
    seq = history.end(second, "R-1", {"A": (0, 1)})
    status = events.STATUS_AFTER[first]
    assert Finding(seq, f"R-1 was not pending: {status}") in history.findings()


def test_an_end_without_a_beginning_is_found(history: History) -> None:
    history.reserve("R-1", A=1)
    seq = history.end(events.RESERVATION_CANCELLED, "R-2", {"A": (0, 1)})
    assert Finding(seq, "R-2 was not pending: unknown") in history.findings()


@pytest.mark.business
def test_an_early_expiry_is_found_and_one_on_time_is_not(history: History) -> None:
    history.reserve("R-1", A=1)
    history.reserve("R-2", A=1)
    early = history.end(events.RESERVATION_EXPIRED, "R-1", {"A": (0, 1)}, "2026-11-24T09:29:59.999999Z")
    history.end(events.RESERVATION_EXPIRED, "R-2", {"A": (0, 1)}, DUE)
    the_only(history.findings(), early, "R-1 expired early")


@pytest.mark.business
def test_a_confirmation_when_it_was_due_is_found_and_one_just_before_is_not(history: History) -> None:
    history.reserve("R-1", A=1)
    history.reserve("R-2", A=1)
    late = history.end(events.RESERVATION_CONFIRMED, "R-1", {"A": (1, 0)}, DUE)
    history.end(events.RESERVATION_CONFIRMED, "R-2", {"A": (1, 0)}, "2026-11-24T09:29:59.999999Z")
    the_only(history.findings(), late, "R-1 was confirmed at")


@pytest.mark.parametrize(("confirmed", "released"), [(1, 0), (2, 1), (0, 0), (-1, 3), (3, -1)])
def test_units_neither_confirmed_nor_released_are_found(history: History, confirmed: int, released: int) -> None:
    history.reserve("R-1", A=2)
    line = history.line("A", -confirmed, -2, quantity=2, confirmed=confirmed, released=released)
    seq = history.append(events.RESERVATION_CONFIRMED, reservation("R-1", lines=[line]))
    the_only(history.findings(), seq, "R-1 ended with units neither confirmed nor released")


@pytest.mark.parametrize(
    ("on_hand_change", "stated"),
    [(-2, {"quantity": 3, "confirmed": 2, "released": 1}), (-3, {"quantity": 4, "confirmed": 3, "released": 1})],
)
def test_an_end_of_other_units_than_were_held_is_found(
    history: History, on_hand_change: int, stated: dict[str, int]
) -> None:
    history.reserve("R-1", A=2)
    line = history.line("A", on_hand_change, -2, **stated)
    seq = history.append(events.RESERVATION_CONFIRMED, reservation("R-1", lines=[line]))
    assert Finding(seq, "R-1 holds other units than before") in history.findings()


def test_an_end_that_leaves_a_line_out_is_found(history: History) -> None:
    history.receive("B", 1)
    history.reserve("R-1", A=1, B=1)
    seq = history.end(events.RESERVATION_CANCELLED, "R-1", {"A": (0, 1)})
    assert Finding(seq, "R-1 holds other units than before") in history.findings()


def test_an_extension_to_other_units_is_found(history: History) -> None:
    history.reserve("R-1", A=2)
    seq = history.append(events.RESERVATION_EXTENDED, reservation("R-1", holds=[{"sku": "A", "quantity": 3}]))
    assert Finding(seq, "R-1 holds other units than before") in history.findings()


@pytest.mark.parametrize(("on_hand_change", "reserved_change"), [(-2, -2), (0, -2), (-1, -1), (-1, -3)])
def test_units_that_move_otherwise_than_stated_are_found(
    history: History, on_hand_change: int, reserved_change: int
) -> None:
    history.reserve("R-0", A=1)
    history.reserve("R-1", A=2)
    line = history.line("A", on_hand_change, reserved_change, quantity=2, confirmed=1, released=1)
    seq = history.append(events.RESERVATION_CONFIRMED, reservation("R-1", lines=[line]))
    assert Finding(seq, "R-1 moves other units than it states") in history.findings()


def test_a_beginning_that_moves_other_units_than_stated_is_found(history: History) -> None:
    line = history.line("A", 0, 1, quantity=2)
    seq = history.append(events.RESERVATION_CREATED, reservation("R-1", lines=[line]))
    assert Finding(seq, "R-1 moves other units than it states") in history.findings()


@pytest.mark.fault_tolerance
@pytest.mark.parametrize(
    ("type_", "data"),
    [
        (events.PRODUCT_ADDED, {}),
        (events.PRODUCT_ADDED, {"sku": ["A"], "name": "x"}),
        (events.PRODUCT_ADDED, {"sku": 5, "name": "x"}),
        (events.PRODUCT_EDITED, {"sku": "A", "name": 5}),
        (events.PRODUCT_EDITED, {"sku": "A", "name": "x", "price": "8"}),
        (events.RESERVATION_CREATED, {}),
        (events.RESERVATION_CREATED, reservation("R-1")),
        (events.RESERVATION_CANCELLED, {**reservation("R-1"), "reservation": ["R-1"]}),
        (events.RESERVATION_EXTENDED, reservation("R-1", holds=[{"sku": "A", "quantity": "3"}])),
        (events.RESERVATION_EXTENDED, reservation("R-1", holds=[{"sku": ["A"], "quantity": 3}])),
        (events.RESERVATION_EXTENDED, reservation("R-1", holds="A")),
        (events.RESERVATION_EXPIRED, {**reservation("R-1", lines=[]), "expires_at": 7}),
    ],
)
def test_an_event_that_lacks_a_field_is_found_and_changes_nothing(
    history: History, type_: str, data: dict[str, Any]
) -> None:
    history.reserve("R-1", A=1)
    seq = history.append(type_, data)
    the_only(history.findings(), seq, "lacks a field")
    assert history.projection.reservations["R-1"].seq == seq - 1
    assert history.projection.products == {"A": Product("A", "Mouse", 8000)}


@pytest.mark.business
def test_checkpoints_of_what_the_events_come_to_are_no_findings(history: History) -> None:
    history.state()
    history.receive("B", 3)
    history.receive("A", 1)
    history.state()
    history.reserve("R-1", A=2, B=1)
    history.state()
    assert history.findings() == []


@pytest.mark.fault_tolerance
def test_a_checkpoint_of_other_levels_is_found_and_names_the_sku(history: History) -> None:
    history.receive("B", 3)
    seq = history.state(B=StockLevel(4, 0, 1))
    history.state()
    what = "the checkpoint states other levels than the events come to: look at B"
    assert history.projection.findings == []
    assert history.findings() == [Finding(seq, what)]


@pytest.mark.fault_tolerance
def test_a_checkpoint_of_a_sku_without_events_is_found(history: History) -> None:
    seq = history.state(GHOST=StockLevel(4, 0, 1))
    the_only(history.findings(), seq, "look at all of them")


@pytest.mark.fault_tolerance
def test_many_names_are_counted(history: History) -> None:
    skus = [f"S{number}" for number in range(7)]
    for sku in skus:
        history.receive(sku, 1)
    seq = history.state(**dict.fromkeys(skus, StockLevel(2, 0, 1)))
    the_only(history.findings(), seq, "look at S0, S1, S2, S3, S4 and 2 more")


@pytest.mark.fault_tolerance
def test_a_rejoin_works_the_levels_out_anew_so_earlier_checkpoints_no_longer_count(history: History) -> None:
    history.state(A=StockLevel(4, 0, 1))
    history.append(events.LEDGER_REBASED, {"epoch": 2})
    history.state()
    assert history.findings() == []


@pytest.mark.fault_tolerance
def test_a_checkpoint_that_cannot_be_read_is_found_and_one_of_later_days_is_not(history: History) -> None:
    seq = history.append(events.LEDGER_CHECKPOINT, {"form": checkpoint.FORM})
    history.append(events.LEDGER_CHECKPOINT, {"form": "of-later-days"})
    the_only(history.findings(), seq, "cannot be read")


FIELDS = [
    *("sku", "name", "price", "reservation", "created_at", "expires_at", "order", "clerk", "lines", "holds"),
    *("form", "skus", "digest", "rows", "columns"),
    *("quantity", "confirmed", "released", "on_hand", "on_hand_change", "reserved", "reserved_change", "version"),
]
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["A", "R-1", T0, DUE]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=20,
)
TYPES = [
    *(events.PRODUCT_ADDED, events.PRODUCT_EDITED, events.STOCK_ADJUSTED, events.LEDGER_CHECKPOINT),
    *events.STATUS_AFTER,
]


@pytest.mark.fault_tolerance
@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(TYPES), st.dictionaries(st.sampled_from(FIELDS), documents)), max_size=5))
def test_no_event_stops_it(history_of: list[tuple[str, dict[str, Any]]]) -> None:
    projection = Projection()
    for seq, (type_, data) in enumerate(history_of, 1):
        try:
            event = events.parse(events.compose(id="1", type=type_, store="downtown", time=T0, subject="s", data=data))
        except MalformedEventError:
            event = Event("1", type_, "downtown", T0, "s", "", "", "", data, [])
        projection.apply(seq, event)
    projection.close()


@pytest.mark.business
@given(st.integers(0, 2**32))
def test_any_sound_history_has_no_findings_and_its_levels_follow(seed: int) -> None:
    chance = Random(seed)
    history = History()
    history.append(events.PRODUCT_ADDED, {"sku": "A", "name": "Mouse"})
    history.receive("A", 10)
    held: dict[str, int] = {}
    for number in range(20):
        free = history.levels["A"].available
        if free and chance.random() < 0.5:
            held[f"R-{number}"] = chance.randint(1, free)
            history.reserve(f"R-{number}", A=held[f"R-{number}"])
        elif held:
            key = chance.choice(sorted(held))
            units = held.pop(key)
            sold = chance.randint(0, units)
            history.end(events.RESERVATION_CONFIRMED, key, {"A": (sold, units - sold)})
        else:
            history.receive("A", chance.randint(1, 5))
    assert history.findings() == []
    assert history.projection.levels == history.levels

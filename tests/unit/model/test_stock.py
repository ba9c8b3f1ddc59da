from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invctl.errors import InvalidValueError
from invctl.model.stock import EMPTY, LEVEL_MAX, QUANTITY_MAX, StockLevel, check_quantity, sum_lines


def test_available_is_what_is_on_hand_and_not_reserved() -> None:
    assert StockLevel(10, 3, 7).available == 7
    assert EMPTY.available == 0


@pytest.mark.parametrize(
    ("level", "possible"),
    [
        (StockLevel(0, 0, 0), True),
        (StockLevel(5, 5, 1), True),
        (StockLevel(LEVEL_MAX, 0, 1), True),
        (StockLevel(-1, 0, 1), False),
        (StockLevel(5, 6, 1), False),
        (StockLevel(5, -1, 1), False),
        (StockLevel(LEVEL_MAX + 1, 0, 1), False),
        (StockLevel(5, 5, -1), False),
    ],
)
def test_which_levels_a_store_can_have(level: StockLevel, possible: bool) -> None:
    assert level.possible is possible


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9))))
def test_a_level_is_the_sum_of_its_changes_and_its_version_their_number(changes: list[tuple[int, int]]) -> None:
    level = EMPTY
    for on_hand_change, reserved_change in changes:
        level = level.moved(on_hand_change, reserved_change)
    assert level == (sum(change[0] for change in changes), sum(change[1] for change in changes), len(changes))


@pytest.mark.parametrize(("quantity", "least"), [(1, 1), (QUANTITY_MAX, 1), (0, 0), (-3, -3)])
def test_a_quantity_in_range_is_returned(quantity: int, least: int) -> None:
    assert check_quantity(quantity, least=least) == quantity


@pytest.mark.parametrize(("quantity", "least"), [(0, 1), (-1, 1), (-1, 0), (QUANTITY_MAX + 1, 1), (-4, -3)])
def test_a_quantity_out_of_range_is_refused_with_the_range(quantity: int, least: int) -> None:
    with pytest.raises(InvalidValueError, match=f"{quantity:,}") as caught:
        check_quantity(quantity, least=least)
    assert str(least) in caught.value.hint
    assert f"{QUANTITY_MAX:,}" in caught.value.hint


@pytest.mark.business
def test_the_same_sku_twice_is_summed_in_the_order_typed() -> None:
    assert list(sum_lines([("B", 1), ("A", 2), ("B", 3)]).items()) == [("B", 4), ("A", 2)]
    assert sum_lines([]) == {}


@pytest.mark.business
@pytest.mark.parametrize("lines", [[("A", 0)], [("A", 5), ("A", -1)], [("A", QUANTITY_MAX), ("A", 1)]])
def test_a_quantity_out_of_range_is_refused_alone_and_summed(lines: list[tuple[str, int]]) -> None:
    with pytest.raises(InvalidValueError, match="not a quantity"):
        sum_lines(lines)

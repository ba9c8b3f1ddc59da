"""Clerks who sell baskets at once: each store's in their order, and all of them end."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from invctl.errors import NotEnoughStockError
from invctl.ledger import seeding
from invctl.ledger.ledger import Ledger
from scripts.chain.groceries import Basket
from scripts.chain.journal import acknowledged
from scripts.chain.tills import TILLS, Tills

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.concurrency

STORES = [f"store-{number}" for number in range(2 * TILLS + 1)]
UNITS = 40


@contextmanager
def opened(folder: Path) -> Iterator[dict[str, Ledger]]:
    with ExitStack() as open_:
        ledgers = {}
        for store in STORES:
            ledgers[store] = open_.enter_context(Ledger.create(folder / store, store))
            seeding.seed(ledgers[store], [seeding.SeedProduct("MOUSE-001", "Mouse", None, UNITS)])
        yield ledgers


def baskets(each: int) -> list[Basket]:
    return [Basket(f"{store}-{turn}", store, {"MOUSE-001": 1}) for turn in range(each) for store in STORES]


def orders(ledger: Ledger) -> list[str]:
    return [order for (order,) in ledger.rows("SELECT order_reference FROM reservations ORDER BY first_seq")]


def test_each_store_sells_its_baskets_in_their_order_and_what_it_sold_is_noted(tmp_path: Path) -> None:
    seen: list[int] = []
    with opened(tmp_path) as ledgers:
        Tills(ledgers, lambda store: tmp_path / "journals" / store).sell(baskets(UNITS), seen.append)
        for store, ledger in ledgers.items():
            assert orders(ledger) == [f"{store}-{turn}" for turn in range(UNITS)]
            noted = acknowledged(tmp_path / "journals" / store)
            assert noted == {f"{store}-{turn}-{step}" for turn in range(UNITS) for step in ("reserve", "confirm")}
    assert seen[-1] == UNITS * len(STORES)
    assert seen == sorted(seen)


def test_what_one_is_refused_ends_all_and_is_told(tmp_path: Path) -> None:
    with opened(tmp_path) as ledgers:
        too_much = Basket("too-much", STORES[0], {"MOUSE-001": UNITS + 1})
        tills = Tills(ledgers, lambda store: tmp_path / "journals" / store, lasts_s=3600.0)
        with pytest.raises(NotEnoughStockError):
            tills.sell([too_much, *baskets(UNITS)], lambda _: None)


def test_who_looks_on_may_end_it(tmp_path: Path) -> None:
    def interrupted(sold: int) -> None:
        if sold:
            raise KeyboardInterrupt

    with opened(tmp_path) as ledgers, pytest.raises(KeyboardInterrupt):
        Tills(ledgers, lambda store: tmp_path / "journals" / store, lasts_s=3600.0).sell(baskets(UNITS), interrupted)

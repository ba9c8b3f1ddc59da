"""Barcodes: the codes on a label, as a scanner types them.

Source of the check digit: https://www.gs1.org/services/how-calculate-check-digit-manually
"""

from __future__ import annotations

import re

from invctl.errors import InvalidValueError
from invctl.language import _

_CODE = re.compile(r"[!-~]{3,64}")
_GTIN_DIGITS = frozenset({8, 12, 13, 14})


def parse_barcode(text: str) -> str:
    """Return a barcode in its stored form, or raise InvalidValueError.

    What has the digits of an EAN, a UPC or a GTIN has to have its check digit. A UPC is an EAN without the zero before
    it, and scanners are set to either: it is stored with the zero.
    """
    code = text.strip().upper()
    if not text.isascii() or not _CODE.fullmatch(code):
        raise InvalidValueError(
            _("{text!r} is not a barcode", text=text[:70]), hint=_("3 to 64 visible ASCII characters, no spaces")
        )
    if not is_gtin(code):
        return code
    if check_digit(code[:-1]) != code[-1]:
        hint = _("the last digit should be {digit}: scan it again", digit=check_digit(code[:-1]))
        raise InvalidValueError(_("{code} is not a barcode: its check digit is wrong", code=code), hint=hint)
    return "0" + code if len(code) == 12 else code


def is_gtin(code: str) -> bool:
    """Say whether this has the form of an EAN-8, UPC-A, EAN-13 or GTIN-14, whose last digit is a check."""
    return code.isdigit() and len(code) in _GTIN_DIGITS


def check_digit(digits: str) -> str:
    """Return the digit that follows these, by GS1's rule: from the right, weighted 3, 1, 3 and so on."""
    total = sum(int(digit) * (1 if place % 2 else 3) for place, digit in enumerate(reversed(digits)))
    return str(-total % 10)

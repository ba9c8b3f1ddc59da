"""Names of stores, items, reservations and events: their form, and how new ones are drawn."""

from __future__ import annotations

import re
from typing import Protocol
from zlib import crc32

from invctl.errors import InvalidValueError
from invctl.language import _

SLOTS = 64
RESERVATION_PREFIX = "R-"
RESERVATION_RANDOM_CHARS = 5
PREFIX_CHARS_MIN = 3

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUE = {char: value for value, char in enumerate(_CROCKFORD)}
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1"})

_STORE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_SKU = re.compile(r"[A-Z0-9][A-Z0-9._/+-]{0,63}")
_REQUEST = re.compile(r"[!-~]{1,128}")


class Bits(Protocol):
    """Chance, as `random.Random` and `random.SystemRandom` give it."""

    def getrandbits(self, k: int, /) -> int:
        """`k` random bits as a non-negative integer."""
        ...


def check_store(text: str) -> str:
    """Return a store's id as it is, or raise InvalidValueError."""
    if not _STORE.fullmatch(text):
        raise InvalidValueError(
            _("{text!r} is not a store id", text=text),
            hint=_("lower-case letters, digits and hyphens, at most 32, not a hyphen first: downtown"),
        )
    return text


def is_store(text: object) -> bool:
    """Say whether this is the id of a store."""
    return isinstance(text, str) and _STORE.fullmatch(text) is not None


def slot_of(store: str) -> int:
    """Return the slot of a store, 0 to 63: it decides which central serves it."""
    return crc32(store.encode()) % SLOTS


def parse_sku(text: str) -> str:
    """Return a SKU in its stored form, which is upper case, or raise InvalidValueError."""
    sku = text.strip().upper()
    # Upper case makes ASCII of some other letters: what is on the label would be another SKU.
    if not text.isascii() or not _SKU.fullmatch(sku):
        raise InvalidValueError(
            _("{text!r} is not a SKU", text=text),
            hint=_("letters, digits and . _ / + -, at most 64, such as MOUSE-001"),
        )
    return sku


def check_request_id(text: str) -> str:
    """Return a request id as it is, or raise InvalidValueError."""
    if not _REQUEST.fullmatch(text):
        raise InvalidValueError(
            _("{text!r} is not a request id", text=text), hint=_("1 to 128 visible ASCII characters, no spaces")
        )
    return text


def new_event_id(chance: Bits) -> str:
    """Draw the id of an event: 128 bits in hexadecimal."""
    return f"{chance.getrandbits(128):032x}"


def new_reservation_id(chance: Bits, random_chars: int = RESERVATION_RANDOM_CHARS) -> str:
    """Draw the id of a reservation: `R-`, random Crockford characters, and a check character over them."""
    body = "".join(_CROCKFORD[chance.getrandbits(5)] for _place in range(random_chars))
    return RESERVATION_PREFIX + body + _check_character(body)


def _check_character(body: str) -> str:
    """Luhn's check, modulo 32: finds every single wrong character and most swapped neighbours.

    Source: https://en.wikipedia.org/wiki/Luhn_mod_N_algorithm
    """
    total = 0
    factor = 2
    for char in reversed(body):
        addend = factor * _VALUE[char]
        total += addend // 32 + addend % 32
        factor = 3 - factor
    return _CROCKFORD[-total % 32]


def reservation_body(text: str) -> str:
    """Return what follows `R-` in a reservation id or in the beginning of one, as Crockford reads it.

    The letters O, I and L are read as 0, 1 and 1, in either case. Raises InvalidValueError.
    """
    body = text.strip().upper().removeprefix(RESERVATION_PREFIX).translate(_READ_AS)
    if not text.isascii() or len(body) < PREFIX_CHARS_MIN or any(char not in _VALUE for char in body):
        raise InvalidValueError(
            _("{text!r} is not a reservation id", text=text),
            hint=_("such as R-7K4QMQ; its first {n:,} characters or more find an open one", n=PREFIX_CHARS_MIN),
        )
    return body


def is_whole_reservation_body(body: str) -> bool:
    """Say whether a body is long enough and its check character fits."""
    return len(body) > RESERVATION_RANDOM_CHARS and _check_character(body[:-1]) == body[-1]

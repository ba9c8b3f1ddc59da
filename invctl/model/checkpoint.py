"""What a checkpoint says: a digest of all levels of a ledger, which also names what differs where two of them do.

Each level is hashed together with its SKU (BLAKE2b, 256 bits), and the digest is the sum of these hashes. So it depends
on no order, and a level that moves is one hash less and one more: a replay checks years of checkpoints, and a ledger
holds its clerks up only for what moved while the rest was summed up. Such a sum tells faults, not forgers
(AdHash: Bellare and Micciancio, "A new paradigm for collision-free hashing", 1997).

To name what differs without asking back, the SKUs are laid out over a square by a hash of their names, and each row and
each column of it has a sum, of 32 bits. A SKU that differs makes its row and its column differ. The side of the square
grows with the root of their number, and so does the event.

What never moved (`EMPTY`) counts as what is not there.
"""

from __future__ import annotations

from _blake2 import blake2b  # not by way of hashlib: see invctl.model.chain
from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.model.stock import EMPTY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from invctl.model.stock import StockLevel

FORM = "blake2b-256-sum"
# Half a kilobyte, and it names ten that differ of a hundred.
SIDE_LEAST = 32
# Two times 2,048 sums of eight digits are half of what an event may take.
SIDE_MAX = 2048
# So many places of the square for each SKU: of a single one that differs, hardly another has row and column.
_PLACES_PER_SKU = 8
_DIGITS = 8
_DIGEST_MASK = 2**256 - 1
_SUM_MASK = 2**32 - 1


class Checkpoint(NamedTuple):
    """What a checkpoint says of `skus` levels: a digest in hexadecimal, and the sums of the square's rows and columns.

    There are as many rows as columns, a power of two.
    """

    skus: int
    digest: str
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def as_data(self) -> dict[str, Any]:
        """Return it as an event's `data`."""
        return {
            "form": FORM,
            "skus": self.skus,
            "digest": self.digest,
            "rows": _written(self.rows),
            "columns": _written(self.columns),
        }


class Odd(NamedTuple):
    """The rows and columns in which two checkpoints differ, of a square with this `side`."""

    side: int
    rows: frozenset[int]
    columns: frozenset[int]

    def has(self, sku: str) -> bool:
        """Say whether this SKU may be what differs; of any other the levels are equal."""
        row, column = _place(sku)
        return row % self.side in self.rows and column % self.side in self.columns

    def among(self, skus: Iterable[str]) -> Iterator[str]:
        """Return those SKUs that may be what differs."""
        return (sku for sku in skus if self.has(sku))


class Tally:
    """The sums over a set of levels, kept up as they move."""

    def __init__(self) -> None:
        """Begin with no level."""
        self._skus = 0
        self._digest = 0
        self._rows = [0] * SIDE_MAX
        self._columns = [0] * SIDE_MAX

    def add(self, sku: str, level: StockLevel) -> None:
        """Count the level of a SKU of which none was counted."""
        if level != EMPTY:
            self._count(sku, level, 1)

    def move(self, sku: str, before: StockLevel, after: StockLevel) -> None:
        """Let a level that was counted be another one."""
        if before == after:
            return
        if before != EMPTY:
            self._count(sku, before, -1)
        self.add(sku, after)

    def total(self) -> Checkpoint:
        """Return what a checkpoint says of these levels."""
        side = _side_for(self._skus)
        return Checkpoint(self._skus, self._digest_hex, _folded(self._rows, side), _folded(self._columns, side))

    def agrees(self, stated: Checkpoint) -> bool:
        """Say whether a checkpoint is of these levels."""
        return (self._skus, self._digest_hex) == (stated.skus, stated.digest)

    def odd(self, stated: Checkpoint) -> Odd:
        """Return where these levels and those of a checkpoint differ."""
        side = len(stated.rows)
        rows, columns = _folded(self._rows, side), _folded(self._columns, side)
        return Odd(side, _differing(rows, stated.rows), _differing(columns, stated.columns))

    @property
    def _digest_hex(self) -> str:
        return f"{self._digest & _DIGEST_MASK:064x}"

    def _count(self, sku: str, level: StockLevel, times: int) -> None:
        on_hand, reserved, version = level
        # The numbers first: a SKU may have spaces.
        hashed = blake2b(f"{on_hand} {reserved} {version} {sku}".encode(), digest_size=32).digest()
        number = int.from_bytes(hashed, "big") * times
        row, column = _place(sku)
        self._skus += times
        self._digest += number
        number &= _SUM_MASK
        self._rows[row] += number
        self._columns[column] += number


def tally(levels: Iterable[tuple[str, StockLevel]]) -> Tally:
    """Sum up levels, each SKU once."""
    summed = Tally()
    for sku, level in levels:
        summed.add(sku, level)
    return summed


def read(data: dict[str, Any]) -> Checkpoint | None:
    """Read a checkpoint from its event's `data`; None where it is of a form that is not known here.

    Raises KeyError, TypeError or ValueError where it is malformed.
    """
    if data["form"] != FORM:
        return None
    skus, digest = data["skus"], data["digest"]
    if type(skus) is not int or skus < 0:
        raise ValueError("it counts no SKUs")
    if not isinstance(digest, str) or len(digest) != 64:
        raise ValueError("its digest is none")
    rows, columns = _read(data["rows"]), _read(data["columns"])
    if len(rows) != len(columns):
        raise ValueError("its rows and columns make no square")
    return Checkpoint(skus, digest, rows, columns)


def _place(sku: str) -> tuple[int, int]:
    # Not a CRC: what SKUs of one form have in common would show in their places.
    number = int.from_bytes(blake2b(sku.encode(), digest_size=4).digest(), "big")
    return number % SIDE_MAX, number // SIDE_MAX % SIDE_MAX


def _side_for(skus: int) -> int:
    side = SIDE_LEAST
    while side < SIDE_MAX and side * side < _PLACES_PER_SKU * skus:
        side *= 2
    return side


def _folded(sums: list[int], side: int) -> tuple[int, ...]:
    return tuple(sum(sums[first::side]) & _SUM_MASK for first in range(side))


def _differing(ours: tuple[int, ...], theirs: tuple[int, ...]) -> frozenset[int]:
    return frozenset(at for at, (one, other) in enumerate(zip(ours, theirs, strict=True)) if one != other)


def _written(sums: tuple[int, ...]) -> str:
    return "".join(f"{each:0{_DIGITS}x}" for each in sums)


def _read(text: Any) -> tuple[int, ...]:
    if not isinstance(text, str):
        raise TypeError("its sums are no text")
    sums = tuple(int.from_bytes(bytes.fromhex(text[at : at + _DIGITS]), "big") for at in range(0, len(text), _DIGITS))
    side = len(sums)
    if len(text) != side * _DIGITS or not 0 < side <= SIDE_MAX or side & (side - 1):
        raise ValueError("its square has no side")
    return sums

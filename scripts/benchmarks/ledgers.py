"""Ledgers of a size, filled through the ledger's own operations."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from invctl.ledger import adjustments, reservations, seeding
from invctl.ledger.ledger import FILE, Ledger
from invctl.ledger.writing import NOBODY, Move
from scripts.benchmarks.figure import batches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PLENTY = 500_000_000
_SEEDED_AT_ONCE = 1000


def sku_of(number: int) -> str:
    """Return the SKU of a number."""
    return f"SKU-{number:05d}"


def opened(home: Path, store: str, skus: int, *, units: int = PLENTY) -> Ledger:
    """Open a new ledger that has so many products in stock."""
    ledger = Ledger.create(home, store)
    for some in batches(skus, _SEEDED_AT_ONCE):
        seeding.seed(ledger, [seeding.SeedProduct(sku_of(number), f"Product {number}", 1999, units) for number in some])
    return ledger


def hasten(ledger: Ledger) -> None:
    """Let commits be durable at the end alone, while a ledger is filled: the same rows, sooner."""
    ledger.connection.execute("PRAGMA synchronous = OFF")


def trade(ledger: Ledger, events: int, skus: Sequence[str]) -> None:
    """Let customers come, one after the other, until there are so many events more: two of three buy."""
    head = ledger.row("SELECT max(seq) FROM events")[0]
    end = head + events
    number = 0
    while head < end:
        sku = skus[number % len(skus)]
        opened_ = reservations.reserve(ledger, {sku: 1 + number % 3}, order=f"A-{number}")
        head = opened_.seq
        if head < end:
            end_ = reservations.cancel if number % 3 == 2 else reservations.confirm
            head = end_(ledger, opened_.event.subject).seq
        number += 1


def adjust(ledger: Ledger, events: int, skus: Sequence[str]) -> None:
    """Append so many events of the smallest kind, one unit received each, a thousand in a transaction.

    They come about as each one does that a clerk makes, but for the commit.
    """
    for some in batches(events, 1000):
        with ledger.write() as write:
            for number in some:
                move = Move(skus[number % len(skus)], 1, 0, {})
                adjustments.append(write, [move], "received", "", NOBODY)
            write.commit()


def hold(ledger: Ledger, count: int, skus: Sequence[str]) -> None:
    """Open so many reservations, and leave them open."""
    for number in range(count):
        reservations.reserve(ledger, {skus[number % len(skus)]: 1}, order=f"A-{number}", hold_s=reservations.HOLD_S_MAX)


def copied(home: Path, to: Path) -> Path:
    """Copy a ledger that nobody has open."""
    to.mkdir(parents=True, exist_ok=True)
    for path in home.glob(f"{FILE}*"):
        shutil.copy(path, to / path.name)
    return to

"""All that a ledger holds, row by row: as of one moment, however large it is, and never in memory at once.

A generator here has a read transaction open until it is at its end, or closed; `contextlib.closing` sees to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.ledger import reads
from invctl.ledger.reservations import Held
from invctl.model import events

if TYPE_CHECKING:
    from collections.abc import Generator

    from invctl.ledger.ledger import Ledger
    from invctl.ledger.reads import HistoryRow, StockRow
    from invctl.model.reservation import Reservation


def stock(ledger: Ledger) -> Generator[tuple[StockRow, int]]:
    """Yield every level, by SKU, each with the seq that it is as of."""
    with ledger.read():
        seq = reads.head_seq(ledger)
        for row in ledger.connection.execute(reads.STOCK + " ORDER BY sku", (ledger.now_us(),)):
            yield reads.as_level(*row), seq


def reservations(ledger: Ledger) -> Generator[Reservation]:
    """Yield every reservation, the oldest first."""
    with ledger.read():
        now_us = ledger.now_us()
        for row in ledger.connection.execute(reads.HELD + " ORDER BY created_us, reservation"):
            yield reads.as_reservation(ledger, Held(*row), now_us)


def history(ledger: Ledger, after: int = 0) -> Generator[HistoryRow]:
    """Yield the rows of every event behind this seq, the oldest first."""
    with ledger.read():
        for seq, body in ledger.connection.execute("SELECT seq, body FROM events WHERE seq > ? ORDER BY seq", (after,)):
            yield from reads.told(seq, events.parse(body), None)

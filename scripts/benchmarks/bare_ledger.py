"""What a ledger's writes cost by themselves: the same rows in bare apsw.

Written to be fast: one connection, statements that apsw keeps prepared, bytes that are made beforehand, one durable
commit for each reservation. Nothing is checked, chained, expired or remembered.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import apsw

from invctl.ledger.ledger import FILE

if TYPE_CHECKING:
    from pathlib import Path

_BODY = (
    b'{"data":{"clerk":"","created_at":"2026-01-01T00:00:00.000000Z","expires_at":"2026-01-01T00:30:00.000000Z",'
    b'"lines":[{"on_hand":1000000,"on_hand_change":0,"quantity":1,"reserved":12345,"reserved_change":1,'
    b'"sku":"MOUSE-001","version":12346}],"reservation":"R-7K4QM2"},"id":"5f2b1a7c9d3e4f60b1a2c3d4e5f60718",'
    b'"source":"/stores/downtown","specversion":"1.0","subject":"R-7K4QM2","time":"2026-01-01T00:00:00.000000Z",'
    b'"type":"inventory.reservation.created"}'
)
_HASH = bytes(range(32))


class BareLedger:
    """A ledger's file, written by hand. It is of no use to anybody afterwards."""

    def __init__(self, home: Path) -> None:
        """Open the ledger in this folder, which has to be there, with the SKUs that are to be reserved."""
        self._connection = connection = apsw.Connection(str(home / FILE))
        connection.set_busy_timeout(5000)
        connection.execute("PRAGMA synchronous = FULL")
        ((self._seq,),) = connection.execute("SELECT max(seq) FROM events")
        self._chance = random.Random(time.monotonic_ns())

    def reserve(self, sku: str, quantity: int = 1) -> bool:
        """Read the level, and write the reservation with its line, event, movement and level. False where it is short.

        The sequence is this connection's own unless others write, too: then use `reserve_beside_others`.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        return self._write(sku, quantity)

    def reserve_beside_others(self, sku: str, quantity: int = 1) -> bool:
        """Do the same where other processes write to the same file."""
        self._connection.execute("BEGIN IMMEDIATE")
        ((self._seq,),) = self._connection.execute("SELECT seq FROM events ORDER BY seq DESC LIMIT 1")
        return self._write(sku, quantity)

    def _write(self, sku: str, quantity: int) -> bool:
        execute = self._connection.execute
        ((on_hand, reserved, version),) = execute("SELECT on_hand, reserved, version FROM stock WHERE sku = ?", (sku,))
        if on_hand - reserved < quantity:
            execute("ROLLBACK")
            return False
        self._seq = seq = self._seq + 1
        now = time.time_ns() // 1000
        ident = f"{self._chance.getrandbits(128):032x}"
        key = f"R-{ident[:12]}"
        after = (on_hand, reserved + quantity, version + 1)
        execute("UPDATE stock SET on_hand = ?, reserved = ?, version = ? WHERE sku = ?", (*after, sku))
        execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", (seq, ident, "created", now, _BODY, _HASH))
        execute("INSERT INTO movements VALUES (?, ?, ?, ?, ?, ?, ?)", (sku, seq, 0, quantity, *after))
        execute(
            "INSERT INTO reservations VALUES (?, 'pending', '', '', ?, ?, NULL, ?, ?)",
            (key, now, now + 1_800_000_000, seq, seq),
        )
        execute("INSERT INTO reservation_lines VALUES (?, ?, ?, 0, 0, ?)", (key, sku, quantity, now + 1_800_000_000))
        execute("COMMIT")
        return True

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

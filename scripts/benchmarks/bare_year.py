"""What a year of trade takes at the least.

The same baskets are reserved and confirmed in the same tables by as many clerks at once, in bare apsw with one durable
commit each, and what happened goes down the bare pipeline (`bare_pipeline receive`, which runs beside this). Nothing is
checked, chained, expired or remembered.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Any

import apsw

from invctl.ledger.ledger import FILE, Ledger
from scripts.benchmarks.bare_pipeline import EVENTS_A_FRAME, Line
from scripts.chain.tills import TILLS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scripts.chain.groceries import Basket, Trade

_HASH = bytes(range(32))
_HOLD_US = 1_800_000_000


class _Store:
    """One store's ledger, and what of it is still to be sent."""

    def __init__(self, home: Path, line: Line, turn: Lock) -> None:
        Ledger.create(home, home.name).close()
        self._store = home.name
        self._line = line
        self._turn = turn
        self._connection = connection = apsw.Connection(str(home / FILE))
        connection.execute("PRAGMA synchronous = FULL")
        ((seq,),) = connection.execute("SELECT max(seq) FROM events")
        self._seq = int(seq)
        self._first = self._seq + 1
        self._bodies: list[str] = []
        self.events = 0

    def carry(self, wanted: Mapping[str, int]) -> None:
        """Open with these products and units, in one transaction."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        for sku, units in wanted.items():
            execute("INSERT INTO products VALUES (?, ?, NULL)", (sku, f"Product {sku}"))
            execute("INSERT INTO stock VALUES (?, ?, 0, 1)", (sku, units))
            self._note("product.added", {"sku": sku, "lines": [_line(sku, units, 0, 1)]})
        execute("COMMIT")

    def sell(self, key: str, lines: Mapping[str, int]) -> None:
        """Reserve a basket, and confirm it."""
        execute = self._connection.execute
        now = time.time_ns() // 1000
        execute("BEGIN IMMEDIATE")
        stated = self._move(lines, 0, 1)
        seq = self._note("created", {"reservation": key, "lines": stated})
        execute(
            "INSERT INTO reservations VALUES (?, 'pending', ?, '', ?, ?, NULL, ?, ?)",
            (key, key, now, now + _HOLD_US, seq, seq),
        )
        self._connection.executemany(
            "INSERT INTO reservation_lines VALUES (?, ?, ?, 0, 0, ?)",
            [(key, sku, quantity, now + _HOLD_US) for sku, quantity in lines.items()],
        )
        execute("COMMIT")
        execute("BEGIN IMMEDIATE")
        stated = self._move(lines, -1, -1)
        seq = self._note("confirmed", {"reservation": key, "lines": stated})
        execute(
            "UPDATE reservations SET status = 'confirmed', ended_us = ?, last_seq = ? WHERE reservation = ?",
            (now, seq, key),
        )
        execute("UPDATE reservation_lines SET confirmed = quantity, due_us = NULL WHERE reservation = ?", (key,))
        execute("COMMIT")

    def flush(self) -> None:
        """Send what waits."""
        if self._bodies:
            with self._turn:
                self._line.send(self._store, self._first, self._bodies)
            self._first += len(self._bodies)
            self._bodies = []

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def _move(self, lines: Mapping[str, int], on_hand: int, reserved: int) -> list[dict[str, Any]]:
        execute = self._connection.execute
        stated = []
        moved = []
        seq = self._seq + 1
        for sku, quantity in lines.items():
            ((has, held, version),) = execute("SELECT on_hand, reserved, version FROM stock WHERE sku = ?", (sku,))
            after = (has + on_hand * quantity, held + reserved * quantity, version + 1)
            execute("UPDATE stock SET on_hand = ?, reserved = ?, version = ? WHERE sku = ?", (*after, sku))
            moved.append((sku, seq, on_hand * quantity, reserved * quantity, *after))
            stated.append(_line(sku, *after))
        self._connection.executemany("INSERT INTO movements VALUES (?, ?, ?, ?, ?, ?, ?)", moved)
        return stated

    def _note(self, type_: str, data: Mapping[str, Any]) -> int:
        self._seq += 1
        seq = self._seq
        ident = f"{self._store}-{seq}"
        body = json.dumps({"id": ident, "type": type_, "data": data}, separators=(",", ":"))
        self._connection.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)",
            (seq, ident, type_, time.time_ns() // 1000, body.encode(), _HASH),
        )
        self.events += 1
        self._bodies.append(body)
        if len(self._bodies) >= EVENTS_A_FRAME:
            self.flush()
        return seq


def _line(sku: str, on_hand: int, reserved: int, version: int) -> dict[str, Any]:
    return {"sku": sku, "on_hand": on_hand, "reserved": reserved, "version": version}


def run(url: str, folder: Path, trade: Trade) -> int:
    """Open the stores, sell every basket, and send all of it. Returns how many events that were."""
    line, turn = Line(url), Lock()
    stores = {}
    shares: list[list[Basket]] = [[] for _ in range(TILLS)]
    till_of = {}
    for number, (store, wanted) in enumerate(sorted(trade.demand().items())):
        stores[store] = _Store(folder / store, line, turn)
        stores[store].carry(wanted)
        till_of[store] = number % TILLS
    for basket in trade.baskets:
        shares[till_of[basket.store]].append(basket)

    def serve(share: list[Basket]) -> None:
        for basket in share:
            stores[basket.store].sell(basket.basket, basket.lines)

    with ThreadPoolExecutor(TILLS) as pool:
        list(pool.map(serve, shares))
    for each in stores.values():
        each.flush()
        each.close()
    line.flush()
    return sum(each.events for each in stores.values())


def events_of(trade: Trade) -> int:
    """Return how many events `run` will send."""
    return sum(len(wanted) for wanted in trade.demand().values()) + 2 * len(trade.baskets)

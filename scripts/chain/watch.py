"""What the demo's screen shows, read from the databases of both sides as anybody could."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from central.database import open_database, reading
from central.reads import status
from central.tail import latest_positions, read_tail
from invctl.clock import SystemClock
from invctl.ledger import reads
from invctl.ledger.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from central.tail import TailEvent

EVENTS_KEPT = 100
LATENCIES_KEPT = 200


class StoreView(NamedTuple):
    """One store, on both sides. `lag_ms` is None while central has nothing of it."""

    store: str
    name: str
    head_seq: int
    applied_seq: int
    lag_ms: float | None
    on_hand: int
    open_reservations: int


class Watch:
    """Reads ledgers and central, again and again, through connections that stay open."""

    def __init__(self, homes: Sequence[Path], central_url: str) -> None:
        """Open them. Central must have been founded."""
        self._ledgers = [Ledger.open(home) for home in homes]
        self._engine = open_database(central_url, clock=SystemClock())
        with reading(self._engine) as connection:
            self._after = latest_positions(connection)
        self._latencies_us: dict[str, deque[int]] = {}
        self.latest: deque[TailEvent] = deque(maxlen=EVENTS_KEPT)
        self.stores: list[StoreView] = []

    def look(self) -> None:
        """Read everything anew."""
        with reading(self._engine) as connection:
            page = read_tail(connection, self._after)
            applied = {row.store: row.fresh.as_of_seq for row in status(connection).stores}
        self._after = page.after
        for event in page.events:
            self.latest.append(event)
            if event.time_us is not None:
                recent = self._latencies_us.setdefault(event.store, deque(maxlen=LATENCIES_KEPT))
                recent.append(event.applied_us - event.time_us)
        self.stores = [self._view(ledger, applied) for ledger in self._ledgers]

    def close(self) -> None:
        """Give everything back."""
        for ledger in self._ledgers:
            ledger.close()
        self._engine.dispose()

    def _view(self, ledger: Ledger, applied: dict[str, int]) -> StoreView:
        store = ledger.store
        now = reads.status(ledger)
        recent = sorted(self._latencies_us.get(store.store, ()))
        return StoreView(
            store=store.store,
            name=store.name,
            head_seq=now.head_seq,
            applied_seq=applied.get(store.store, 0),
            lag_ms=recent[len(recent) // 2] / 1000 if recent else None,
            on_hand=ledger.row("SELECT coalesce(sum(on_hand), 0) FROM stock")[0],
            open_reservations=now.open_reservations,
        )

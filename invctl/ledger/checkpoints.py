"""Checkpoints: now and then a ledger states what all of its levels come to, for head office to compare.

Hashes prove that head office has the ledger's events. A checkpoint proves, beyond that, that both made the same levels
of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.ledger import disk
from invctl.ledger.database import first, rows
from invctl.ledger.writing import NOBODY
from invctl.model import events
from invctl.model.checkpoint import tally
from invctl.model.stock import EMPTY, StockLevel

if TYPE_CHECKING:
    from invctl.ledger.ledger import Ledger
    from invctl.ledger.writing import Receipt, Write

# A difference that nobody sees misleads head office for so long. An event an hour is little even in a quiet store, and
# in one with 100,000 items, where it takes 17 KB.
PERIOD_S = 3600
# A busy store is checked sooner. This also bounds how far one has to look back for the last checkpoint.
EVENTS_BETWEEN = 10_000


def is_due(ledger: Ledger, *, begun_us: int) -> bool:
    """Say whether something happened since the last checkpoint, and that is long ago.

    Where there was none yet, or too long ago to look for it, it counts from `begun_us` (when the daemon began to look),
    unless as many events are there as may lie between two. Nothing is due where nothing can be written.
    """
    head = ledger.row("SELECT seq, type FROM events ORDER BY seq DESC LIMIT 1")
    if head is None or head[1] == events.LEDGER_CHECKPOINT or ledger.frozen() or disk.noted(ledger.path):
        return False
    if disk.is_low(disk.free_bytes(ledger.home), ledger.reserve_bytes):
        return False
    last = ledger.row(
        "SELECT time_us FROM events WHERE seq > ? AND type = ? ORDER BY seq DESC LIMIT 1",
        (head[0] - EVENTS_BETWEEN, events.LEDGER_CHECKPOINT),
    )
    if last is None and head[0] >= EVENTS_BETWEEN:
        return True
    return ledger.now_us() - (last[0] if last else begun_us) >= PERIOD_S * 1_000_000


def append(ledger: Ledger) -> Receipt | None:
    """Append a checkpoint of all levels as they are. None where nothing happened since the last one.

    The levels are summed up before clerks are kept waiting; within their turn only what moved meanwhile is. None, too,
    where the ledger was given another history meanwhile. Raises BusyError where the turn to write does not come in
    time, FrozenError or DamagedError where nothing may be written.
    """
    with ledger.read():
        begun = ledger.row("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1")
        levels = {
            sku: StockLevel(*level) for sku, *level in ledger.rows("SELECT sku, on_hand, reserved, version FROM stock")
        }
    summed = tally(levels.items())
    with ledger.write() as write:
        last = first(write.connection, "SELECT type FROM events WHERE seq = ?", (write.head.seq,))
        kept = first(write.connection, "SELECT hash FROM events WHERE seq = ?", (begun[0],))
        if last == (events.LEDGER_CHECKPOINT,) or kept != (begun[1],):
            return None
        for sku in _moved_after(write, begun[0]):
            summed.move(sku, levels.get(sku, EMPTY), write.level(sku))
        receipt = write.append(events.LEDGER_CHECKPOINT, write.store, summed.total().as_data(), NOBODY)
        write.commit()
    return receipt


def _moved_after(write: Write, seq: int) -> set[str]:
    """Return the SKUs whose levels moved with the events after this one."""
    found = rows(write.connection, "SELECT body FROM events WHERE seq > ?", (seq,))
    return {entry.sku for (body,) in found for entry in events.parse(body).lines}

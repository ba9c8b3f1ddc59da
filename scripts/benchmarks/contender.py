"""One of several processes that reserve the same SKU: `contender ours|bare HOME SKU SECONDS`.

Says a word when it is ready, begins with the next line of its input, and ends with a line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from invctl.errors import NotEnoughStockError
from invctl.ledger import reservations
from invctl.ledger.ledger import QUEUE_TIMEOUT_S, WRITERS, Ledger
from invctl.ledger.writers import WriterQueue
from scripts.benchmarks.bare_ledger import BareLedger

if TYPE_CHECKING:
    from collections.abc import Callable


def main(kind: str, home: Path, sku: str, seconds: float) -> None:
    """Reserve, one unit after the other, until the time is over."""
    once = _ours(home, sku) if kind == "ours" else _bare(home, sku)
    print("ready", flush=True)
    sys.stdin.readline()
    waits_ms, refused = [], 0
    now_s = time.perf_counter()
    until_s = now_s + seconds
    while now_s < until_s:
        refused += not once()
        then_s, now_s = now_s, time.perf_counter()
        waits_ms.append(round((now_s - then_s) * 1000, 3))
    print(json.dumps({"waits_ms": waits_ms, "refused": refused}))


def _ours(home: Path, sku: str) -> Callable[[], bool]:
    ledger = Ledger.open(home)

    def once() -> bool:
        try:
            reservations.reserve(ledger, {sku: 1})
        except NotEnoughStockError:
            return False
        return True

    return once


def _bare(home: Path, sku: str) -> Callable[[], bool]:
    ledger, queue = BareLedger(home), WriterQueue(str(home / WRITERS), QUEUE_TIMEOUT_S)

    def once() -> bool:
        queue.enter()
        try:
            return ledger.reserve_beside_others(sku)
        finally:
            queue.leave()

    return once


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]))

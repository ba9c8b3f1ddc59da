"""What the tests of a ledger share."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from invctl.ledger import adjustments, products, reservations
from invctl.ledger.ledger import Ledger
from invctl.ledger.verify import verify
from invctl.ledger.writing import NOBODY, Move, Origin, Receipt
from invctl.model import events
from invctl.model.stock import LEVEL_MAX, QUANTITY_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import apsw

    from invctl.clock import Clock
    from invctl.model.events import Event

MINUTE_S = 60
# As `invctl reserve` holds unless said otherwise.
HOLD_S = 30 * MINUTE_S


def new_ledger(home: Path, clock: Clock, *, seed: int = 1, **stock: int) -> Ledger:
    """Open a ledger of store `downtown` with these SKUs and quantities."""
    ledger = Ledger.create(home, "downtown", clock=clock, chance=Random(seed))
    carry(ledger, stock)
    return ledger


def carry(ledger: Ledger, stock: Mapping[str, int]) -> None:
    """Add products, and receive so many of each."""
    for sku, quantity in stock.items():
        products.add(ledger, sku, f"Product {sku}")
        if quantity:
            adjustments.adjust(ledger, {sku: quantity}, "received")


def pile_up(ledger: Ledger, sku: str, *, but: int = 0) -> None:
    """Receive as much of a SKU as there can be, `but` so many units."""
    times = LEVEL_MAX // QUANTITY_MAX
    with ledger.write() as write:
        for number in range(1, times + 1):
            change = QUANTITY_MAX - (but if number == times else 0)
            adjustments.append(write, [Move(sku, change, 0, {})], "received", "", NOBODY)
        write.commit()


def hold(ledger: Ledger, *, hold_s: int = HOLD_S, order: str = "", origin: Origin = NOBODY, **lines: int) -> str:
    """Reserve, and return the reservation's id."""
    return key_of(reservations.reserve(ledger, lines, order=order, hold_s=hold_s, origin=origin))


def key_of(receipt: Receipt) -> str:
    """Return the id of the reservation that an event is about."""
    return str(receipt.event.data["reservation"])


def level(ledger: Ledger, sku: str) -> tuple[int, int, int]:
    """Return what the table says of a SKU: on hand, reserved, version."""
    found: tuple[int, int, int] = ledger.row("SELECT on_hand, reserved, version FROM stock WHERE sku = ?", (sku,))
    return found


def written(ledger: Ledger, after: int = 0) -> list[Event]:
    """Return the events after a seq, as read from the stored bytes."""
    return [
        events.parse(body) for (body,) in ledger.rows("SELECT body FROM events WHERE seq > ? ORDER BY seq", (after,))
    ]


def types(ledger: Ledger, after: int = 0) -> list[str]:
    """Return the types of the events after a seq, without what is common to all."""
    return [event.type.removeprefix("inventory.") for event in written(ledger, after)]


def head(ledger: Ledger) -> int:
    """Return the seq of the last event."""
    return int(ledger.row("SELECT max(seq) FROM events")[0] or 0)


def tables(ledger: Ledger) -> dict[str, list[Any]]:
    """Return everything that the ledger holds."""
    names = [name for (name,) in ledger.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    return {name: sorted(ledger.rows(f"SELECT * FROM {name}"), key=repr) for name in names}


def assert_sound(ledger: Ledger) -> None:
    """Replay the ledger: everything in it must follow from its events."""
    assert verify(ledger).findings == []


class CutError(Exception):
    """The process ends here."""


class Scissors:
    """Cuts a connection off before its n-th statement from now, once."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._left = 0
        self.statements: list[str] = []
        connection.exec_trace = self._trace

    def cut_before(self, number: int) -> None:
        self._left = number
        self.statements.clear()

    def cut_everywhere(self, operation: Callable[[], Any], untouched: Callable[[], bool]) -> int:
        """Cut an operation off before its first statement, its second, and so on; then let it be done."""
        cuts = 0
        while True:
            self.cut_before(cuts + 1)
            try:
                operation()
            except CutError:
                self.cut_before(0)
                assert untouched()
                cuts += 1
            else:
                self._left = 0
                assert cuts == len(self.statements)
                return cuts

    def _trace(self, _cursor: apsw.Cursor, sql: str, _bindings: Any) -> bool:
        self.statements.append(sql)
        self._left -= 1
        if self._left == 0:
            raise CutError
        return True

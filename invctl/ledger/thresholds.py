"""At which level an item is to be ordered anew, and what of it is not promised elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.errors import InvalidValueError
from invctl.language import _
from invctl.ledger.database import first
from invctl.ledger.writing import NOBODY, Origin, Receipt, Write
from invctl.model import events
from invctl.model.stock import check_quantity

if TYPE_CHECKING:
    from invctl.ledger.ledger import Ledger


_LOW = """
SELECT sku, name, on_hand, reserved - due, on_hand - reserved + due AS available, reorder_point, safety_stock FROM (
    SELECT sku, name, on_hand, reserved, reorder_point, safety_stock,
        coalesce((SELECT sum(quantity) FROM reservation_lines AS line
                  WHERE line.sku = stock.sku AND line.due_us <= ?), 0) AS due
    FROM thresholds JOIN products USING (sku) JOIN stock USING (sku) WHERE reorder_point > 0)
WHERE available <= reorder_point ORDER BY sku
"""


class LowRow(NamedTuple):
    """An item of which no more is available than its reorder point."""

    sku: str
    name: str
    on_hand: int
    reserved: int
    available: int
    reorder_point: int
    safety_stock: int


def set_thresholds(
    ledger: Ledger,
    sku: str,
    *,
    reorder_point: int | None = None,
    safety_stock: int | None = None,
    origin: Origin = NOBODY,
) -> Receipt:
    """Set the level at which an item is low, its safety stock, or both; None leaves one as it is, 0 takes it away.

    Raises NotFoundError, or InvalidValueError where a value is out of range. Nothing new writes nothing.
    """
    for value in (reorder_point, safety_stock):
        if value is not None:
            check_quantity(value, least=0)
    if reorder_point is None and safety_stock is None:
        raise InvalidValueError(_("nothing to set"), hint=_("a reorder point, a safety stock, or both"))

    def body(write: Write, origin: Origin) -> Receipt:
        level = write.level(sku)
        before = first(write.connection, "SELECT reorder_point, safety_stock FROM thresholds WHERE sku = ?", (sku,))
        was = tuple(before) if before else (0, 0)
        now = (was[0] if reorder_point is None else reorder_point, was[1] if safety_stock is None else safety_stock)
        if now == was:
            return Receipt(0, b"")
        write.connection.execute("INSERT OR REPLACE INTO thresholds VALUES (?, ?, ?)", (sku, *now))
        data: dict[str, Any] = {"sku": sku, "reorder_point": now[0], "safety_stock": now[1]}
        if origin.clerk:
            data["clerk"] = origin.clerk
        receipt = write.append(events.THRESHOLDS_SET, sku, data, origin)
        if level.available <= now[0] != 0:
            write.append_low(sku, now[0])
        return receipt

    arguments = {"sku": sku, "reorder_point": reorder_point, "safety_stock": safety_stock}
    return ledger.decide("product.thresholds", arguments, origin, (), body)


def low(ledger: Ledger) -> list[LowRow]:
    """Return what is low, by SKU: what is due no longer counts as reserved."""
    found = ledger.rows(_LOW, (ledger.now_us(),))
    return [LowRow(*row) for row in found]

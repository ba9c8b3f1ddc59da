"""What may be meant: SKUs and open reservations by how their names begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invctl.ledger.ledger import Ledger


def skus(ledger: Ledger, beginning: str = "", limit: int = -1) -> list[str]:
    """Return the SKUs that the store carries, or those with this beginning; at most `limit` of them, below zero all."""
    # "~" comes behind all that a SKU is made of.
    found = ledger.rows(
        "SELECT sku FROM products WHERE sku BETWEEN ?1 AND ?1 || '~' ORDER BY sku LIMIT ?2", (beginning, limit)
    )
    return [sku for (sku,) in found]


def open_ids(ledger: Ledger, beginning: str = "", limit: int = -1) -> list[str]:
    """Return the ids of the open reservations with this beginning, the next to expire first; limited as `skus` is."""
    found = ledger.rows(
        "SELECT reservation FROM reservations WHERE status = 'pending' AND expires_us > ?1"
        " AND reservation BETWEEN ?2 AND ?2 || '~' ORDER BY expires_us LIMIT ?3",
        (ledger.now_us(), beginning, limit),
    )
    return [key for (key,) in found]

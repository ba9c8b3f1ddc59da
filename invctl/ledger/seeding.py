"""Seed and reset: they are in the ledger like everything else, and twice equals once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from invctl.errors import WrongStateError
from invctl.ledger import adjustments, products
from invctl.ledger.database import first, rows
from invctl.ledger.writing import NOBODY, Move, Origin, Write, reservation_data
from invctl.model import events
from invctl.model.stock import check_quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invctl.ledger.ledger import Ledger


class SeedProduct(NamedTuple):
    """A product to carry and what to have of it. `price` is in minor units."""

    sku: str
    name: str
    price: int | None
    quantity: int


class Changed(NamedTuple):
    """What a seed or reset did. All 0 where there was nothing to do."""

    products: int
    levels: int
    reservations: int


def seed(ledger: Ledger, wanted: Sequence[SeedProduct], origin: Origin = NOBODY) -> Changed:
    """Carry these products, and have these quantities of them on hand.

    Raises WrongStateError where the store has traded since it was opened or last reset, and leaves it as it is.
    """
    for product in wanted:
        check_quantity(product.quantity, least=0)
    with ledger.write() as write:
        if traded(write):
            hint = "a store that has traded is not seeded; `scripts/reset` empties it first"
            raise WrongStateError(f"store {write.store} has traded", hint=hint, store=write.store)
        carried = {sku for (sku,) in rows(write.connection, "SELECT sku FROM products")}
        new = [product for product in wanted if product.sku not in carried]
        for product in new:
            data = {"sku": product.sku, "name": product.name, "price": product.price}
            products.insert(write, data, origin)
        levels = _set_levels(write, {product.sku: product.quantity for product in wanted}, "seed", origin)
        write.commit()
    return Changed(len(new), levels, 0)


def reset(ledger: Ledger, origin: Origin = NOBODY, *, dry_run: bool = False) -> Changed:
    """Cancel every open reservation and have nothing on hand. Products stay, and so does every event."""
    with ledger.write() as write:
        pending = rows(
            write.connection,
            "SELECT reservation, order_reference, created_us, expires_us FROM reservations"
            " WHERE status = 'pending' ORDER BY created_us, reservation",
        )
        for reservation, order, created_us, expires_us in pending:
            lines = [entry._replace(released=entry.quantity) for entry in write.reservation_lines(reservation)]
            data = reservation_data(reservation, order, origin.clerk, created_us, expires_us)
            write.end(events.RESERVATION_CANCELLED, reservation, lines, {**data, "reason": "reset"}, origin)
        stocked = [sku for (sku,) in rows(write.connection, "SELECT sku FROM stock WHERE on_hand > 0 ORDER BY sku")]
        levels = _set_levels(write, dict.fromkeys(stocked, 0), "reset", origin)
        if not dry_run:
            write.commit()
    return Changed(0, levels, len(pending))


def traded(write: Write) -> bool:
    """Say whether anything happened since the last reset, or ever, but opening, adding products and seeding."""
    (since,) = first(
        write.connection,
        "SELECT coalesce(max(seq), 0) FROM events WHERE type = ?"
        " AND json_extract(CAST(body AS TEXT), '$.data.reason') = 'reset'",
        (events.STOCK_ADJUSTED,),
    )
    found = first(
        write.connection,
        "SELECT 1 FROM events WHERE seq > ? AND (type LIKE 'inventory.reservation.%' OR type = ?"
        " AND json_extract(CAST(body AS TEXT), '$.data.reason') <> 'seed') LIMIT 1",
        (since, events.STOCK_ADJUSTED),
    )
    return found is not None


def _set_levels(write: Write, quantities: dict[str, int], reason: str, origin: Origin) -> int:
    changes = {sku: quantity - write.level(sku).on_hand for sku, quantity in quantities.items()}
    changes = {sku: change for sku, change in changes.items() if change}
    for run in events.split_by_size(list(changes)):
        adjustments.append(write, [Move(sku, changes[sku], 0, {}) for sku in run], reason, "", origin)
    return len(changes)

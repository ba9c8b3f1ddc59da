"""Seed and reset: they are in the ledger like everything else, and twice equals once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from invctl.errors import InvalidValueError, WrongStateError
from invctl.ledger import adjustments, products
from invctl.ledger.checks import check_origin
from invctl.ledger.database import first, rows
from invctl.ledger.writing import NOBODY, Move, Origin, Write, reservation_data
from invctl.model import events
from invctl.model.identifiers import parse_sku
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

    Raises WrongStateError where the store has traded since it was opened or last reset, and leaves it as it is;
    InvalidValueError where a value is out of range or a SKU comes twice; DiskLowError where the disk is low.
    """
    check_origin(origin)
    _check_wanted(wanted)
    with ledger.write() as write:
        ledger.check_room()
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
    """Cancel every open reservation and have nothing on hand. Products stay, and so does every event.

    What is due expires first. `dry_run` says what would be done, and leaves everything as it is.
    """
    check_origin(origin)
    with ledger.write() as write:
        pending = rows(
            write.connection,
            "SELECT reservation, order_reference, created_us, expires_us FROM reservations"
            " WHERE status = 'pending' ORDER BY created_us, reservation",
        )
        for reservation, _, _, expires_us in pending:
            if expires_us <= write.now_us:
                write.expire(reservation)
        live = [row for row in pending if row[3] > write.now_us]
        for reservation, order, created_us, expires_us in live:
            lines = [entry._replace(released=entry.quantity) for entry in write.reservation_lines(reservation)]
            data = reservation_data(reservation, order, origin.clerk, created_us, expires_us)
            write.end(events.RESERVATION_CANCELLED, reservation, lines, {**data, "reason": "reset"}, origin)
        stocked = [sku for (sku,) in rows(write.connection, "SELECT sku FROM stock WHERE on_hand > 0 ORDER BY sku")]
        levels = _set_levels(write, dict.fromkeys(stocked, 0), "reset", origin)
        if not levels and traded(write):
            # Everything was sold: the event alone says that the store begins anew.
            adjustments.append(write, [], "reset", "", origin)
        if not dry_run:
            write.commit()
    return Changed(0, levels, len(live))


def traded(write: Write) -> bool:
    """Say whether anything happened since the last reset, or ever, but opening, adding products and seeding."""
    # From the end: what comes first there, a reset or anything that is neither a seed nor about a product, decides.
    found = first(
        write.connection,
        "SELECT type = ?1 AND json_extract(CAST(body AS TEXT), '$.data.reason') = 'reset' FROM events"
        " WHERE type LIKE 'inventory.reservation.%'"
        " OR type = ?1 AND json_extract(CAST(body AS TEXT), '$.data.reason') <> 'seed' ORDER BY seq DESC LIMIT 1",
        (events.STOCK_ADJUSTED,),
    )
    return found is not None and not found[0]


def _check_wanted(wanted: Sequence[SeedProduct]) -> None:
    for product in wanted:
        if parse_sku(product.sku) != product.sku:
            raise InvalidValueError(f"{product.sku!r} is not a SKU in its stored form", hint=parse_sku(product.sku))
        products.check_product(product.name, product.price)
        check_quantity(product.quantity, least=0)
    if len({product.sku for product in wanted}) < len(wanted):
        raise InvalidValueError("a SKU is to be seeded twice", hint="name each SKU once")


def _set_levels(write: Write, quantities: dict[str, int], reason: str, origin: Origin) -> int:
    levels = write.levels(quantities)
    changes = {sku: quantity - levels[sku].on_hand for sku, quantity in quantities.items()}
    changes = {sku: change for sku, change in changes.items() if change}
    for run in events.split_by_size(list(changes)):
        adjustments.append(write, [Move(sku, changes[sku], 0, {}) for sku in run], reason, "", origin)
    return len(changes)

"""A whole file at once: many products, or many changes of stock, in one transaction, all or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.errors import InvalidValueError, InventoryError, NotEnoughStockError, NotFoundError
from invctl.language import _
from invctl.ledger import adjustments, products, reads
from invctl.ledger.checks import check_origin
from invctl.ledger.database import rows
from invctl.ledger.writing import NOBODY, Origin, Receipt, Write
from invctl.model import events
from invctl.model.stock import LEVEL_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invctl.ledger.ledger import Ledger

KEEP = object()
"""The price of a product whose file has no prices: it stays as it is."""


class Line(NamedTuple):
    """A change of stock, and in which line of a file it stands. `change` is in units, below zero for what leaves."""

    number: int
    sku: str
    change: int
    reason: str


class Product(NamedTuple):
    """A product as a file has it. `price` is in minor units, None for none, or `KEEP`."""

    sku: str
    name: str
    price: Any


class Carried(NamedTuple):
    """What came of the products of a file: SKUs by what was done to them, and the ledger's last event."""

    added: list[str]
    edited: list[str]
    unchanged: list[str]
    seq: int


def carry(ledger: Ledger, wanted: Sequence[Product], origin: Origin = NOBODY, *, dry_run: bool = False) -> Carried:
    """Carry these products under these names and prices; others stay. Twice equals once.

    `dry_run` says what would be done, and leaves everything as it is. A SKU comes once. Raises InvalidValueError where
    a value is out of range, DiskLowError where there is something to add and the disk is low.
    """
    check_origin(origin)
    for product in wanted:
        products.check_product(product.name, None if product.price is KEEP else product.price)
    added: list[str] = []
    edited: list[str] = []
    unchanged: list[str] = []
    with ledger.write() as write:
        known = {sku: (name, price) for sku, name, price in rows(write.connection, "SELECT * FROM products")}
        if any(product.sku not in known for product in wanted):
            ledger.check_room()
        for sku, name, price in wanted:
            before = known.get(sku)
            keeps = None if before is None else before[1]
            data = {"sku": sku, "name": name, "price": keeps if price is KEEP else price}
            if before is None:
                products.insert(write, data, origin)
                added.append(sku)
            elif before != (name, data["price"]):
                products.update(write, data, origin)
                edited.append(sku)
            else:
                unchanged.append(sku)
        seq = write.head.seq
        if not dry_run:
            write.commit()
    return Carried(added, edited, unchanged, seq)


def faults(ledger: Ledger, lines: Sequence[Line]) -> list[tuple[int, InventoryError]]:
    """Return what keeps these changes from being made, each by its line; nothing is written."""
    found: list[tuple[int, InventoryError]] = []
    levels = {row.sku: (row.on_hand, row.available) for row in reads.stock(ledger)[0]}
    for number, sku, change, reason in _what_comes_first(lines):
        try:
            adjustments.check_change(sku, change, reason)
            if sku not in levels:
                raise NotFoundError(
                    _("no product {sku}", sku=sku), hint=_("`invctl product import` adds many"), sku=sku
                )
            on_hand, available = levels[sku]
            if available + change < 0:
                raise NotEnoughStockError(
                    _(
                        "not enough {sku}: {wanted} wanted, {available:,} available",
                        sku=sku,
                        wanted=-change,
                        available=available,
                    )
                )
            if on_hand + change > LEVEL_MAX:
                raise InvalidValueError(
                    _(
                        "{sku} would come to {level:,}; {most:,} is the most",
                        sku=sku,
                        level=on_hand + change,
                        most=LEVEL_MAX,
                    )
                )
        except InventoryError as error:
            found.append((number, error))
        else:
            levels[sku] = (on_hand + change, available + change)
    return sorted(found, key=lambda fault: fault[0])


def adjust(
    ledger: Ledger, lines: Sequence[Line], *, note: str = "", origin: Origin = NOBODY, dry_run: bool = False
) -> Receipt:
    """Make all of these changes or none, under one request. Returns the first of the events.

    What comes in does so before anything leaves; changes of one reason share events as far as they fit. `dry_run`
    tries all of it, and leaves everything as it is. Raises as `adjustments.adjust` does.
    """
    groups: dict[tuple[bool, str], dict[str, int]] = {}
    for _number, sku, change, reason in _what_comes_first(lines):
        # A count that finds what is here, and so 0, goes with what comes in.
        group = groups.setdefault((change < 0, reason), {})
        group[sku] = group.get(sku, 0) + change
    for (_out, reason), changes in groups.items():
        for sku, change in changes.items():
            adjustments.check_change(sku, change, reason)
    adjustments.check_note(note)
    if not lines:
        raise InvalidValueError(_("nothing to adjust"), hint=_("name a SKU, and how it changes"))

    def body(write: Write, origin: Origin) -> Receipt:
        receipts: list[Receipt] = []
        for (_out, reason), changes in groups.items():
            for run in events.split_by_size(list(changes)):
                # A request is one event's, by which a ledger that is rebuilt knows it again.
                asked = origin._replace(request_id="", request_hash="") if receipts else origin
                moves = adjustments.moves_of(write, {sku: changes[sku] for sku in run})
                receipts.append(adjustments.append(write, moves, reason, note, asked))
        return receipts[0]

    arguments = {"lines": sorted(line[1:] for line in lines), "note": note}
    skus = dict.fromkeys(line.sku for line in lines)
    grows = any(line.reason in adjustments.ONLY_UP for line in lines)
    return ledger.decide("stock.import", arguments, origin, skus, body, grows=grows, dry_run=dry_run)


def _what_comes_first(lines: Sequence[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: line.change < 0)

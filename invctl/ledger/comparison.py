"""What a ledger's tables say, held against what its events come to; and what can be said of its file."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from invctl.clock import format_time
from invctl.ledger.migrations import schema_differences
from invctl.model.reservation import Reservation, ReservationLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from invctl.ledger.ledger import Ledger
    from invctl.model.projection import Projection

_OF_A_RESERVATION = (
    *("its id", "its status", "its order", "its clerk", "its beginning", "its due time", "its end", "its last event"),
    "what it holds",
)


def file_findings(ledger: Ledger) -> Iterator[str]:
    """Look at the file's pages, indexes and constraints, and whether its schema is still what was laid down."""
    for (said,) in ledger.connection.execute("PRAGMA integrity_check(10)"):
        if said != "ok":
            yield f"the file is damaged: {said}"
    for name in schema_differences(ledger.connection):
        yield f"the file was changed from outside: {name} is missing, or not as it was laid down"


def table_findings(ledger: Ledger, projection: Projection) -> Iterator[str]:
    """Compare levels, products and reservations with what the events come to."""
    levels = {row[0]: row[1:] for row in ledger.rows("SELECT sku, on_hand, reserved, version FROM stock")}
    yield from differences("stock of", levels, projection.levels, ("on hand", "reserved", "version"))
    products = {row[0]: row[1:] for row in ledger.rows("SELECT sku, name, price FROM products")}
    wanted = {sku: (product.name, product.price) for sku, product in projection.products.items()}
    yield from differences("product", products, wanted, ("its name", "its price"))
    yield from differences("reservation", _reservations(ledger), projection.reservations, _OF_A_RESERVATION)
    barcodes = {code: (sku,) for code, sku in ledger.rows("SELECT barcode, sku FROM barcodes")}
    wanted_codes = {code: (sku,) for code, sku in projection.barcodes.items()}
    yield from differences("barcode", barcodes, wanted_codes, ("its item",))
    thresholds = {row[0]: row[1:] for row in ledger.rows("SELECT sku, reorder_point, safety_stock FROM thresholds")}
    yield from differences("thresholds of", thresholds, projection.thresholds, ("reorder point", "safety stock"))
    recounts = {sku: (seq,) for sku, seq in ledger.rows("SELECT sku, seq FROM recounts")}
    wanted_counts = {sku: (seq,) for sku, seq in projection.recounts.items()}
    yield from differences("count of", recounts, wanted_counts, ("wanted since event",))
    # What is due for a SKU is looked up by its lines.
    for key, sku in ledger.rows(
        "SELECT reservation, sku FROM reservations JOIN reservation_lines USING (reservation)"
        " WHERE due_us IS NOT iif(status = 'pending', expires_us, NULL)"
    ):
        yield f"reservation {key}: in the table its line of {sku} is not due when the whole is"


def differences(what: str, found: Mapping[Any, Any], wanted: Mapping[Any, Any], names: Sequence[str]) -> Iterator[str]:
    """Say where the tables and the events differ; `names` are those of the values' fields, in their order."""
    for key in sorted(found.keys() | wanted.keys(), key=repr):
        table, history = found.get(key), wanted.get(key)
        if table == history:
            continue
        if table is None:
            yield f"{what} {key}: the table lacks it, its events have it"
        elif history is None:
            yield f"{what} {key}: the table has it, no event does"
        else:
            yield f"{what} {key}: {difference(table, history, names)}"


def difference(table: Iterable[Any], history: Iterable[Any], names: Sequence[str]) -> str:
    """Say which fields differ, and how: `on hand is 11 in the table, 10 by its events`."""
    return "; ".join(
        f"{name} is {_said(one)} in the table, {_said(other)} by its events"
        for name, one, other in zip(names, table, history, strict=True)
        if one != other
    )


def _said(value: Any) -> str:
    """Write a value as a person reads it; text in quotes, as it may be anything."""
    if isinstance(value, ReservationLine):
        return f"{value.quantity} {value.sku} ({value.confirmed} confirmed, {value.released} released)"
    if isinstance(value, tuple):
        return ", ".join(map(_said, value)) or "none"
    return "none" if value in (None, "") else repr(value)


def _reservations(ledger: Ledger) -> dict[str, Reservation]:
    lines: defaultdict[str, list[ReservationLine]] = defaultdict(list)
    for key, *entry in ledger.rows(
        "SELECT reservation, sku, quantity, confirmed, released FROM reservation_lines ORDER BY reservation, sku"
    ):
        lines[key].append(ReservationLine(*entry))
    return {
        key: Reservation(
            key,
            status,
            order,
            clerk,
            _written(created_us),
            _written(expires_us),
            "" if ended_us is None else _written(ended_us),
            seq,
            tuple(lines[key]),
        )
        for key, status, order, clerk, created_us, expires_us, ended_us, seq in ledger.rows(
            "SELECT reservation, status, order_reference, clerk, created_us, expires_us, ended_us, last_seq"
            " FROM reservations"
        )
    }


def _written(instant_us: int) -> str:
    try:
        return format_time(instant_us)
    except (OverflowError, TypeError):
        return f"{instant_us} us"

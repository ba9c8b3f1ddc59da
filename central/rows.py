"""A store's rows, in and out of the database: whole batches of stores in a few bulk statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, delete, func, select, tuple_

from central import tables
from central.bulk import chunks, insert_into, upsert
from central.state import Known, StoreState
from invctl.clock import parse_time
from invctl.model.stock import StockLevel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Row, Select, Table

    from central.facts import Facts
    from invctl.model.reservation import Reservation


_level, _held = tables.levels.c, tables.reservations.c
_LEVELS: Select[Any] = select(
    _level.store, _level.sku, _level.on_hand, _level.reserved, _level.version
).with_for_update()
_SUSPECTS: Select[Any] = select(tables.suspects.c.store, tables.suspects.c.sku)
_KNOWN: Select[Any] = select(_held.store, _held.reservation, _held.status, _held.clerk)


class Keys(NamedTuple):
    """What a run of events may touch, of one store."""

    skus: set[str]
    reservations: set[str]


def keys_of(run: Iterable[Facts]) -> Keys:
    """Return the keys of every row that these events may read or write."""
    skus: set[str] = set()
    reservations: set[str] = set()
    for facts in run:
        skus.update(entry.sku for entry in facts.event.lines)
        skus |= facts.doubted
        if facts.product:
            skus.add(facts.product.sku)
        if facts.reservation:
            reservations.add(facts.reservation.reservation)
            skus.update(entry.sku for entry in facts.reservation.lines)
    return Keys(skus, reservations)


def load(connection: Connection, states: Mapping[str, StoreState], keys: Mapping[str, Keys]) -> None:
    """Fill in what the database has under these keys. The rows stay locked until the transaction ends."""
    skus = [(store, sku) for store, of_store in keys.items() for sku in of_store.skus]
    for row in _rows_of(connection, _LEVELS, tables.levels, skus):
        states[row.store].levels[row.sku] = StockLevel(row.on_hand, row.reserved, row.version)
    for row in _rows_of(connection, _SUSPECTS, tables.suspects, skus):
        states[row.store].suspects.add(row.sku)
    reservations = [(store, key) for store, of_store in keys.items() for key in of_store.reservations]
    for row in _rows_of(connection, _KNOWN, tables.reservations, reservations):
        states[row.store].known[row.reservation] = Known(row.status == "pending", row.clerk)


def save(connection: Connection, states: Mapping[str, StoreState], now: int) -> None:
    """Write what changed."""
    _overwrite(
        connection,
        tables.products,
        [
            {"store": store, "sku": sku, "name": product.name, "price": product.price, "seq": seq}
            for store, state in states.items()
            for sku, (product, seq) in state.products.items()
        ],
    )
    _overwrite(
        connection,
        tables.levels,
        [
            {"store": store, "sku": sku, "seq": seq, **state.levels[sku]._asdict()}
            for store, state in states.items()
            for sku, seq in state.level_seqs.items()
        ],
    )
    _save_reservations(connection, states)
    _save_suspects(connection, states, now)


def reservation_columns(item: Reservation) -> dict[str, Any]:
    """Return what a reservation's row holds beside its key."""
    return {
        "status": item.status,
        "order_id": item.order,
        "clerk": item.clerk,
        "created_us": parse_time(item.created_at),
        "expires_us": parse_time(item.expires_at),
        "ended_us": parse_time(item.ended_at) if item.ended_at else None,
        "seq": item.seq,
    }


def count_suspects(connection: Connection, stores: Iterable[str]) -> dict[str, int]:
    """Return how many SKUs of each of these stores are in doubt."""
    table = tables.suspects.c
    counts: dict[str, int] = {}
    for some in chunks(stores):
        rows = connection.execute(
            select(table.store, func.count().label("skus")).where(table.store.in_(some)).group_by(table.store)
        )
        counts |= {row.store: row.skus for row in rows}
    return counts


def _rows_of(
    connection: Connection, columns: Select[Any], table: Table, keys: Sequence[tuple[str, str]]
) -> Iterable[Row[Any]]:
    primary = tuple_(*table.primary_key)
    for some in chunks(keys):
        yield from connection.execute(columns.where(primary.in_(some)))


def _overwrite(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(upsert(connection, table), rows)


def _save_reservations(connection: Connection, states: Mapping[str, StoreState]) -> None:
    rows = []
    lines = []
    sizes = []
    for store, state in states.items():
        for key, item in state.reservations.items():
            identity = {"store": store, "reservation": key}
            rows.append({**identity, **reservation_columns(item)})
            lines += [{**identity, "line": line, **entry._asdict()} for line, entry in enumerate(item.lines)]
            sizes.append({"of_store": store, "of_reservation": key, "size": len(item.lines)})
    if not rows:
        return
    _overwrite(connection, tables.reservations, rows)
    _overwrite(connection, tables.reservation_lines, lines)
    # An event states the whole reservation, so one with fewer lines than before leaves none over.
    table = tables.reservation_lines.c
    surplus = delete(tables.reservation_lines).where(
        table.store == bindparam("of_store"),
        table.reservation == bindparam("of_reservation"),
        table.line >= bindparam("size"),
    )
    connection.execute(surplus, sizes)


def _save_suspects(connection: Connection, states: Mapping[str, StoreState], now: int) -> None:
    table = tables.suspects.c
    cleared = [{"of_store": store, "of_sku": sku} for store, state in states.items() for sku in state.cleared]
    if cleared:
        settled = delete(tables.suspects).where(table.store == bindparam("of_store"), table.sku == bindparam("of_sku"))
        connection.execute(settled, cleared)
    marked = [
        {"store": store, "since_us": now, **item._asdict()}
        for store, state in states.items()
        for item in state.marked.values()
    ]
    if marked:
        connection.execute(insert_into(connection, tables.suspects), marked)

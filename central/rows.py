"""A store's rows, in and out of the database: whole batches of stores in a few bulk statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, delete, insert

from central import tables
from central.state import Known, StoreState
from central.statements import ByKeys, ForRows, upsert_into
from invctl.clock import parse_time
from invctl.model import events
from invctl.model.projection import Product
from invctl.model.reservation import Reservation
from invctl.model.stock import StockLevel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection, Table

    from central.facts import Facts


_level, _held, _suspect, _entry = (
    table.c for table in (tables.levels, tables.reservations, tables.suspects, tables.reservation_lines)
)
_LEVELS = ByKeys(
    tables.levels,
    keys=(_level.store, _level.sku),
    columns=(_level.store, _level.sku, _level.on_hand, _level.reserved, _level.version),
    lock=True,
)
_SUSPECTS = ByKeys(tables.suspects, keys=(_suspect.store, _suspect.sku), columns=(_suspect.store, _suspect.sku))
_KNOWN = ByKeys(
    tables.reservations,
    keys=(_held.store, _held.reservation),
    columns=(_held.store, _held.reservation, _held.status, _held.clerk),
)


def _setting(table: Table) -> ForRows:
    """Return what writes whole rows of a table, with the columns in their order, over what is there."""
    return ForRows(table.c.keys(), lambda dialect: upsert_into(dialect, table))


_SET_PRODUCTS = _setting(tables.products)
SET_LEVELS = _setting(tables.levels)
_SET_RESERVATIONS = _setting(tables.reservations)
_SET_LINES = _setting(tables.reservation_lines)
# An event states the whole reservation, so one with fewer lines than before leaves none over.
_DROP_SURPLUS = ForRows(
    ("store", "reservation", "size"),
    lambda _: delete(tables.reservation_lines).where(
        _entry.store == bindparam("store"),
        _entry.reservation == bindparam("reservation"),
        _entry.line >= bindparam("size"),
    ),
)
CLEAR_SUSPECTS = ForRows(
    ("store", "sku"),
    lambda _: delete(tables.suspects).where(_suspect.store == bindparam("store"), _suspect.sku == bindparam("sku")),
)
_MARK = ForRows(tables.suspects.c.keys(), lambda _: insert(tables.suspects))


class Keys(NamedTuple):
    """What a run of events may touch, of one store."""

    skus: set[str]
    reservations: set[str]


def keys_of(run: Iterable[Facts]) -> Keys:
    """Return the keys of every row that these events may read or write."""
    skus: set[str] = set()
    reservations: set[str] = set()
    for facts in run:
        for entry in facts.lines:
            skus.add(entry.sku)
        skus |= facts.doubted
        stated = facts.stated
        if isinstance(stated, Reservation):
            reservations.add(stated.reservation)
            if facts.applies_as == events.RESERVATION_EXTENDED:
                skus.update(entry.sku for entry in stated.lines)
        elif isinstance(stated, Product):
            skus.add(stated.sku)
    return Keys(skus, reservations)


def load(connection: Connection, states: Mapping[str, StoreState], keys: Mapping[str, Keys]) -> None:
    """Fill in what the database has under these keys. The levels stay locked until the transaction ends."""
    skus = [(store, sku) for store, of_store in keys.items() for sku in of_store.skus]
    for store, sku, on_hand, reserved, version in _LEVELS.rows(connection, skus):
        states[store].levels[sku] = StockLevel(on_hand, reserved, version)
    for store, sku in _SUSPECTS.rows(connection, skus):
        states[store].suspects.add(sku)
    reservations = [(store, key) for store, of_store in keys.items() for key in of_store.reservations]
    for store, key, status, clerk in _KNOWN.rows(connection, reservations):
        states[store].known[key] = Known(status == "pending", clerk)
        states[store].stored.add(key)


def save(connection: Connection, states: Mapping[str, StoreState], now: int) -> None:
    """Write what changed."""
    _SET_PRODUCTS.run(
        connection,
        [
            (store, sku, product.name, product.price, seq)
            for store, state in states.items()
            for sku, (product, seq) in state.products.items()
        ],
    )
    SET_LEVELS.run(
        connection,
        [
            (store, sku, *state.levels[sku], seq)
            for store, state in states.items()
            for sku, seq in state.level_seqs.items()
        ],
    )
    _save_reservations(connection, states)
    _save_suspects(connection, states, now)


class ReservationColumns(NamedTuple):
    """What a reservation's row holds beside its key, in the table's order."""

    status: str
    order_id: str
    clerk: str
    created_us: int
    expires_us: int
    ended_us: int | None
    seq: int


def reservation_columns(item: Reservation) -> ReservationColumns:
    """Return what a reservation's row is to hold."""
    created_us, expires_us = parse_time(item.created_at), parse_time(item.expires_at)
    ended_us = parse_time(item.ended_at) if item.ended_at else None
    return ReservationColumns(item.status, item.order, item.clerk, created_us, expires_us, ended_us, item.seq)


def _save_reservations(connection: Connection, states: Mapping[str, StoreState]) -> None:
    rows = []
    lines = []
    sizes = []
    for store, state in states.items():
        for key, item in state.reservations.items():
            rows.append((store, key, *reservation_columns(item)))
            lines += [(store, key, line, *entry) for line, entry in enumerate(item.lines)]
            if key in state.stored:
                sizes.append((store, key, len(item.lines)))
    _SET_RESERVATIONS.run(connection, rows)
    _SET_LINES.run(connection, lines)
    _DROP_SURPLUS.run(connection, sizes)


def _save_suspects(connection: Connection, states: Mapping[str, StoreState], now: int) -> None:
    cleared = [(store, sku) for store, state in states.items() for sku in state.cleared]
    CLEAR_SUSPECTS.run(connection, cleared)
    marked = [
        (store, item.sku, item.reason, item.seq, now)
        for store, state in states.items()
        for item in state.marked.values()
    ]
    _MARK.run(connection, marked)

"""Read models for the command line. Every number says how fresh it is.

Call them in a transaction of `central.database.reading`: what is read in several statements then fits together.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, literal_column, select

from central import tables
from central.centrals import list_centrals
from central.database import now_us
from central.freshness import Freshness, freshness
from central.shards import list_shards
from central.views import CentralRow, ReservationRow, Status, StockRow, StoreRow
from invctl.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from sqlalchemy import ColumnElement, Connection, Row, Select

    from central.centrals import CentralProcess

ROWS_FETCHED_MAX = 1000
PENDING = "pending"
_IS_OPEN = tables.reservations.c.status == literal_column("'pending'")


def stock(
    connection: Connection, *, sku: str | None = None, store: str | None = None
) -> Generator[StockRow, None, None]:
    """Return stock levels by store and SKU, row by row while the connection's transaction is open.

    Raises NotFoundError where the store is not known, or no store has the SKU.
    """
    fresh = _freshness(connection, store)
    level, product = tables.levels, tables.products
    if sku is not None and not connection.execute(select(exists().where(level.c.sku == sku))).scalar():
        raise NotFoundError(f"no store has {sku}", hint="invcentral stock lists what there is", sku=sku)
    query: Select[*tuple[Any, ...]] = (
        select(
            level.c.store,
            level.c.sku,
            product.c.name,
            product.c.price,
            tables.stores.c.currency,
            level.c.on_hand,
            level.c.reserved,
            level.c.version,
            tables.suspects.c.reason.label("suspect"),
        )
        .join(tables.stores, tables.stores.c.store == level.c.store)
        .outerjoin(product, (product.c.store == level.c.store) & (product.c.sku == level.c.sku))
        .outerjoin(tables.suspects, (tables.suspects.c.store == level.c.store) & (tables.suspects.c.sku == level.c.sku))
        .where(*_given(level.c.store, store), *_given(level.c.sku, sku))
        .order_by(level.c.store, level.c.sku)
    )
    return (_stock(row, fresh[row.store]) for row in _stream(connection, query))


def reservations(
    connection: Connection,
    *,
    store: str | None = None,
    status: str | None = PENDING,
    sku: str | None = None,
    reservation: str | None = None,
    limit: int | None = None,
) -> Generator[ReservationRow, None, None]:
    """Return reservations by store and time of expiry, row by row while the connection's transaction is open.

    `status` None means all. Raises NotFoundError where the store is not known.
    """
    fresh = _freshness(connection, store)
    held, entry = tables.reservations, tables.reservation_lines
    filters = [*_given(held.c.store, store), *_given(held.c.reservation, reservation)]
    # The open ones have an index of their own; a prepared statement of PostgreSQL takes it for a constant alone.
    filters += [_IS_OPEN] if status == PENDING else _given(held.c.status, status)
    if sku is not None:
        filters.append(
            exists().where(entry.c.store == held.c.store, entry.c.reservation == held.c.reservation, entry.c.sku == sku)
        )
    order = (held.c.store, held.c.expires_us, held.c.reservation)
    chosen = select(held).where(*filters).order_by(*order).limit(limit).subquery()
    query: Select[*tuple[Any, ...]] = (
        select(chosen, entry.c.sku, entry.c.quantity, entry.c.confirmed, entry.c.released)
        .outerjoin(entry, (entry.c.store == chosen.c.store) & (entry.c.reservation == chosen.c.reservation))
        .order_by(chosen.c.store, chosen.c.expires_us, chosen.c.reservation, entry.c.line)
    )
    grouped = groupby(_stream(connection, query), key=lambda row: (row.store, row.reservation))
    return (_reservation(list(rows), fresh) for _, rows in grouped)


def list_stores(connection: Connection) -> list[StoreRow]:
    """Return all stores, those that wait for admission included."""
    store, cursor, suspect, held = tables.stores, tables.cursors, tables.suspects, tables.reservations
    in_doubt = select(func.count()).where(suspect.c.store == store.c.store).scalar_subquery()
    open_now = select(func.count()).where(held.c.store == store.c.store, _IS_OPEN).scalar_subquery()
    rows = connection.execute(
        select(
            *(column for column in store.c),
            *(column for column in cursor.c if column.name != "store"),
            in_doubt.label("suspects"),
            open_now.label("open_reservations"),
        )
        .join(cursor, cursor.c.store == store.c.store)
        .order_by(store.c.store)
    )
    now = now_us(connection)
    return [_store(row, now) for row in rows]


def status(connection: Connection) -> Status:
    """Return how central stands."""
    stores = list_stores(connection)
    now = now_us(connection)
    return Status(
        now_us=now,
        centrals=[_central(each, now) for each in list_centrals(connection)],
        shards=list_shards(connection),
        stores=stores,
        events=sum(store.fresh.as_of_seq for store in stores),
    )


def _freshness(connection: Connection, store: str | None) -> dict[str, Freshness]:
    """Return the freshness of all stores, or of one that has to be there."""
    table = tables.cursors
    rows = connection.execute(select(table).where(*_given(table.c.store, store)))
    now = now_us(connection)
    found = {row.store: freshness(row, now) for row in rows}
    if store is not None and not found:
        raise NotFoundError(f"there is no store {store}", hint="invcentral stores list", store=store)
    return found


def _given(column: ColumnElement[Any], value: str | None) -> list[ColumnElement[bool]]:
    return [] if value is None else [column == value]


def _stream(connection: Connection, query: Select[*tuple[Any, ...]]) -> Iterator[Row[*tuple[Any, ...]]]:
    with connection.execute(query.execution_options(yield_per=ROWS_FETCHED_MAX)) as rows:
        yield from rows


def _stock(row: Row[*tuple[Any, ...]], fresh: Freshness) -> StockRow:
    return StockRow(
        store=row.store,
        sku=row.sku,
        name=row.name,
        price=row.price,
        currency=row.currency,
        on_hand=row.on_hand,
        reserved=row.reserved,
        available=row.on_hand - row.reserved,
        version=row.version,
        suspect=row.suspect,
        fresh=fresh,
    )


def _reservation(rows: list[Row[*tuple[Any, ...]]], fresh: dict[str, Freshness]) -> ReservationRow:
    row = rows[0]
    return ReservationRow(
        store=row.store,
        reservation=row.reservation,
        status=row.status,
        order=row.order_id or None,
        clerk=row.clerk or None,
        created_us=row.created_us,
        expires_us=row.expires_us,
        ended_us=row.ended_us,
        seq=row.seq,
        lines=tuple(
            {"sku": each.sku, "quantity": each.quantity, "confirmed": each.confirmed, "released": each.released}
            for each in rows
            if each.sku is not None
        ),
        fresh=fresh[row.store],
    )


def _central(each: CentralProcess, now: int) -> CentralRow:
    living = each.is_living(now)
    return CentralRow(
        holder=each.holder,
        host=each.host,
        pid=each.pid,
        version=each.version,
        since_us=each.since_us,
        seen_us=each.seen_us,
        # After the clock was set back, that moment may be still to come.
        seen_s=max(now - each.seen_us, 0) / 1_000_000,
        living=living,
        shards=each.shards if living else (),
        metrics=each.metrics,
    )


def _store(row: Row[*tuple[Any, ...]], now: int) -> StoreRow:
    return StoreRow(
        store=row.store,
        status=row.status,
        name=row.name,
        currency=row.currency,
        timezone=row.timezone,
        slot=row.slot,
        shard=row.shard,
        first_hash=None if row.first_hash is None else row.first_hash.hex(),
        first_heard_us=row.first_heard_us,
        admitted_us=row.admitted_us,
        epoch=row.epoch,
        applied_us=row.applied_us,
        lag=max(row.head_seq - row.applied_seq, 0),
        suspects=row.suspects,
        open_reservations=row.open_reservations,
        other_ledger_us=row.other_ledger_us,
        fresh=freshness(row, now),
    )

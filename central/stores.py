"""Which stores there are: heard of, admitted, and bound to a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, case, delete, func, select, update

from central import tables
from central.cursors import load_cursors_of, note_heard
from central.database import now_us
from central.shards import shard_count, shard_of
from central.statements import ByKeys, ForRows, Query, insert_if_new, insert_into
from central.tables import ADMITTED, PENDING
from invctl.errors import NotFoundError, RefusedError
from invctl.model.chain import GENESIS
from invctl.model.identifiers import check_store, slot_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from central.statements import Insert
    from invctl.sync.cursor import Cursor, Heard

PENDING_MAX = 1000

_store = tables.stores.c


def _register(dialect: str) -> Insert:
    statement = insert_into(dialect, tables.stores)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["store"],
        set_={
            "status": case((new.status == ADMITTED, ADMITTED), else_=_store.status),
            "admitted_us": func.coalesce(_store.admitted_us, new.admitted_us),
            "first_heard_us": func.coalesce(_store.first_heard_us, new.first_heard_us),
            "first_hash": case(
                (_store.status == PENDING, func.coalesce(new.first_hash, _store.first_hash)), else_=_store.first_hash
            ),
        },
    )


_IDENTITY = ("store", "slot", "shard")
_REGISTER = ForRows((*_IDENTITY, "status", "admitted_us", "first_heard_us", "first_hash"), _register)
# Rows that an apply may hold are left alone where they are there already.
_ONE = Query(
    select(_store.status, _store.first_heard_us, _store.first_hash)
    .where(_store.store == bindparam("of_store"))
    .with_for_update(key_share=True)
)
_INSERT = ForRows((*_IDENTITY, "status"), lambda dialect: insert_if_new(dialect, tables.stores))
_ADMIT = ForRows(
    ("now_us", "of_store"),
    lambda _: (
        update(tables.stores)
        .where(_store.store == bindparam("of_store"))
        .values(status=ADMITTED, admitted_us=bindparam("now_us"))
    ),
)
_BEGIN = ForRows(
    ("store", "epoch", "applied_seq", "applied_hash", "head_seq", "boot"),
    lambda dialect: insert_if_new(dialect, tables.cursors),
)
_KNOWN = ByKeys(tables.stores, keys=(_store.store,), columns=(_store.store,))
_WAITING = Query(select(func.count()).where(_store.status == PENDING))


class Admission(NamedTuple):
    """What an admission found. `first_hash` is the ledger it is bound to; None: the first one that speaks."""

    store: str
    already: bool
    heard: bool
    first_hash: bytes | None


def register_newcomers(connection: Connection, heard: list[Heard], *, admit_any: bool = False) -> list[Cursor]:
    """Note stores that spoke and are not admitted, and return what the database now knows of them.

    Idempotent. Stores beyond PENDING_MAX waiting ones are left out. A store that was admitted meanwhile comes back
    as admitted. `admit_any` admits them all, for a demo. One that waits is shown, and will be bound, with the ledger
    that spoke last.
    """
    kept = heard if admit_any else _with_room(connection, heard)
    if not kept:
        return []
    now, shards = now_us(connection), shard_count(connection)
    rows = [
        (
            *_identity(item.store, shards),
            ADMITTED if admit_any else PENDING,
            now if admit_any else None,
            item.at_us,
            None if item.first_hash == GENESIS else item.first_hash,
        )
        for item in kept
    ]
    _REGISTER.run(connection, rows)
    names = [item.store for item in kept]
    _begin_cursors(connection, names)
    note_heard(connection, kept)
    return load_cursors_of(connection, names)


def admit(connection: Connection, store: str, *, unheard: bool = True) -> Admission:
    """Admit a store. One that was not heard yet is bound to the first ledger that speaks under its id.

    Raises InvalidValueError where this is no store id, and, unless `unheard` ones are welcome, NotFoundError.
    """
    row = _identity(check_store(store), shard_count(connection))
    found = _ONE.first(connection, of_store=store)
    if found is None and not unheard:
        raise NotFoundError(
            f"no store {store} has spoken yet",
            hint="invcentral stores list shows who has; --unheard admits it all the same",
            store=store,
        )
    if found is None:
        _INSERT.run(connection, [(*row, PENDING)])
        _begin_cursors(connection, [store])
        found = _ONE.first(connection, of_store=store)
        assert found is not None
    status, first_heard_us, first_hash = found
    if status == PENDING:
        _ADMIT.run(connection, [(now_us(connection), store)])
    return Admission(store, status == ADMITTED, first_heard_us is not None, first_hash)


def known_stores(connection: Connection, stores: Iterable[str]) -> set[str]:
    """Return which of these stores the database has."""
    return {store for (store,) in _KNOWN.rows(connection, [(store,) for store in stores])}


def remove(connection: Connection, store: str) -> None:
    """Forget a store of which nothing was applied. If it speaks again, it waits to be admitted.

    Raises NotFoundError where it is not known, and RefusedError where its events are here.
    """
    cursors = tables.cursors.c
    applied_seq = connection.execute(
        select(cursors.applied_seq).where(cursors.store == store).with_for_update()
    ).scalar_one_or_none()
    if applied_seq is None:
        raise NotFoundError(f"there is no store {store}", hint="invcentral stores list", store=store)
    if applied_seq:
        raise RefusedError(
            f"{applied_seq} events of {store} are applied: they are kept",
            hint="a store that closes just falls silent",
            store=store,
        )
    for table in (tables.asking, tables.rejoins):
        connection.execute(delete(table).where(table.c.store == store))
    connection.execute(delete(tables.cursors).where(cursors.store == store))
    connection.execute(delete(tables.stores).where(tables.stores.c.store == store))


def _with_room(connection: Connection, heard: list[Heard]) -> list[Heard]:
    """Leave out new stores for which there is no room among those that wait."""
    known = known_stores(connection, [item.store for item in heard])
    ((waiting,),) = _WAITING.rows(connection)
    room = PENDING_MAX - waiting
    newcomers = [item.store for item in heard if item.store not in known]
    left_out = set(newcomers[max(room, 0) :])
    return [item for item in heard if item.store not in left_out]


def _identity(store: str, shards: int) -> tuple[str, int, int]:
    slot = slot_of(store)
    return store, slot, shard_of(slot, shards)


def _begin_cursors(connection: Connection, stores: list[str]) -> None:
    _BEGIN.run(
        connection,
        [(store, 1, 0, GENESIS, 0, "") for store in stores],
    )

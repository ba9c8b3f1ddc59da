"""Cursors: how far central is with each store, in the form in which the protocol's receiver knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, bindparam, case, func, select, update

from central import tables
from central.bulk import ForRows
from invctl.sync.cursor import Cursor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import BindParameter, ColumnElement, Connection

    from invctl.sync.cursor import Heard

_old = tables.cursors.c
_new_seq: BindParameter[int] = bindparam("new_head_seq")
_is_older = (_old.boot == bindparam("new_boot")) & (_old.head_seq > _new_seq)
_HEAR = ForRows(
    lambda _: (
        update(tables.cursors)
        .where(_old.store == bindparam("of_store"))
        .values(
            boot=bindparam("new_boot"),
            heard_us=bindparam("new_heard_us"),
            head_seq=case((_is_older, _old.head_seq), else_=_new_seq),
            head_hash=case((_is_older, _old.head_hash), else_=bindparam("new_head_hash")),
            # What a central that began just now does not know yet is left as it was known.
            lacks_seq=func.coalesce(bindparam("new_lacks_seq", type_=BigInteger), _old.lacks_seq),
        )
    )
)
_REFUSE = ForRows(
    lambda _: (
        update(tables.cursors)
        .where(_old.store == bindparam("of_store"))
        .values(other_ledger_us=bindparam("new_other_ledger_us"))
    )
)


def load_cursors(connection: Connection, shard: int) -> list[Cursor]:
    """Return the cursors of all stores of a shard, admitted or not."""
    return _load(connection, tables.stores.c.shard == shard)


def load_cursor(connection: Connection, store: str) -> Cursor | None:
    """Return the cursor of one store, None where it was never heard of."""
    found = _load(connection, tables.stores.c.store == store)
    return found[0] if found else None


def load_cursors_of(connection: Connection, stores: Sequence[str]) -> list[Cursor]:
    """Return the cursors of those of these stores that are known."""
    return _load(connection, tables.stores.c.store.in_(stores))


def note_heard(connection: Connection, heard: Sequence[Heard]) -> None:
    """Keep what stores last said of themselves.

    Within one boot a ledger's head never falls: a frame that comes late does not take it back.
    """
    _HEAR.run(
        connection,
        [
            {
                "of_store": item.store,
                "new_boot": item.boot,
                "new_heard_us": item.at_us,
                "new_head_seq": item.head_seq,
                "new_head_hash": item.head_hash,
                "new_lacks_seq": item.lacks_seq,
            }
            for item in heard
        ],
    )


def note_other_ledgers(connection: Connection, refused: Mapping[str, int]) -> None:
    """Keep when another ledger was last refused under each of these stores' ids."""
    _REFUSE.run(
        connection,
        [{"of_store": store, "new_other_ledger_us": instant_us} for store, instant_us in refused.items()],
    )


def _load(connection: Connection, which: ColumnElement[bool]) -> list[Cursor]:
    stores, cursors, suspects = tables.stores.c, tables.cursors.c, tables.suspects.c
    in_doubt = select(func.count()).where(suspects.store == stores.store).scalar_subquery()
    rows = connection.execute(
        select(
            stores.store,
            stores.status,
            stores.first_hash,
            cursors.epoch,
            cursors.applied_seq,
            cursors.applied_hash,
            in_doubt.label("suspects"),
            tables.rejoins.c.copies_us,
            tables.rejoins.c.readmitted,
        )
        .join(tables.cursors, cursors.store == stores.store)
        .outerjoin(tables.rejoins, tables.rejoins.c.store == stores.store)
        .where(which)
        .order_by(stores.store)
    )
    return [
        Cursor(
            store=row.store,
            admitted=row.status == tables.ADMITTED,
            first_hash=row.first_hash,
            epoch=row.epoch,
            applied_seq=row.applied_seq,
            applied_hash=row.applied_hash,
            suspects=row.suspects,
            are_copies=row.copies_us is not None,
            readmitted=row.readmitted or "",
        )
        for row in rows
    ]

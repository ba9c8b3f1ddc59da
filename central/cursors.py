"""Cursors: how far central is with each store, in the form in which the protocol's receiver knows them."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, bindparam, case, func, select, update

from central import tables
from central.statements import ByKeys, ForRows, Query
from invctl.sync.cursor import Cursor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import BindParameter, Connection

    from invctl.sync.cursor import Heard

_old = tables.cursors.c
_new_seq: BindParameter[int] = bindparam("new_head_seq")
_is_older = (_old.boot == bindparam("new_boot")) & (_old.head_seq > _new_seq)
_store, _suspect, _rejoin = tables.stores.c, tables.suspects.c, tables.rejoins.c
_READ = (
    _store.store,
    _store.status,
    _store.first_hash,
    _old.epoch,
    _old.applied_seq,
    _old.applied_hash,
    select(func.count()).where(_suspect.store == _store.store).scalar_subquery().label("suspects"),
    _rejoin.copies_us,
    _rejoin.readmitted,
)
_SOURCE = tables.stores.join(tables.cursors, _old.store == _store.store).outerjoin(
    tables.rejoins, _rejoin.store == _store.store
)
_OF_SHARD = Query(select(*_READ).select_from(_SOURCE).where(_store.shard == bindparam("of_shard")))
_OF_STORES = ByKeys(_SOURCE, keys=(_store.store,), columns=_READ)
_HEAR = ForRows(
    ("of_store", "new_boot", "new_heard_us", "new_head_seq", "new_head_hash", "new_lacks_seq"),
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
    ),
)
_REFUSE = ForRows(
    ("of_store", "new_other_ledger_us"),
    lambda _: (
        update(tables.cursors)
        .where(_old.store == bindparam("of_store"))
        .values(other_ledger_us=bindparam("new_other_ledger_us"))
    ),
)


def load_cursors(connection: Connection, shard: int) -> list[Cursor]:
    """Return the cursors of all stores of a shard, admitted or not."""
    return _cursors(_OF_SHARD.rows(connection, of_shard=shard))


def load_cursor(connection: Connection, store: str) -> Cursor | None:
    """Return the cursor of one store, None where it was never heard of."""
    found = load_cursors_of(connection, [store])
    return found[0] if found else None


def load_cursors_of(connection: Connection, stores: Sequence[str]) -> list[Cursor]:
    """Return the cursors of those of these stores that are known."""
    return _cursors(_OF_STORES.rows(connection, [(store,) for store in stores]))


def note_heard(connection: Connection, heard: Sequence[Heard]) -> None:
    """Keep what stores last said of themselves.

    Within one boot a ledger's head never falls: a frame that comes late does not take it back.
    """
    _HEAR.run(
        connection,
        [(item.store, item.boot, item.at_us, item.head_seq, item.head_hash, item.lacks_seq) for item in heard],
    )


def note_other_ledgers(connection: Connection, refused: Mapping[str, int]) -> None:
    """Keep when another ledger was last refused under each of these stores' ids."""
    _REFUSE.run(
        connection,
        list(refused.items()),
    )


def _cursors(rows: Iterable[tuple[Any, ...]]) -> list[Cursor]:
    return [
        Cursor(
            store=store,
            admitted=status == tables.ADMITTED,
            first_hash=first_hash,
            epoch=epoch,
            applied_seq=applied_seq,
            applied_hash=applied_hash,
            suspects=suspects,
            are_copies=copies_us is not None,
            readmitted=readmitted or "",
        )
        for (
            store,
            status,
            first_hash,
            epoch,
            applied_seq,
            applied_hash,
            suspects,
            copies_us,
            readmitted,
        ) in sorted(rows, key=itemgetter(0))
    ]

"""Move the cursors: each is compared with what its intake follows, and set, under its shard's fence."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, func, null, select, update

from central import tables
from central.database import now_us
from central.facts import Ledger
from central.state import StoreState
from central.statements import ByKeys, ForRows
from invctl.errors import WrongStateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import BindParameter, Connection

    from invctl.sync.cursor import Intake

_store, _cursor, _suspect = tables.stores.c, tables.cursors.c, tables.suspects.c
_CURSORS = ByKeys(
    tables.cursors.join(tables.stores, _store.store == _cursor.store),
    keys=(_cursor.store,),
    columns=(
        _cursor.store,
        _store.status,
        _store.shard,
        _store.first_hash,
        _cursor.epoch,
        _cursor.applied_seq,
        _cursor.applied_hash,
        select(func.count()).where(_suspect.store == _cursor.store).scalar_subquery().label("suspects"),
    ),
    lock=True,
)
_BIND = ForRows(
    ("of_store", "bound_to", "now_us"),
    lambda _: (
        update(tables.stores)
        .where(_store.store == bindparam("of_store"), _store.first_hash.is_(None))
        .values(
            first_hash=bindparam("bound_to"), first_heard_us=func.coalesce(_store.first_heard_us, bindparam("now_us"))
        )
    ),
)
_NAME = ForRows(
    ("of_store", *(f"its_{name}" for name in Ledger._fields)),
    lambda _: (
        update(tables.stores)
        .where(_store.store == bindparam("of_store"))
        .values({name: bindparam(f"its_{name}") for name in Ledger._fields})
    ),
)
_MOVED = ("epoch", "applied_seq", "applied_hash", "applied_us")
_MOVE = ForRows(
    (*(f"now_{name}" for name in _MOVED), "of_store"),
    lambda _: (
        update(tables.cursors)
        .where(_cursor.store == bindparam("of_store"))
        .values({name: bindparam(f"now_{name}") for name in _MOVED})
    ),
)
_proved: BindParameter[int] = bindparam("proved_us")
_PROVE = ForRows(
    ("of_store", "proved_us", "now_us"),
    lambda _: (
        update(tables.cursors)
        .where(
            _cursor.store == bindparam("of_store"),
            _cursor.fresh_us.is_(None) | (_cursor.fresh_us < _proved) | (_cursor.fresh_us > bindparam("now_us")),
        )
        .values(fresh_us=_proved)
    ),
)

_VOID = ForRows(
    ("of_shard", "now_us"),
    lambda _: (
        update(tables.cursors)
        .where(
            _cursor.store.in_(select(_store.store).where(_store.shard == bindparam("of_shard"))),
            _cursor.fresh_us > bindparam("now_us"),
        )
        .values(fresh_us=null())
    ),
)


class _Row(NamedTuple):
    status: str
    shard: int
    first_hash: bytes | None
    epoch: int
    applied_seq: int
    applied_hash: bytes
    suspects: int


class CursorMovedError(WrongStateError):
    """The cursor of a store is not where it was believed to be; `details["store"]` names it."""

    code = "cursor_moved"


def check_cursors(connection: Connection, shard: int, intakes: Sequence[Intake]) -> dict[str, StoreState]:
    """Compare each cursor with what its intake follows, lock it, and return a state for each store.

    Raises CursorMovedError.
    """
    found = {store: _Row(*row) for store, *row in _CURSORS.rows(connection, [(intake.store,) for intake in intakes])}
    states = {}
    for intake in intakes:
        row = found.get(intake.store)
        if (
            row is None
            or row.status != tables.ADMITTED
            or row.shard != shard
            or (row.applied_seq, row.applied_hash) != (intake.prev_seq, intake.prev_hash)
            or (intake.prev_seq == 0 and row.first_hash not in {None, intake.hashes[0]})
        ):
            raise CursorMovedError(
                f"the cursor of {intake.store} is not at {intake.prev_seq}",
                hint="load it again; the store sends what is missing",
                store=intake.store,
            )
        states[intake.store] = StoreState(row.epoch, row.suspects)
    return states


def move_cursors(connection: Connection, intakes: Sequence[Intake], states: Mapping[str, StoreState], now: int) -> None:
    """Set each cursor to the end of its intake."""
    _MOVE.run(
        connection,
        [(states[intake.store].epoch, intake.last_seq, intake.hashes[-1], now, intake.store) for intake in intakes],
    )


def bind_stores(connection: Connection, intakes: Sequence[Intake], states: Mapping[str, StoreState], now: int) -> None:
    """Bind a store to its ledger with its first event, and keep what `ledger.created` says."""
    first = [(intake.store, intake.hashes[0], now) for intake in intakes if intake.prev_seq == 0]
    _BIND.run(connection, first)
    named = [(store, *state.ledger) for store, state in states.items() if state.ledger]
    _NAME.run(connection, named)


def void_future_proofs(connection: Connection, shard: int) -> None:
    """Forget how fresh the numbers of a shard's stores are where that lies in the future: the clock was set back.

    Left alone, such a moment would come round and be taken for a proof.
    """
    _VOID.run(connection, [(shard, now_us(connection))])


def note_fresh(connection: Connection, fresh: Mapping[str, int]) -> None:
    """Keep up to which moment each store's numbers are proved complete.

    It never moves back, unless the clock did: a moment that is still to come proves nothing.
    """
    now = now_us(connection)
    _PROVE.run(
        connection,
        [(store, proved_us, now) for store, proved_us in fresh.items()],
    )

"""Move the cursors: each is compared with what its intake follows, and set, under its shard's fence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, case, func, select, update

from central import tables
from central.facts import Ledger
from invctl.errors import WrongStateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import BindParameter, Connection

    from central.state import StoreState
    from invctl.sync.receiver import Intake


class CursorMovedError(WrongStateError):
    """The cursor of a store is not where it was believed to be; `details["store"]` names it."""

    code = "cursor_moved"


def check_cursors(connection: Connection, shard: int, intakes: Sequence[Intake]) -> dict[str, int]:
    """Compare each cursor with what its intake follows, lock it, and return the epochs.

    Raises CursorMovedError.
    """
    stores, cursors = tables.stores.c, tables.cursors.c
    rows = connection.execute(
        select(
            stores.store,
            stores.status,
            stores.shard,
            stores.first_hash,
            cursors.epoch,
            cursors.applied_seq,
            cursors.applied_hash,
        )
        .join(tables.cursors, cursors.store == stores.store)
        .where(stores.store.in_([intake.store for intake in intakes]))
        .with_for_update()
    )
    found = {row.store: row for row in rows}
    epochs = {}
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
        epochs[intake.store] = row.epoch
    return epochs


def bind_stores(connection: Connection, intakes: Sequence[Intake], states: Mapping[str, StoreState]) -> None:
    """Bind a store to its ledger with its first event, and keep what `ledger.created` says."""
    table = tables.stores.c
    first = [{"of_store": intake.store, "bound_to": intake.hashes[0]} for intake in intakes if intake.prev_seq == 0]
    if first:
        connection.execute(
            update(tables.stores)
            .where(table.store == bindparam("of_store"), table.first_hash.is_(None))
            .values(first_hash=bindparam("bound_to")),
            first,
        )
    named = [
        {"of_store": store, **{f"its_{name}": value for name, value in state.ledger._asdict().items()}}
        for store, state in states.items()
        if state.ledger
    ]
    if named:
        connection.execute(
            update(tables.stores)
            .where(table.store == bindparam("of_store"))
            .values({name: bindparam(f"its_{name}") for name in Ledger._fields}),
            named,
        )


def move_cursors(connection: Connection, intakes: Sequence[Intake], states: Mapping[str, StoreState], now: int) -> None:
    """Set each cursor to the end of its intake."""
    connection.execute(
        update(tables.cursors)
        .where(tables.cursors.c.store == bindparam("of_store"))
        .values(
            epoch=bindparam("now_epoch"),
            applied_seq=bindparam("now_seq"),
            applied_hash=bindparam("now_hash"),
            applied_us=now,
        ),
        [
            {
                "of_store": intake.store,
                "now_epoch": states[intake.store].epoch,
                "now_seq": intake.last_seq,
                "now_hash": intake.hashes[-1],
            }
            for intake in intakes
        ],
    )


def note_fresh(connection: Connection, fresh: Mapping[str, int]) -> None:
    """Keep up to which moment each store's numbers are proved complete. It never moves back."""
    proved: BindParameter[int] = bindparam("proved_us")
    old = tables.cursors.c.fresh_us
    connection.execute(
        update(tables.cursors)
        .where(tables.cursors.c.store == bindparam("of_store"))
        .values(fresh_us=case((func.coalesce(old, 0) < proved, proved), else_=old)),
        [{"of_store": store, "proved_us": instant_us} for store, instant_us in fresh.items()],
    )

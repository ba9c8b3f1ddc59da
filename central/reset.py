"""Empty head office's database. The stores' ledgers are the truth: everything comes back from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import delete, func, select, update

from central import tables
from central.centrals import living
from central.database import writing
from invctl.errors import RefusedError
from invctl.model.chain import GENESIS

if TYPE_CHECKING:
    from sqlalchemy import Engine


class Forgotten(NamedTuple):
    """How much was there before."""

    events: int
    levels: int
    reservations: int


def reset_central(engine: Engine, *, forget_stores: bool = False, dry_run: bool = False) -> Forgotten:
    """Forget every event and what came of it. A central that stands still meanwhile, unseen, loses its fence.

    Which stores are admitted, and to which ledger, stays unless `forget_stores`. Positions go on where they were, so
    that a tail which was cut off does not take new events for old ones.

    Raises RefusedError where a central is at work on this database.
    """
    with writing(engine) as connection:
        at_work = [each.holder for each in living(connection)]
        if at_work:
            raise RefusedError(
                f"invcentral runs on this database: {', '.join(at_work)}; nothing was reset there",
                hint="stop it first; one that was killed counts as running until its lease ends",
            )
        connection.execute(update(tables.shards).values(fence=None))
        counts = (
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (tables.archive, tables.levels, tables.reservations)
        )
        forgotten = Forgotten(*counts)
        for table in (
            tables.asking,
            tables.rejoins,
            tables.suspects,
            tables.reservation_lines,
            tables.reservations,
            tables.levels,
            tables.products,
            tables.archive,
        ):
            connection.execute(delete(table))
        if forget_stores:
            connection.execute(delete(tables.cursors))
            connection.execute(delete(tables.stores))
        else:
            connection.execute(
                update(tables.cursors).values(
                    epoch=1, applied_seq=0, applied_hash=GENESIS, applied_us=None, fresh_us=None, lacks_seq=None
                )
            )
        if not dry_run:
            connection.commit()
    return forgotten

"""Suspects: the SKUs whose level is in doubt, what can be said of each, and an operator's word about them.

The word of an operator is given beside a central that may be at work. So it is written under the lock of the shard's
row, which each apply takes, too; and what takes long, to read the archive, is done before that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from central import tables
from central.archive import Moved, last_moves
from central.database import reading, writing
from central.fence import lock
from central.rows import CLEAR_SUSPECTS, SET_LEVELS
from central.tail import archived_event
from invctl.clock import format_time
from invctl.errors import BusyError, NotFoundError, RefusedError
from invctl.model.stock import EMPTY, StockLevel

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from sqlalchemy import Connection, Engine, Row

    from central.tail import TailEvent

ROWS_FETCHED_MAX = 1000


class SuspectRow(NamedTuple):
    """A SKU in doubt since event `seq`, which came at `since_us` by the database's clock; with its level here."""

    store: str
    sku: str
    name: str | None
    reason: str
    seq: int
    since_us: int
    on_hand: int
    reserved: int
    version: int

    @property
    def level(self) -> StockLevel:
        """The level here."""
        return StockLevel(self.on_hand, self.reserved, self.version)

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value, the instant in RFC 3339."""
        shown = self._asdict()
        return shown | {"since_at": format_time(shown.pop("since_us"))}


class Suspect(NamedTuple):
    """All that can be said of one: `event` is where the doubt began, `archived` what the store's events come to."""

    row: SuspectRow
    event: TailEvent | None
    archived: Moved

    @property
    def drifted(self) -> bool:
        """Whether the level here is another than the archive's."""
        return self.row.level != self.archived.level

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value. `archive.seq` is 0 where no event moves the SKU."""
        return {
            **self.row.as_dict(),
            "archive": {**self.archived.level._asdict(), "seq": self.archived.seq},
            "drifted": self.drifted,
            "event": self.event and self.event.as_dict(),
        }


class Cleared(NamedTuple):
    """What an operator's word did: a doubt of this `reason` is settled (None: there was none).

    `rebuilt` is the level that was here before it was rebuilt, None where it was as the archive has it.
    """

    store: str
    sku: str
    reason: str | None
    level: StockLevel
    rebuilt: StockLevel | None


def suspects(
    connection: Connection, store: str | None = None, sku: str | None = None
) -> Generator[SuspectRow, None, None]:
    """Return what is in doubt, by store and SKU, row by row while the connection's transaction is open.

    Raises NotFoundError where the store is not known.
    """
    if store is not None:
        _shard(connection, store)
    suspect, level, product = tables.suspects, tables.levels, tables.products
    query = (
        select(
            *(suspect.c.store, suspect.c.sku, product.c.name, suspect.c.reason, suspect.c.seq, suspect.c.since_us),
            *(level.c.on_hand, level.c.reserved, level.c.version),
        )
        .outerjoin(level, (level.c.store == suspect.c.store) & (level.c.sku == suspect.c.sku))
        .outerjoin(product, (product.c.store == suspect.c.store) & (product.c.sku == suspect.c.sku))
        .where(*([] if store is None else [suspect.c.store == store]))
        .where(*([] if sku is None else [suspect.c.sku == sku]))
        .order_by(suspect.c.store, suspect.c.sku)
    )
    return _rows(connection, query)


def suspect_of(connection: Connection, store: str, sku: str) -> Suspect:
    """Return all that can be said of one SKU in doubt. Raises NotFoundError where it is not."""
    found = list(suspects(connection, store, sku))
    if not found:
        raise _not_in_doubt(store, sku)
    row = found[0]
    archived = last_moves(connection, store, [sku]).get(sku, Moved(EMPTY, 0))
    return Suspect(row, archived_event(connection, store, row.seq), archived)


def clear(engine: Engine, store: str, skus: Sequence[str], *, rebuild: bool = False) -> list[Cleared]:
    """Settle the doubt about these SKUs: all of them, or none.

    A level that is not as the archive has it is rebuilt, if that is wished, also of a SKU that is not in doubt.

    Raises:
        NotFoundError: the store is not known, or a SKU is not in doubt.
        RefusedError: a level is not as the archive has it, and not to be rebuilt.
        BusyError: a central holds the shard for too long, or the store's events were taken back meanwhile.

    """
    with reading(engine) as connection:
        shard, known_seq = _shard(connection, store)
        archived = last_moves(connection, store, skus)
    with writing(engine) as connection:
        lock(connection, shard)
        _, applied_seq = _shard(connection, store)
        if applied_seq < known_seq:
            raise BusyError("the database was set back meanwhile", hint="try again")
        archived |= last_moves(connection, store, skus, after=known_seq)
        done = [_settled(connection, store, sku, archived, rebuild=rebuild) for sku in dict.fromkeys(skus)]
        SET_LEVELS.run(
            connection,
            [
                (store, each.sku, *each.level, _seq(archived, each.sku, applied_seq))
                for each in done
                if each.rebuilt is not None
            ],
        )
        CLEAR_SUSPECTS.run(connection, [(store, each.sku) for each in done])
        connection.commit()
    return done


def _settled(connection: Connection, store: str, sku: str, archived: Mapping[str, Moved], *, rebuild: bool) -> Cleared:
    """Look at one SKU, and say what is to be done about it."""
    level, suspect = tables.levels.c, tables.suspects.c
    query = select(level.on_hand, level.reserved, level.version).where(level.store == store, level.sku == sku)
    row = connection.execute(query).one_or_none()
    found = StockLevel(*row) if row else EMPTY
    reason = connection.execute(
        select(suspect.reason).where(suspect.store == store, suspect.sku == sku)
    ).scalar_one_or_none()
    wanted = archived[sku].level if sku in archived else EMPTY
    drifted = found != wanted
    if reason is None and not (drifted and rebuild):
        raise _not_in_doubt(store, sku)
    if drifted and not rebuild:
        raise RefusedError(
            f"{sku} of {store} is not as its events say: here {found}, by them {wanted}",
            hint="--rebuild takes what the events say",
            store=store,
            sku=sku,
        )
    return Cleared(store, sku, reason, wanted, found if drifted else None)


def _seq(archived: Mapping[str, Moved], sku: str, otherwise: int) -> int:
    return archived[sku].seq if sku in archived else otherwise


def _shard(connection: Connection, store: str) -> tuple[int, int]:
    """Return the shard of a store, and its last event here. Raises NotFoundError."""
    table, cursor = tables.stores, tables.cursors
    query = select(table.c.shard, cursor.c.applied_seq).join(cursor, cursor.c.store == table.c.store)
    row = connection.execute(query.where(table.c.store == store)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no store {store}", hint="invcentral stores list", store=store)
    return int(row.shard), int(row.applied_seq)


def _rows(connection: Connection, query: Any) -> Generator[SuspectRow, None, None]:
    with connection.execute(query.execution_options(yield_per=ROWS_FETCHED_MAX)) as rows:
        for row in rows:
            yield _row(row)


def _row(row: Row[*tuple[Any, ...]]) -> SuspectRow:
    # It is listed also where its level was lost.
    level = EMPTY if row.on_hand is None else StockLevel(row.on_hand, row.reserved, row.version)
    return SuspectRow(row.store, row.sku, row.name, row.reason, row.seq, row.since_us, *level)


def _not_in_doubt(store: str, sku: str) -> NotFoundError:
    hint = f"`invcentral suspects list --store {store}` shows what is"
    return NotFoundError(f"{sku} of {store} is not in doubt", hint=hint, store=store, sku=sku)

"""Shards: how the slots of the stores are shared out. Their number is fixed when the database is founded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import insert, select

from central import tables
from central.database import lock_setup, now_us
from central.statements import Query
from invctl.errors import InvalidValueError, NotFoundError, WrongStateError
from invctl.model.identifiers import SLOTS

if TYPE_CHECKING:
    from sqlalchemy import Connection

_COUNT = Query(select(tables.meta.c.shards))


class ShardState(NamedTuple):
    """A shard, who last minted a fence for it and when (None: nobody yet), and the last position in its stream."""

    shard: int
    holder: str
    fenced_us: int | None
    position: int


def found(connection: Connection, shards: int = 1) -> None:
    """Fix the number of shards, 1 to 64, and create them. Done already with this number, it does nothing.

    Raises InvalidValueError for a number out of range, or above 1 on SQLite; WrongStateError where the database was
    founded with another number.
    """
    if not 1 <= shards <= SLOTS:
        raise InvalidValueError(f"{shards} is not a number of shards", hint=f"1 to {SLOTS}")
    if shards > 1 and connection.dialect.name == "sqlite":
        raise InvalidValueError("SQLite has one shard: it takes one writer at a time", hint="use PostgreSQL for more")
    lock_setup(connection)
    existing = connection.execute(select(tables.meta.c.shards)).scalar()
    if existing == shards:
        return
    if existing is not None:
        raise WrongStateError(
            f"this database has {existing} shards, and keeps them", hint="leave --shards out", shards=existing
        )
    connection.execute(insert(tables.meta).values(id=1, shards=shards, founded_us=now_us(connection)))
    connection.execute(
        insert(tables.shards), [{"shard": shard, "holder": "", "position": 0} for shard in range(shards)]
    )


def shard_count(connection: Connection) -> int:
    """Return the number of shards. Raises NotFoundError where the database was not founded."""
    found = _COUNT.first(connection)
    if found is None:
        raise NotFoundError("this database was never set up", hint="run: invcentral init")
    return int(found[0])


def shard_of(slot: int, shards: int) -> int:
    """Return the shard, from 0, to which a slot belongs."""
    return slot % shards


def slots_of(shard: int, shards: int) -> list[int]:
    """Return the slots of a shard."""
    return list(range(shard, SLOTS, shards))


def list_shards(connection: Connection) -> list[ShardState]:
    """Return all shards, in order."""
    table = tables.shards.c
    rows = connection.execute(select(table.shard, table.holder, table.fenced_us, table.position).order_by(table.shard))
    return [ShardState(*row) for row in rows]

"""Fences: a random token in the shard's row, minted by each new holder. Whoever has an older one commits nothing.

A lease in Redis says who ought to work. It proves nothing after a pause, so the database itself is asked, inside the
transaction that writes: https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select, text, update

from central import tables
from central.database import now_us, writing
from central.migrations import refuse_newer
from central.statements import ForRows, Query
from invctl.errors import BusyError, NotFoundError, RefusedError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from invctl.model.identifiers import Bits

FENCE_BITS = 128
_LOCK = Query(
    select(tables.shards.c.fence, tables.shards.c.position)
    .where(tables.shards.c.shard == bindparam("of_shard"))
    # FOR NO KEY UPDATE: stops whoever would change the row, but not a new store that refers to it.
    .with_for_update(key_share=True)
)
_MINTED = ("fence", "holder", "fenced_us")
_MINT = ForRows(
    (*(f"new_{name}" for name in _MINTED), "of_shard"),
    lambda _: (
        update(tables.shards)
        .where(tables.shards.c.shard == bindparam("of_shard"))
        .values({name: bindparam(f"new_{name}") for name in _MINTED})
    ),
)


class FenceLostError(RefusedError):
    """Another central holds this shard now."""

    code = "fence_lost"


def mint(connection: Connection, shard: int, holder: str, chance: Bits, *, wait_s: float | None = None) -> str:
    """Put a new fence into a shard's row, in the caller's transaction, and return it.

    `holder` is a name for people (`invcentral status` shows it). `wait_s` limits how long it waits for the row on
    PostgreSQL, by default as long as any statement does. Raises NotFoundError where there is no such shard, BusyError
    where another transaction holds the row for too long, and RefusedError where the database was upgraded for a newer
    program: that took the fences away, after which this row is ours only once the upgrade is committed, and so is seen.
    """
    if wait_s is not None and connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = {round(wait_s * 1000)}"))
    fence = f"{chance.getrandbits(FENCE_BITS):032x}"
    if not _MINT.run(connection, [(fence, holder, now_us(connection), shard)]):
        raise NotFoundError(f"there is no shard {shard}", hint="run: invcentral init", shard=shard)
    refuse_newer(connection)
    return fence


def take_over(engine: Engine, shard: int, holder: str, chance: Bits, *, wait_s: float) -> tuple[str, list[int]]:
    """Mint a fence in a transaction of its own, also over a holder that stands still inside one of its own.

    Returns the fence, and the pids of the database's sessions that were ended for it. Raises as `mint` does.
    """
    ended: list[int] = []
    if engine.dialect.name == "postgresql":
        from central import postgres  # noqa: PLC0415 - the driver may not be installed
    while True:
        try:
            with writing(engine) as connection:
                fence = mint(connection, shard, holder, chance, wait_s=wait_s)
                connection.commit()
        except BusyError:
            if ended or engine.dialect.name != "postgresql":
                raise
            with writing(engine) as connection:
                ended = postgres.cut_off_stalled(connection)
            if not ended:
                raise
        else:
            return fence, ended


def lock(connection: Connection, shard: int) -> None:
    """Keep every central from applying anything to a shard until the transaction ends, for an operator's command.

    The transaction has to be of `central.database.writing`. Raises BusyError where a central holds it for too long.
    """
    _LOCK.rows(connection, of_shard=shard)


def lock_and_check(connection: Connection, shard: int, fence: str) -> int:
    """Lock a shard's row until the transaction ends and return the last position of its stream.

    The transaction has to be of `central.database.writing`: on SQLite its BEGIN IMMEDIATE is the lock. Raises
    FenceLostError where the row has another fence.
    """
    found, position = _LOCK.first(connection, of_shard=shard) or (None, 0)
    if found != fence:
        raise FenceLostError(hint="give the lease back, and ask for it again", shard=shard)
    return int(position)

"""The archive: every store's events, byte for byte, as they came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, insert, select, update

from central import facts, tables
from central.statements import ForRows
from invctl.model.stock import EMPTY, StockLevel

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Row

    from central.facts import Facts
    from invctl.sync.cursor import Intake

ROWS_FETCHED_MAX = 500
# Looking for so many names in the bytes costs less than reading the bytes.
_NEEDLES_MAX = 20

_ARCHIVE = ForRows(tables.archive.c.keys(), lambda _: insert(tables.archive))
_COUNT = ForRows(
    ("now_position", "of_shard"),
    lambda _: (
        update(tables.shards)
        .where(tables.shards.c.shard == bindparam("of_shard"))
        .values(position=bindparam("now_position"))
    ),
)


class Moved(NamedTuple):
    """A level, and the event that brought a SKU to it."""

    level: StockLevel
    seq: int


def archive_runs(
    connection: Connection,
    shard: int,
    position: int,
    intakes: Sequence[Intake],
    runs: Mapping[str, list[Facts]],
    now: int,
) -> list[int]:
    """Archive the bytes at the next positions of the shard's stream; return the first position of each intake."""
    rows = []
    first_positions = []
    for intake in intakes:
        first_positions.append(position + 1)
        bytes_of = zip(intake.bodies, intake.hashes, runs[intake.store], strict=True)
        for seq, (body, event_hash, item) in enumerate(bytes_of, intake.first_seq):
            position += 1
            rows.append(
                (
                    *(intake.store, seq, item.event_id, item.type, item.time_us),
                    *(event_hash, shard, position, now, body),
                )
            )
    _ARCHIVE.run(connection, rows)
    _COUNT.run(connection, [(position, shard)])
    return first_positions


def levels_in_archive(connection: Connection, store: str, skus: Collection[str]) -> dict[str, StockLevel]:
    """Return what a store's archive says of these SKUs, by the last event that moves each."""
    found = last_moves(connection, store, skus)
    return {sku: found[sku].level if sku in found else EMPTY for sku in skus}


def last_moves(connection: Connection, store: str, skus: Collection[str], *, after: int = 0) -> dict[str, Moved]:
    """Return, for each of these SKUs that an event after `after` moves, the last one that does.

    Reads backwards, event by event, and no further than it has to.
    """
    missing = set(skus)
    found: dict[str, Moved] = {}
    for seq, body in _backwards(connection, store, after):
        if not missing:
            break
        if _may_name(body, missing):
            for entry in reversed(facts.read(seq, body).lines):
                if entry.sku in missing:
                    found[entry.sku] = Moved(entry.level, seq)
                    missing.remove(entry.sku)
    return found


def read_archive(connection: Connection, store: str) -> Iterator[Row[*tuple[Any, ...]]]:
    """Yield a store's archived events from the first on, without holding them all."""
    query = select(tables.archive).where(tables.archive.c.store == store).order_by(tables.archive.c.seq)
    with connection.execute(query.execution_options(yield_per=ROWS_FETCHED_MAX)) as rows:
        yield from rows


def _backwards(connection: Connection, store: str, after: int) -> Iterator[tuple[int, bytes]]:
    columns = tables.archive.c
    query = select(columns.seq, columns.body).where(columns.store == store, columns.seq > after)
    query = query.order_by(columns.seq.desc())
    result = connection.execute(query.execution_options(yield_per=ROWS_FETCHED_MAX))
    with result:
        for row in result:
            yield row.seq, row.body


def _may_name(body: bytes, skus: Collection[str]) -> bool:
    """Say whether these bytes may have a line of one of these SKUs, without reading them."""
    # In an escaped text a SKU may be spelled otherwise.
    return len(skus) > _NEEDLES_MAX or b"\\" in body or any(sku.encode() in body for sku in skus)

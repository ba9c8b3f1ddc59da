"""What central committed, as one stream a shard: read from any point, it misses nothing.

Positions are counted in the shard's row, which each apply locks, so they become visible in order and without holes.
(A sequence of the database would not do: who draws a number first may commit last.)
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, or_, select

from central import facts, tables
from central.rows import keys_of
from invctl.clock import format_time
from invctl.errors import InvalidValueError
from invctl.model.events import MalformedEventError, parse

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import ColumnElement, Connection, Row

Positions = dict[int, int]
PAGE_EVENTS_MAX = 1000
POSITION_DIGITS_MAX = 19
TYPE_PREFIX = "inventory."


class TailEvent(NamedTuple):
    """An event as central committed it.

    `event_id`, `type` and `time_us` are None where they cannot be read, `event` (the CloudEvent) where it is not one
    of ours; then only `body` tells. `time_us` is the store's clock, `applied_us` central's.
    """

    shard: int
    position: int
    store: str
    seq: int
    event_id: str | None
    type: str | None
    time_us: int | None
    applied_us: int
    hash: bytes
    body: bytes
    event: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value, instants in RFC 3339. Where the event cannot be read, `body` has its bytes."""
        shown = {
            "shard": self.shard,
            "position": self.position,
            "store": self.store,
            "seq": self.seq,
            "id": self.event_id,
            "type": self.type,
            "time": None if self.time_us is None else format_time(self.time_us),
            "applied_at": format_time(self.applied_us),
            "hash": self.hash.hex(),
            "event": self.event,
        }
        if self.event is None:
            shown["body"] = self.body.decode(errors="backslashreplace")
        return shown


class TailPage(NamedTuple):
    """Some events in commit order, and how far the stream was read, what the filters left out included.

    Go on from `after`. `more` says that there is more to read at once.
    """

    events: list[TailEvent]
    after: Positions
    more: bool


def read_tail(
    connection: Connection,
    after: Mapping[int, int],
    *,
    limit: int = PAGE_EVENTS_MAX,
    stores: Collection[str] = (),
    skus: Collection[str] = (),
    types: Collection[str] = (),
) -> TailPage:
    """Return what was committed after these positions (a shard that is not named: from its start).

    Looks at `limit` positions of each shard at the most, and returns the events there that fit the filters; an empty
    filter fits all. A type may be written without its `inventory.`, and without its end: `reservation` fits
    `inventory.reservation.created`. In commit order within a shard; shards are merged by the time of commit.
    """
    latest = latest_positions(connection)
    found: list[TailEvent] = []
    reached: Positions = {}
    for shard, last in latest.items():
        start = max(after.get(shard, 0), _before_first(connection, shard, last))
        # A position beyond the last one is of a database that was since restored or made anew: go on from its end.
        reached[shard] = min(start + limit, last)
        found += _events_between(connection, shard, start, reached[shard], _filters(stores, types))
    if skus:
        wanted = set(skus)
        found = [item for item in found if keys_of([facts.read(item.seq, item.body)]).skus & wanted]
    return TailPage(_merged(found), reached, any(reached[shard] < last for shard, last in latest.items()))


def unknown_names(connection: Connection, stores: Collection[str], skus: Collection[str]) -> list[str]:
    """Return those of these stores and SKUs of which central has heard nothing."""
    store, level = tables.stores.c.store, tables.levels.c.sku
    known = set(connection.execute(select(store).where(store.in_(list(stores)))).scalars())
    # A product without stock has no level, and a level may have no product.
    for column in (level, tables.products.c.sku):
        known.update(connection.execute(select(column).where(column.in_(list(skus))).distinct()).scalars())
    return [name for name in (*stores, *skus) if name not in known]


def archived_event(connection: Connection, store: str, seq: int) -> TailEvent | None:
    """Return one event of a store, None where it is not here."""
    table = tables.archive
    row = connection.execute(select(table).where(table.c.store == store, table.c.seq == seq)).one_or_none()
    return None if row is None else _told(row)


def latest_positions(connection: Connection) -> Positions:
    """Return the last position of each shard: from there, a tail shows only what is still to come."""
    table = tables.shards.c
    rows = connection.execute(select(table.shard, table.position).order_by(table.shard))
    return {row.shard: row.position for row in rows}


def positions_before(connection: Connection, since_us: int) -> Positions:
    """Return, for each shard, the position after which a tail shows all that was committed at `since_us` or later.

    By central's clock; exact as long as that clock does not run back. Looks at a few rows only, by bisection.
    """
    positions = {}
    for shard, last in latest_positions(connection).items():
        low, high = _before_first(connection, shard, last), last
        while low < high:
            middle = (low + high + 1) // 2
            if _applied_us(connection, shard, middle) < since_us:
                low = middle
            else:
                high = middle - 1
        positions[shard] = low
    return positions


def format_positions(positions: Mapping[int, int]) -> str:
    """Write positions for `--from`: `1234` where there is one shard, else `0:1234,1:88`."""
    if list(positions) == [0]:
        return str(positions[0])
    return ",".join(f"{shard}:{position}" for shard, position in sorted(positions.items()))


def parse_positions(text: str) -> Positions:
    """Read what `format_positions` wrote. Raises InvalidValueError."""
    positions: Positions = {}
    for part in text.split(","):
        shard, _, position = part.rpartition(":")
        digits = position.isdecimal() and (shard.isdecimal() or part == text == position)
        # The databases count with 64 bits, and int takes no more than 4,300 digits.
        if not digits or len(position) > POSITION_DIGITS_MAX or len(shard) > POSITION_DIGITS_MAX:
            raise InvalidValueError(f"{text!r} is not a position", hint="such as 1234, or 0:1234,1:88 for two shards")
        positions[int(shard or 0)] = int(position)
    return positions


def _filters(stores: Collection[str], types: Collection[str]) -> list[ColumnElement[bool]]:
    table = tables.archive.c
    filters: list[ColumnElement[bool]] = []
    if stores:
        filters.append(table.store.in_(list(stores)))
    if types:
        full = [TYPE_PREFIX + name.removeprefix(TYPE_PREFIX) for name in types]
        families = [table.type.startswith(name + ".", autoescape=True) for name in full]
        filters.append(or_(table.type.in_(full), *families))
    return filters


def _events_between(
    connection: Connection, shard: int, after: int, upto: int, filters: list[ColumnElement[bool]]
) -> list[TailEvent]:
    table = tables.archive
    query = (
        select(table)
        .where(table.c.shard == shard, table.c.position > after, table.c.position <= upto, *filters)
        .order_by(table.c.position)
    )
    return [_told(row) for row in connection.execute(query)]


def _told(row: Row[*tuple[Any, ...]]) -> TailEvent:
    return TailEvent(
        shard=row.shard,
        position=row.position,
        store=row.store,
        seq=row.seq,
        event_id=row.event_id,
        type=row.type,
        time_us=row.time_us,
        applied_us=row.applied_us,
        hash=row.hash,
        body=row.body,
        event=_document(row.body),
    )


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        parse(body)
    except MalformedEventError:
        return None
    document: dict[str, Any] = json.loads(body)
    return document


def _merged(found: list[TailEvent]) -> list[TailEvent]:
    """Merge the shards by the time of commit. A clock that was set back does not change the order within a shard."""
    newest: dict[int, int] = {}
    keys = []
    for item in found:
        newest[item.shard] = max(newest.get(item.shard, 0), item.applied_us)
        keys.append(newest[item.shard])
    order = sorted(range(len(found)), key=keys.__getitem__)
    return [found[index] for index in order]


def _before_first(connection: Connection, shard: int, last: int) -> int:
    """Return the position before the first event of a shard: after a reset, its positions go on where they were."""
    table = tables.archive.c
    first = connection.execute(select(func.min(table.position)).where(table.shard == shard)).scalar()
    return last if first is None else int(first) - 1


def _applied_us(connection: Connection, shard: int, position: int) -> int:
    table = tables.archive.c
    found = connection.execute(select(table.applied_us).where(table.shard == shard, table.position == position))
    return int(found.scalar_one())

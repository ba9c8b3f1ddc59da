"""Where an event is on its way, as far as head office can know it: when its store committed it, and when it came here.

What did not come is not here, and nobody knows it by name; so of what is not found the stores that lack something are
told, from which it may yet come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from central import tables
from central.archive import ROWS_FETCHED_MAX
from central.reads import list_stores
from central.tables import ADMITTED
from central.tail import TailEvent, archived_event
from invctl.clock import format_time
from invctl.errors import NotFoundError
from invctl.model.events import RESERVATION_CREATED
from invctl.model.traces import trace_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Connection

    from central.views import StoreRow

NAMED_MAX = 5


class Traced(NamedTuple):
    """An event that is here.

    `acknowledged`: the store is known to have heard that it is here; None where that is not known. `trace` is None
    where the event has none.
    """

    event: TailEvent
    trace: str | None
    acknowledged: bool | None

    @property
    def took_s(self) -> float | None:
        """How long it took from its store to here, by two clocks; None where its time cannot be read."""
        event = self.event
        return None if event.time_us is None else (event.applied_us - event.time_us) / 1_000_000

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value, instants in RFC 3339."""
        event = self.event
        return {
            "store": event.store,
            "seq": event.seq,
            "id": event.event_id,
            "type": event.type,
            "trace": self.trace,
            "committed_at": None if event.time_us is None else format_time(event.time_us),
            "applied_at": format_time(event.applied_us),
            "took_s": self.took_s,
            "shard": event.shard,
            "position": event.position,
            "acknowledged": self.acknowledged,
            "hash": event.hash.hex(),
        }


def trace_reservation(connection: Connection, reservation: str, store: str | None = None) -> list[Traced]:
    """Return all events of a reservation, in the order of each store that has one of this id.

    Raises NotFoundError where none has.
    """
    table = tables.reservations.c
    query = select(table.store, table.seq).where(table.reservation == reservation, *_of(table.store, store))
    found = [
        (row.store, seq)
        for row in connection.execute(query.order_by(table.store)).all()
        for seq in reversed(list(_naming(connection, row.store, row.seq, reservation)))
    ]
    return _traced(connection, found, reservation, store)


def trace_ident(connection: Connection, ident: str, store: str | None = None) -> list[Traced]:
    """Return the event of this id, or else those of this trace, by store and seq.

    Reads the whole archive, or that of one store. Raises NotFoundError where there is none.
    """
    table = tables.archive.c
    query = select(table.store, table.seq).where(*_of(table.store, store)).order_by(table.store, table.seq)
    found = [(row.store, row.seq) for row in connection.execute(query.where(table.event_id == ident))]
    if not found:
        # The database does not know what a trace is; it leaves few of which to find out.
        pattern = f'%"traceparent":"__-{ident}-%'.encode()
        like = query.add_columns(table.body).where(table.body.bool_op("LIKE")(pattern))
        found = [(row.store, row.seq) for row in connection.execute(like) if trace_id(row.body) == ident]
    return _traced(connection, found, ident, store)


def _of(column: Any, store: str | None) -> list[Any]:
    return [] if store is None else [column == store]


def _naming(connection: Connection, store: str, last_seq: int, reservation: str) -> Iterator[int]:
    """Yield the events of a reservation from its last one, which its row names, back to that which made it."""
    table = tables.archive.c
    query = select(table.seq, table.type, table.body).where(table.store == store, table.seq <= last_seq)
    needle = f'"{reservation}"'.encode()
    with connection.execute(query.order_by(table.seq.desc()).execution_options(yield_per=ROWS_FETCHED_MAX)) as rows:
        for row in rows:
            if needle in row.body:
                yield row.seq
                if row.type == RESERVATION_CREATED:
                    return


def _traced(connection: Connection, found: Iterable[tuple[str, int]], what: str, store: str | None) -> list[Traced]:
    table = tables.cursors.c
    proved_us = {row.store: row.fresh_us or 0 for row in connection.execute(select(table.store, table.fresh_us))}
    if store is not None and store not in proved_us:
        raise NotFoundError(f"there is no store {store}", hint="invcentral stores list", store=store)
    events = [event for name, seq in found if (event := archived_event(connection, name, seq)) is not None]
    if not events:
        raise NotFoundError(f"{what} is not here", hint=_whence(list_stores(connection), store))
    # A store is proved complete by a word of head office that comes back from it: one said after that commit.
    return [Traced(event, trace_id(event.body), proved_us[event.store] > event.applied_us or None) for event in events]


def _whence(rows: list[StoreRow], store: str | None) -> str:
    """Say from where it may still come."""
    lacking = [
        f"{row.store} {why}" for row in rows if store in (None, row.store) and (why := _what_lacks(row)) is not None
    ]
    if not lacking:
        return "no store is known to have more than is here; is it mistyped?"
    more = f", and {len(lacking) - NAMED_MAX} more" if len(lacking) > NAMED_MAX else ""
    return f"it may be on its way: {', '.join(lacking[:NAMED_MAX])}{more}"


def _what_lacks(row: StoreRow) -> str | None:
    if row.status != ADMITTED:
        return "waits to be admitted"
    if row.lag:
        return f"is {row.lag} behind"
    return "is silent" if row.fresh.silent else None

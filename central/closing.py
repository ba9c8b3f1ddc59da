"""The close of a day: whether head office holds everything that each store committed until its own midnight.

A day is by the store's clock, in the store's time zone. A ledger is a sequence, and a day is a run of it: it begins
after the last event that is dated before the day, and ends with the last one that is dated before its end. So each
event is in one day, and in one only, also where a clock was set back or a time cannot be read.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import select

from central import facts, tables
from central.archive import ROWS_FETCHED_MAX
from central.database import now_us
from central.reads import list_stores
from central.tables import ADMITTED
from invctl.clock import format_time
from invctl.errors import NotFoundError
from invctl.model.chain import GENESIS, Head, link
from invctl.model.events import RESERVATION_CONFIRMED, STOCK_ADJUSTED

if TYPE_CHECKING:
    from datetime import date

    from sqlalchemy import Connection

    from central.views import StoreRow

NOT_OVER = "not_over"
NEVER_PROVED = "never_proved"
NOT_PROVED = "not_proved"
ARCHIVE_DIFFERS = "archive_differs"

RECEIVED = "received"
UNKNOWN_ZONE = "UTC"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Totals(NamedTuple):
    """What a day's events come to. `adjusted` is what levels changed by, less what was received and sold."""

    events: int = 0
    confirmed: int = 0
    sold: int = 0
    received: int = 0
    adjusted: int = 0


class StoreClose(NamedTuple):
    """The close of one store. `timezone` is the one that was gone by, `until_us` the midnight that ends the day there.

    `seq` and `hash` (hexadecimal) are the last event until then, 0 and None where there is none. `proved_us` is up to
    when everything that the store had is proved to be here. `missing` counts events that the store is known to have
    beside. `why_not` is empty where the day is complete, else NOT_OVER, NEVER_PROVED, NOT_PROVED or ARCHIVE_DIFFERS.
    """

    store: str
    name: str | None
    timezone: str
    from_us: int
    until_us: int
    seq: int
    hash: str | None
    totals: Totals
    proved_us: int | None
    missing: int
    why_not: str

    @property
    def complete(self) -> bool:
        """Whether head office holds everything that the store committed until the day's end."""
        return not self.why_not

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value, instants in RFC 3339."""
        return {
            "store": self.store,
            "complete": self.complete,
            "why_not": self.why_not or None,
            "missing": self.missing,
            "seq": self.seq,
            "hash": self.hash,
            **self.totals._asdict(),
            "name": self.name,
            "timezone": self.timezone,
            "from": format_time(self.from_us),
            "until": format_time(self.until_us),
            "proved_until": None if self.proved_us is None else format_time(self.proved_us),
        }


class Close(NamedTuple):
    """The close of a day. `waiting` are the stores that are not admitted, and so not part of it."""

    day: date
    made_us: int
    stores: list[StoreClose]
    waiting: list[str]

    @property
    def complete(self) -> bool:
        """Whether the day is complete at every store."""
        return all(each.complete for each in self.stores)

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value, instants in RFC 3339."""
        return {
            "date": self.day.isoformat(),
            "complete": self.complete,
            "made_at": format_time(self.made_us),
            "stores": [each.as_dict() for each in self.stores],
            "waiting": self.waiting,
        }


def close_day(connection: Connection, day: date) -> Close:
    """Close a day at every admitted store. Use a transaction of `central.database.reading`.

    Reads the day's events, and holds them against their hashes; what came before is `verify`'s business. Raises
    NotFoundError where no store is admitted.
    """
    rows = list_stores(connection)
    admitted = [row for row in rows if row.status == ADMITTED]
    if not admitted:
        raise NotFoundError("no store is admitted: there is nothing to close", hint="invcentral stores list")
    now = now_us(connection)
    stores = [_close_store(connection, row, day, now) for row in admitted]
    return Close(day, now, stores, [row.store for row in rows if row.status != ADMITTED])


def zone_of(name: str | None) -> ZoneInfo:
    """Return a store's time zone; UTC where its name is not known, or none."""
    try:
        return ZoneInfo(name or UNKNOWN_ZONE)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # A store may call it as it likes, also by the name of a folder.
        return ZoneInfo(UNKNOWN_ZONE)


def _close_store(connection: Connection, row: StoreRow, day: date, now: int) -> StoreClose:
    zone = zone_of(row.timezone)
    from_us, until_us = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
    before = _last_before(connection, row.store, from_us)
    last = _last_before(connection, row.store, until_us)
    # Where a clock was set back, the day before may end later than this one.
    totals, holds = _totals(connection, row.store, before, max(last, before))
    proved_us = _proved_us(connection, row.store, now)
    return StoreClose(
        store=row.store,
        name=row.name,
        timezone=zone.key,
        from_us=from_us,
        until_us=until_us,
        seq=last.seq,
        hash=last.hash.hex() if last.seq else None,
        totals=totals,
        proved_us=proved_us,
        missing=row.lag,
        why_not=_why_not(until_us, proved_us, now, holds=holds),
    )


def _why_not(until_us: int, proved_us: int | None, now: int, *, holds: bool) -> str:
    if now < until_us:
        return NOT_OVER
    if proved_us is None:
        return NEVER_PROVED
    if proved_us < until_us:
        return NOT_PROVED
    return "" if holds else ARCHIVE_DIFFERS


def _midnight(day: date, zone: ZoneInfo) -> int:
    """Return when a day begins in a zone; where clocks skip its midnight, the moment at which they do."""
    return (datetime.combine(day, time(), tzinfo=zone) - _EPOCH) // timedelta(microseconds=1)


def _last_before(connection: Connection, store: str, instant_us: int) -> Head:
    """Return the last event that is dated before an instant. Reads backwards from the newest."""
    table = tables.archive.c
    row = connection.execute(
        select(table.seq, table.hash)
        .where(table.store == store, table.time_us < instant_us)
        .order_by(table.seq.desc())
        .limit(1)
    ).one_or_none()
    return Head(0, GENESIS) if row is None else Head(row.seq, row.hash)


def _proved_us(connection: Connection, store: str, now: int) -> int | None:
    """Return up to when a store is proved complete. What is still to come was noted before a clock was set back."""
    table = tables.cursors.c
    proved_us = connection.execute(select(table.fresh_us).where(table.store == store)).scalar_one()
    return None if proved_us is None or proved_us > now else int(proved_us)


def _totals(connection: Connection, store: str, before: Head, last: Head) -> tuple[Totals, bool]:
    """Add up a run of events, and say whether each is there, and has the hash that it came with."""
    table = tables.archive.c
    query = (
        select(table.seq, table.hash, table.body)
        .where(table.store == store, table.seq > before.seq, table.seq <= last.seq)
        .order_by(table.seq)
    )
    totals, head, holds = Totals(), before, True
    with connection.execute(query.execution_options(yield_per=ROWS_FETCHED_MAX)) as rows:
        for row in rows:
            holds = holds and row.seq == head.seq + 1 and link(head.hash, row.seq, row.body) == row.hash
            head = Head(row.seq, row.hash)
            totals = _with_event(totals, row.seq, row.body)
    return totals, holds and head == last


def _with_event(totals: Totals, seq: int, body: bytes) -> Totals:
    event = facts.as_applied(facts.read(seq, body), body)
    change = sum(entry.on_hand_change for entry in event.lines)
    events = totals.events + 1
    if event.type == RESERVATION_CONFIRMED:
        return totals._replace(events=events, confirmed=totals.confirmed + 1, sold=totals.sold - change)
    if event.type == STOCK_ADJUSTED and event.data.get("reason") == RECEIVED:
        return totals._replace(events=events, received=totals.received + change)
    return totals._replace(events=events, adjusted=totals.adjusted + change)

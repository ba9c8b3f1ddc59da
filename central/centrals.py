"""Which centrals are at work: each says so itself, in a row of the database, and by the database's clock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import delete, or_, select

from central import tables
from central.database import now_us
from central.statements import insert_into

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

KEPT_S = 3600.0
"""For so long after it was last seen, a central is still listed as one that is gone."""

_table = tables.centrals.c


class CentralProcess(NamedTuple):
    """A central: who it is among the holders of leases, and what it said when it was last seen.

    It is living until `until_us`. A moment still to come is of a clock that was since set back, and says nothing.
    """

    holder: str
    host: str
    pid: int
    version: str
    since_us: int
    seen_us: int
    until_us: int
    shards: tuple[int, ...]
    metrics: str | None

    def is_living(self, now_us: int) -> bool:
        """Tell whether it is to be counted on at this moment of the database's clock."""
        return self.seen_us <= now_us < self.until_us


def be_seen(
    connection: Connection,
    *,
    holder: str,
    host: str,
    pid: int,
    version: str,
    ttl_s: float,
    shards: Collection[int],
    metrics: str | None = None,
) -> None:
    """Say that this central lives, for the next `ttl_s`, and serves these shards. Tidies up after those long gone."""
    now = now_us(connection)
    statement = insert_into(connection.dialect.name, tables.centrals)
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=["holder"], set_={name: new[name] for name in ("seen_us", "until_us", "shards", "metrics")}
    )
    row = {
        "holder": holder,
        "host": host,
        "pid": pid,
        "version": version,
        "since_us": now,
        "seen_us": now,
        "until_us": now + round(ttl_s * 1_000_000),
        "shards": json.dumps(sorted(shards)),
        "metrics": metrics,
    }
    connection.execute(statement, [row])
    kept_us = round(KEPT_S * 1_000_000)
    connection.execute(
        delete(tables.centrals).where(or_(_table.until_us < now - kept_us, _table.seen_us > now + kept_us))
    )


def leave(connection: Connection, holder: str) -> None:
    """Take a central off the list: it has ended, and whoever is left shares its work."""
    connection.execute(delete(tables.centrals).where(_table.holder == holder))


def list_centrals(connection: Connection) -> list[CentralProcess]:
    """Return all centrals that are listed, whether they live or are gone, the longest at work first."""
    rows = connection.execute(select(tables.centrals).order_by(_table.since_us, _table.holder))
    return [CentralProcess(**{**row._mapping, "shards": tuple(json.loads(row.shards))}) for row in rows]  # noqa: SLF001 - the name is the library's; it is its interface


def living(connection: Connection) -> list[CentralProcess]:
    """Return the centrals that live, the longest at work first."""
    now = now_us(connection)
    return [each for each in list_centrals(connection) if each.is_living(now)]

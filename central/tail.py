"""What central committed, as one stream a shard: read from any point, it misses nothing.

Positions are counted in the shard's row, which each apply locks, so they become visible in order and without holes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Connection

Positions = dict[int, int]
PAGE_EVENTS_MAX = 1000


class TailEvent(NamedTuple):
    """An event as central committed it.

    `event_id`, `type` and `time_us` are None, and `event` is None, where they could not be read; then only `body`
    tells. `time_us` is the store's clock, `applied_us` central's.
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
        """Return it as a JSON value, instants in RFC 3339."""
        raise NotImplementedError


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

    Looks at `limit` events at the most, and returns those that fit the filters; an empty filter fits all. A type
    fits also without its `inventory.`. In commit order within a shard; shards are merged by the time of commit.
    """
    raise NotImplementedError


def latest_positions(connection: Connection) -> Positions:
    """Return the last position of each shard: from there, a tail shows only what is still to come."""
    raise NotImplementedError


def positions_before(connection: Connection, since_us: int) -> Positions:
    """Return, for each shard, the position after which a tail shows all that was committed at `since_us` or later.

    By central's clock; exact as long as that clock does not run back.
    """
    raise NotImplementedError


def format_positions(positions: Mapping[int, int]) -> str:
    """Write positions for `--from`: `1234` where there is one shard, else `0:1234,1:88`."""
    raise NotImplementedError


def parse_positions(text: str) -> Positions:
    """Read what `format_positions` wrote. Raises InvalidValueError."""
    raise NotImplementedError

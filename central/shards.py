"""Shards: how the slots of the stores are shared out. Their number is fixed when the database is founded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sqlalchemy import Connection


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
    raise NotImplementedError


def shard_count(connection: Connection) -> int:
    """Return the number of shards. Raises NotFoundError where the database was not founded."""
    raise NotImplementedError


def shard_of(slot: int, shards: int) -> int:
    """Return the shard, from 0, to which a slot belongs."""
    return slot % shards


def slots_of(shard: int, shards: int) -> list[int]:
    """Return the slots of a shard."""
    raise NotImplementedError


def list_shards(connection: Connection) -> list[ShardState]:
    """Return all shards, in order."""
    raise NotImplementedError

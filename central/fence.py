"""Fences: a random token in the shard's row, minted by each new holder. Whoever has an older one commits nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.errors import RefusedError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from invctl.model.identifiers import Bits


class FenceLostError(RefusedError):
    """Another central holds this shard now."""

    code = "fence_lost"


def mint(connection: Connection, shard: int, holder: str, chance: Bits) -> str:
    """Put a new fence into a shard's row, in the caller's transaction, and return it.

    `holder` is a name for people (`invcentral status` shows it). Raises NotFoundError where there is no such shard.
    """
    raise NotImplementedError


def lock_and_check(connection: Connection, shard: int, fence: str) -> int:
    """Lock a shard's row until the transaction ends and return the last position of its stream.

    The transaction has to be of `central.database.writing`. Raises FenceLostError where the row has another fence.
    """
    raise NotImplementedError

"""Which stores there are: heard of, admitted, and bound to a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from invctl.sync.receiver import Cursor, Heard

PENDING_MAX = 1000


class Admission(NamedTuple):
    """What an admission found. `first_hash` is the ledger it is bound to; None: the first one that speaks."""

    store: str
    already: bool
    heard: bool
    first_hash: bytes | None


def load_cursors(connection: Connection, shard: int) -> list[Cursor]:
    """Return the cursors of all stores of a shard, admitted or not."""
    raise NotImplementedError


def load_cursor(connection: Connection, store: str) -> Cursor | None:
    """Return the cursor of one store, None where it was never heard of."""
    raise NotImplementedError


def register_newcomers(connection: Connection, heard: list[Heard], *, admit_any: bool = False) -> list[Cursor]:
    """Note stores that spoke and are not admitted, and return what the database now knows of them.

    Idempotent. Stores beyond PENDING_MAX waiting ones are left out. A store that was admitted meanwhile comes back
    as admitted. `admit_any` admits them all, for a demo.
    """
    raise NotImplementedError


def admit(connection: Connection, store: str) -> Admission:
    """Admit a store. One that was not heard yet is bound to the first ledger that speaks under its id.

    Raises InvalidValueError where this is no store id.
    """
    raise NotImplementedError

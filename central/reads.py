"""Read models for the command line. Every number says how fresh it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from central.shards import ShardState

SILENT_AFTER_S = 6.0


class Freshness(NamedTuple):
    """How fresh the numbers of a store are, by the database's clock.

    `as_of_seq`: the store's last event that is in them. `age_s`: they are proved complete up to this long ago; None
    where that was never proved. `gap`: the store is known to be ahead, at `head_seq`. `heard_s`: how long ago it
    spoke, None where never. `silent`: too long ago; the numbers may have moved.
    """

    as_of_seq: int
    age_s: float | None
    gap: bool
    head_seq: int
    heard_s: float | None
    silent: bool


class StockRow(NamedTuple):
    """What one store has of one SKU. `suspect` says why its level is in doubt, None where it is not."""

    store: str
    sku: str
    name: str | None
    price: int | None
    currency: str | None
    on_hand: int
    reserved: int
    available: int
    version: int
    suspect: str | None
    fresh: Freshness

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value: freshness and stock side by side."""
        raise NotImplementedError


class ReservationRow(NamedTuple):
    """A reservation of a store. `reservation` is its id there; `as_dict` writes it `downtown/R-7K4QM2`."""

    store: str
    reservation: str
    status: str
    order: str | None
    clerk: str | None
    created_us: int
    expires_us: int
    ended_us: int | None
    seq: int
    lines: tuple[dict[str, Any], ...]
    fresh: Freshness

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value: freshness and reservation side by side, instants in RFC 3339."""
        raise NotImplementedError


class StoreRow(NamedTuple):
    """A store: who it is, and how far central is with it. `first_hash` is hexadecimal; `lag` counts events."""

    store: str
    status: str
    name: str | None
    currency: str | None
    timezone: str | None
    slot: int
    shard: int
    first_hash: str | None
    first_heard_us: int | None
    admitted_us: int | None
    epoch: int
    applied_us: int | None
    lag: int
    suspects: int
    open_reservations: int
    fresh: Freshness

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value, instants in RFC 3339."""
        raise NotImplementedError


class Status(NamedTuple):
    """Central as a whole. `events` counts what is archived."""

    now_us: int
    shards: list[ShardState]
    stores: list[StoreRow]
    events: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value."""
        raise NotImplementedError


def stock(connection: Connection, *, sku: str | None = None, store: str | None = None) -> Iterator[StockRow]:
    """Yield stock levels by store and SKU, row by row while the connection's transaction is open.

    Raises NotFoundError where the store is not known.
    """
    raise NotImplementedError


def reservations(
    connection: Connection,
    *,
    store: str | None = None,
    status: str | None = "pending",
    sku: str | None = None,
    reservation: str | None = None,
    limit: int | None = None,
) -> Iterator[ReservationRow]:
    """Yield reservations by store and time of expiry; `status` None means all. Raises NotFoundError as `stock` does."""
    raise NotImplementedError


def list_stores(connection: Connection) -> list[StoreRow]:
    """Return all stores, those that wait for admission included."""
    raise NotImplementedError


def status(connection: Connection) -> Status:
    """Return how central stands."""
    raise NotImplementedError

"""What the command line shows of central: rows of plain values, and their JSON.

An instant `x_us` becomes the time `x_at` in JSON, and freshness stands beside the numbers that it is about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from central.freshness import Freshness
from invctl.clock import format_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from central.shards import ShardState


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
        """Return it as a JSON value: stock and freshness side by side."""
        return _flat(self)


class ReservationRow(NamedTuple):
    """A reservation of a store. `reservation` is its id there; `as_dict` writes it `downtown/R-7K4QMQ`."""

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
        """Return it as a JSON value: reservation and freshness side by side, instants in RFC 3339."""
        return _flat(self) | {"reservation": f"{self.store}/{self.reservation}", "lines": list(self.lines)}


class StoreRow(NamedTuple):
    """A store: who it is, and how far central is with it. `first_hash` is hexadecimal; `lag` counts events.

    `other_ledger_us` is when another ledger was last refused under its id, None where never.
    """

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
    other_ledger_us: int | None
    fresh: Freshness

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value: store and freshness side by side, instants in RFC 3339."""
        return _flat(self)


class CentralRow(NamedTuple):
    """A central, as it was when it was last seen, `seen_s` seconds ago. One that is not living serves nothing."""

    holder: str
    host: str
    pid: int
    version: str
    since_us: int
    seen_us: int
    seen_s: float
    living: bool
    shards: tuple[int, ...]
    metrics: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value, instants in RFC 3339."""
        return _flat(self) | {"shards": list(self.shards)}


class Status(NamedTuple):
    """Central as a whole. `events` counts what is archived."""

    now_us: int
    centrals: list[CentralRow]
    shards: list[ShardState]
    stores: list[StoreRow]
    events: int

    @property
    def served_by(self) -> dict[int, str]:
        """For each shard that is served: by whom."""
        return {shard: each.holder for each in self.centrals if each.living for shard in each.shards}

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value. A shard's `holder` minted its fence, `served_by` serves it now, if anybody."""
        served_by = self.served_by
        return {
            "now": format_time(self.now_us),
            "events": self.events,
            "centrals": [each.as_dict() for each in self.centrals],
            "shards": [_flat(each) | {"served_by": served_by.get(each.shard)} for each in self.shards],
            "stores": [store.as_dict() for store in self.stores],
        }


def _flat(row: Any) -> dict[str, Any]:
    """Return a row as a JSON value: freshness beside the rest, an instant `x_us` as the time `x_at`."""
    return dict(_flat_items(row._asdict().items()))


def _flat_items(items: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name, value in items:
        if isinstance(value, Freshness):
            yield from value.as_dict().items()
        elif name.endswith("_us"):
            yield name.removesuffix("_us") + "_at", None if value is None else format_time(value)
        else:
            yield name, value

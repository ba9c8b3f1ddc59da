"""The proof of a run: ledgers and central's archive, reopened and held against each other.

It runs as a process of its own after everything has drained, and believes nobody: archive and ledger are compared
byte for byte at each seq, the archive is replayed from empty, and what that comes to is compared with the levels and
reservations of both. `oversold` is worked out from the ledger's movements alone.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import apsw
from sqlalchemy import func, select
from typer import Context, Exit, Option

from central.database import open_database, reading
from central.settings import DATABASE_VARIABLE
from central.tables import archive, cursors, levels, reservations
from invctl.clock import SystemClock
from invctl.ledger.ledger import FILE
from invctl.model import events
from invctl.model.chain import GENESIS, link
from invctl.model.projection import Projection
from invctl.model.stock import StockLevel
from scripts.chain.command import run_script
from scripts.chain.folder import ChainFolder
from scripts.chain.journal import acknowledged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

DIFFERENCES_SHOWN = 20


class Proof(NamedTuple):
    """What the databases say.

    `latencies_us` are central's of events since the run began, in no order. `acknowledged` counts the operations that
    clerks were told are done, `acknowledged_missing` those of them of which there is no event at central.
    """

    stores: int
    events_committed: int
    events_applied: int
    lost: int
    applied_twice: int
    oversold: int
    differences: list[str]
    latencies_us: list[int]
    acknowledged: int = 0
    acknowledged_missing: int = 0

    @property
    def equal(self) -> bool:
        """Whether central is exactly what the stores are."""
        return not self.differences

    @property
    def holds(self) -> bool:
        """Whether the run kept its promises."""
        return self.equal and not (self.lost or self.applied_twice or self.oversold or self.acknowledged_missing)

    def as_dict(self) -> dict[str, Any]:
        """Return the proof as its JSON shows it."""
        return {
            "stores": self.stores,
            "events_committed": self.events_committed,
            "events_applied": self.events_applied,
            "lost": self.lost,
            "applied_twice": self.applied_twice,
            "oversold": self.oversold,
            "equal": self.equal,
            "latency_ms": {"p50": quantile_ms(self.latencies_us, 0.5), "p99": quantile_ms(self.latencies_us, 0.99)},
            "acknowledged": self.acknowledged,
            "acknowledged_missing": self.acknowledged_missing,
        }


class _StoreProof:
    """One store: its ledger on one side, central's rows on the other."""

    def __init__(self, home: Path, connection: Connection, since_us: int) -> None:
        self.differences: list[str] = []
        self.latencies_us: list[int] = []
        self.committed = self.applied = self.lost = self.applied_twice = 0
        self._ledger = apsw.Connection(
            f"file:{home / FILE}?mode=ro", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        )
        self._central = connection
        self._since_us = since_us
        (self.store,) = self._one("SELECT store FROM ledger")
        self.projection = Projection()
        self.request_ids: set[str] = set()

    def prove(self) -> None:
        self._compare_archive()
        self._compare_state()

    def oversold(self) -> int:
        """Return the units by which a SKU was ever promised or sold beyond what there was, from the movements."""
        worst: defaultdict[str, int] = defaultdict(int)
        on_hand: defaultdict[str, int] = defaultdict(int)
        reserved: defaultdict[str, int] = defaultdict(int)
        for sku, on_hand_change, reserved_change in self._ledger.execute(
            "SELECT sku, on_hand_change, reserved_change FROM movements ORDER BY seq"
        ):
            on_hand[sku] += on_hand_change
            reserved[sku] += reserved_change
            worst[sku] = max(worst[sku], reserved[sku] - on_hand[sku], -on_hand[sku])
        return sum(worst.values())

    def _compare_archive(self) -> None:
        archived = self._archived()
        row = next(archived, None)
        hash_ = GENESIS
        ids: Counter[str] = Counter()
        for seq, body in self._ledger.execute("SELECT seq, body FROM events ORDER BY seq"):
            self.committed += 1
            hash_ = link(hash_, seq, body)
            while row is not None and row.seq < seq:
                self._extra(row, ids)
                row = next(archived, None)
            if row is None or row.seq != seq or row.body != body:
                self.lost += 1
                self._differ(f"event {seq} is not in the archive as the ledger has it")
            if row is not None and row.seq == seq:
                self._take(row, ids)
                if row.hash != hash_:
                    self._differ(f"event {seq} has another hash in the archive")
                row = next(archived, None)
        while row is not None:
            self._extra(row, ids)
            row = next(archived, None)
        self.applied_twice = sum(count - 1 for count in ids.values())
        cursor = self._central.execute(
            select(cursors.c.applied_seq, cursors.c.applied_hash).where(cursors.c.store == self.store)
        ).one_or_none()
        if cursor is None or (cursor.applied_seq, cursor.applied_hash) != (self.committed, hash_):
            self._differ(
                f"central's cursor is at {cursor.applied_seq if cursor else None}, the ledger at {self.committed}"
            )

    def _archived(self) -> Iterator[Any]:
        columns = (archive.c.seq, archive.c.body, archive.c.hash, archive.c.time_us, archive.c.applied_us)
        query = select(*columns).where(archive.c.store == self.store).order_by(archive.c.seq)
        return iter(self._central.execution_options(yield_per=1000).execute(query))

    def _extra(self, row: Any, ids: Counter[str]) -> None:
        self._differ(f"the archive has an event {row.seq} that the ledger does not have")
        self._take(row, ids)

    def _take(self, row: Any, ids: Counter[str]) -> None:
        self.applied += 1
        if row.time_us is not None and row.time_us >= self._since_us:
            self.latencies_us.append(row.applied_us - row.time_us)
        try:
            event = events.parse(row.body)
        except events.MalformedEventError as error:
            self._differ(f"event {row.seq} of the archive cannot be read: {error}")
            return
        ids[event.id] += 1
        self.request_ids.add(event.request_id)
        self.projection.apply(row.seq, event)

    def _compare_state(self) -> None:
        for finding in self.projection.close():
            self._differ(f"the archive's replay: event {finding.seq}: {finding.what}")
        replayed = self.projection.levels
        ours = {
            sku: StockLevel(*level)
            for sku, *level in self._ledger.execute("SELECT sku, on_hand, reserved, version FROM stock")
        }
        query = select(levels.c.sku, levels.c.on_hand, levels.c.reserved, levels.c.version).where(
            levels.c.store == self.store
        )
        theirs = {sku: StockLevel(*level) for sku, *level in self._central.execute(query)}
        self._compare("the ledger's level of", ours, replayed)
        self._compare("central's level of", theirs, replayed)
        ended = {key: (each.status, each.seq) for key, each in self.projection.reservations.items()}
        ours_ended = {
            key: (status, seq)
            for key, status, seq in self._ledger.execute("SELECT reservation, status, last_seq FROM reservations")
        }
        query_reservations = select(reservations.c.reservation, reservations.c.status, reservations.c.seq).where(
            reservations.c.store == self.store
        )
        theirs_ended = {key: (status, seq) for key, status, seq in self._central.execute(query_reservations)}
        self._compare("the ledger's reservation", ours_ended, ended)
        self._compare("central's reservation", theirs_ended, ended)

    def _compare(self, what: str, found: dict[str, Any], replayed: dict[str, Any]) -> None:
        for key in found.keys() | replayed.keys():
            if found.get(key) != replayed.get(key):
                self._differ(f"{what} {key} is {found.get(key)}, the archive's replay says {replayed.get(key)}")

    def _differ(self, what: str) -> None:
        self.differences.append(f"{self.store}: {what}")

    def _one(self, sql: str) -> Any:
        return self._ledger.execute(sql).fetchone()

    def close(self) -> None:
        self._ledger.close()


def prove(
    homes: Sequence[Path], central_url: str, *, since_us: int, told: Mapping[str, set[str]] | None = None
) -> Proof:
    """Hold every ledger against central. Neither may be written meanwhile.

    Args:
        homes: the stores' folders.
        central_url: head office's database.
        since_us: latencies count for events from this moment on.
        told: the request ids, by store, of what clerks were told is done.

    """
    engine = open_database(central_url, clock=SystemClock())
    totals: Counter[str] = Counter()
    differences: list[str] = []
    latencies_us: list[int] = []
    names = set()
    with reading(engine) as connection:
        for home in homes:
            store = _StoreProof(home, connection, since_us)
            store.prove()
            totals.update(
                committed=store.committed,
                applied=store.applied,
                lost=store.lost,
                applied_twice=store.applied_twice,
                oversold=store.oversold(),
                acknowledged=len(ids := (told or {}).get(store.store, set())),
                missing=len(ids - store.request_ids),
            )
            differences += store.differences
            latencies_us += store.latencies_us
            names.add(store.store)
            store.close()
        counted = connection.execute(select(archive.c.store, func.count()).group_by(archive.c.store))
        for name, count in counted:
            if name not in names:
                differences.append(f"{name}: the archive has {count} events of a store that has no ledger here")
                totals["applied"] += count
    engine.dispose()
    return Proof(
        len(homes),
        totals["committed"],
        totals["applied"],
        totals["lost"],
        totals["applied_twice"],
        totals["oversold"],
        differences,
        latencies_us,
        totals["acknowledged"],
        totals["missing"],
    )


def quantile_ms(latencies_us: Sequence[int], share: float) -> float | None:
    """Return a quantile in milliseconds, None of nothing."""
    if not latencies_us:
        return None
    ordered = sorted(latencies_us)
    return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)] / 1000, 3)


def main(
    ctx: Context,  # noqa: ARG001 - the command class reads it
    folder: Annotated[str, Option("--chain", help="The chain's folder.")],
    central_url: Annotated[
        str | None, Option("--central-url", envvar=DATABASE_VARIABLE, help="Head office's database.")
    ] = None,
    since_us: Annotated[int, Option("--since-us", help="Latencies count from here, in microseconds.")] = 0,
) -> None:
    """Print the proof as one line of JSON; the differences go to stderr. Exit 1 where it does not hold."""
    chain = ChainFolder(Path(folder))
    told = {home.name: acknowledged(chain.journal(home.name)) for home in chain.homes()}
    proof = prove(chain.homes(), central_url or chain.central_database, since_us=since_us, told=told)
    print(json.dumps(proof.as_dict()))
    for difference in proof.differences[:DIFFERENCES_SHOWN]:
        print(difference, file=sys.stderr)
    if len(proof.differences) > DIFFERENCES_SHOWN:
        print(f"and {len(proof.differences) - DIFFERENCES_SHOWN} more", file=sys.stderr)
    raise Exit(0 if proof.holds else 1)


if __name__ == "__main__":
    run_script("proof", main)

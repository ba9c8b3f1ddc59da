"""What head office sends of a history that this ledger lost: kept beside the ledger's own until it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.errors import WrongStateError
from invctl.ledger.database import first
from invctl.model.chain import GENESIS, Head, links

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

    from invctl.ledger.ledger import Ledger


def held(ledger: Ledger) -> Head | None:
    """Return the last event that was kept, None where there is none."""
    row = ledger.row("SELECT seq, hash FROM incoming ORDER BY seq DESC LIMIT 1")
    return Head(row[0], bytes(row[1])) if row else None


def keep(ledger: Ledger, first_seq: int, prev_hash: bytes, bodies: Sequence[bytes]) -> Head:
    """Keep a run of events where it parts from the ledger's own, and return its last.

    A run that follows neither what is kept nor an event of the ledger's own begins anew where it can: what was kept
    before it is dropped. It need not be durable: what is lost is asked for again.

    Raises WrongStateError where it follows nothing that is here.
    """
    hashes = links(prev_hash, first_seq, bodies)
    ledger.connection.execute("PRAGMA synchronous = NORMAL")
    try:
        with ledger.write() as write:
            connection = write.connection
            kept = _hash_at(connection, "incoming", first_seq - 1)
            known = 0
            if kept != prev_hash:
                if _hash_at(connection, "events", first_seq - 1) != prev_hash:
                    raise WrongStateError(f"event {first_seq} of head office's does not follow what is here")
                # Up to where it parts from the ledger's own there is nothing to keep.
                while known < len(hashes) and _hash_at(connection, "events", first_seq + known) == hashes[known]:
                    known += 1
                connection.execute("DELETE FROM incoming")
            rows = zip(range(first_seq + known, first_seq + len(bodies)), bodies[known:], hashes[known:], strict=True)
            connection.executemany("INSERT OR REPLACE INTO incoming VALUES (?, ?, ?)", rows)
            connection.execute("DELETE FROM incoming WHERE seq >= ?", (first_seq + len(bodies),))
            write.commit()
    finally:
        ledger.connection.execute("PRAGMA synchronous = FULL")
    return Head(first_seq + len(bodies) - 1, hashes[-1])


def _hash_at(connection: apsw.Connection, table: str, seq: int) -> bytes | None:
    if seq == 0 and table == "events":
        return GENESIS
    row = first(connection, f"SELECT hash FROM {table} WHERE seq = ?", (seq,))
    return bytes(row[0]) if row else None

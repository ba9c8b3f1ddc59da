"""Rejoin head office: put its history in the place of what this ledger has instead, and append the ledger's own anew.

One transaction: before it the ledger is as it was, after it nothing that head office had is missing, and nothing that
was decided here is forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from invctl.clock import parse_time
from invctl.errors import InvalidValueError, RefusedError, WrongStateError
from invctl.ledger.database import first, rows
from invctl.ledger.migrations import GUARD_NAMES, GUARDS
from invctl.ledger.reappend import Own, reappend
from invctl.ledger.writing import NOBODY, Write
from invctl.model import events
from invctl.model.chain import GENESIS, Head, link
from invctl.model.projection import Projection

if TYPE_CHECKING:
    from collections.abc import Iterator

    import apsw

    from invctl.ledger.ledger import Ledger
    from invctl.model.events import Event


class Rebased(NamedTuple):
    """What a rejoin did. `common_seq` is the last event that both had; `misfits` of `reappended` are discrepancies."""

    epoch: int
    common_seq: int
    taken: int
    set_aside: int
    reappended: int
    misfits: int
    head: Head


def rebase(ledger: Ledger, upto: Head, *, epoch: int, boot: str) -> Rebased:
    """Take head office's history up to `upto`, all of which `history.keep` has kept, in place of the ledger's own.

    Args:
        ledger: the store's.
        upto: head office's last event.
        epoch: the one that head office granted, above the ledger's.
        boot: the run of the daemon that it was granted to.

    Raises:
        WrongStateError: what is kept does not lead from the ledger's own events to `upto`. Nothing was changed.
        RefusedError: an event of head office's cannot be read. Nothing was changed.
        BusyError: the turn to write did not come in time.

    """
    with ledger.write() as write:
        connection = write.connection
        _, before = first(connection, "SELECT store, epoch FROM ledger")
        if epoch <= before:
            raise WrongStateError(f"epoch {epoch} was granted, the ledger has {before}")
        common = _common(connection)
        taken = list(_checked(connection, common, upto))
        own = rows(connection, "SELECT seq, body FROM events WHERE seq > ? ORDER BY seq", (common.seq,))
        _replace(connection, common, before, taken)
        _rebuild(connection, common)
        for guard in _statements(GUARDS):
            connection.execute(guard)
        connection.execute("UPDATE ledger SET epoch = ?", (epoch,))
        connection.execute("UPDATE link SET frozen = '', acked_seq = ?", (upto.seq,))
        anew = Write(connection, ledger.store.store, ledger.clock, ledger.chance)
        data = {
            "epoch": epoch,
            "boot": boot,
            "common_seq": common.seq,
            "common_hash": common.hash.hex(),
            "taken": len(taken),
            "set_aside": len(own),
        }
        anew.append(events.LEDGER_REBASED, ledger.store.store, data, NOBODY)
        reappended, misfits = _reappend(anew, before, own)
        anew.tell_low()
        write.head = anew.head
        write.commit()
    ledger.reload()
    return Rebased(epoch, common.seq, len(taken), len(own), reappended, misfits, anew.head)


def _common(connection: apsw.Connection) -> Head:
    """Return the last of the ledger's own events that what is kept follows."""
    (first_seq,) = first(connection, "SELECT min(seq) FROM incoming")
    if first_seq is None:
        raise WrongStateError("nothing of head office's history is here")
    if first_seq == 1:
        return Head(0, GENESIS)
    row = first(connection, "SELECT seq, hash FROM events WHERE seq = ?", (first_seq - 1,))
    if row is None:
        raise WrongStateError(f"head office's history begins with event {first_seq}, the ledger ends before that")
    return Head(row[0], bytes(row[1]))


def _checked(connection: apsw.Connection, common: Head, upto: Head) -> Iterator[tuple[int, Event, int]]:
    """Follow the chain of what is kept; give seq, event and time of each. Raises where it does not lead to `upto`."""
    seq, hash_ = common
    for at, body, kept in connection.execute("SELECT seq, body, hash FROM incoming ORDER BY seq"):
        seq += 1
        hash_ = link(hash_, seq, body)
        if (at, kept) != (seq, hash_):
            raise WrongStateError(f"event {seq} of head office's history is missing, or damaged")
        try:
            event = events.parse(body)
            yield seq, event, parse_time(event.time)
        except (events.MalformedEventError, InvalidValueError) as error:
            raise RefusedError(f"event {seq} of head office's history cannot be read: {error}") from None
    if (seq, hash_) != upto:
        raise WrongStateError(f"head office's history is here up to event {seq}, not {upto.seq}")


def _replace(connection: apsw.Connection, common: Head, epoch: int, taken: list[tuple[int, Event, int]]) -> None:
    """Put what was taken in the place of the ledger's own events."""
    execute = connection.execute
    # What refers to events and products goes and comes again before the commit.
    execute("PRAGMA defer_foreign_keys = ON")
    for guard in GUARD_NAMES:
        execute(f"DROP TRIGGER {guard}")
    execute(
        "INSERT OR REPLACE INTO set_aside SELECT ?, seq, id, type, time_us, body, hash FROM events WHERE seq > ?",
        (epoch, common.seq),
    )
    execute("DELETE FROM requests WHERE seq > ?", (common.seq,))
    execute("DELETE FROM movements WHERE seq > ?", (common.seq,))
    execute("DELETE FROM events WHERE seq > ?", (common.seq,))
    for seq, event, time_us in taken:
        execute(
            "INSERT INTO events SELECT seq, ?, ?, ?, body, hash FROM incoming WHERE seq = ?",
            (event.id, event.type, time_us, seq),
        )
        for entry in event.lines:
            execute(
                "INSERT INTO movements VALUES (?, ?, ?, ?, ?, ?, ?)",
                (entry.sku, seq, entry.on_hand_change, entry.reserved_change, *entry.level),
            )
        if event.request_id:
            execute(
                "INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, NULL)",
                (event.request_id, event.request_hash, time_us, seq),
            )
    execute("DELETE FROM incoming")


def _rebuild(connection: apsw.Connection, common: Head) -> None:
    """Work products, levels, reservations and recounts out again from the events."""
    execute, many = connection.execute, connection.executemany
    projection = Projection()
    firsts: dict[str, int] = {}
    for seq, body in connection.execute("SELECT seq, body FROM events ORDER BY seq"):
        event = events.parse(body)
        projection.apply(seq, event)
        if event.type == events.RESERVATION_CREATED:
            firsts.setdefault(str(event.data.get("reservation")), seq)
    if findings := [finding for finding in projection.findings if finding.seq > common.seq]:
        seq, what = findings[0]
        raise RefusedError(f"event {seq} of head office's history does not follow: {what}")
    for table in ("recounts", "barcodes", "thresholds", "reservation_lines", "reservations", "stock", "products"):
        execute(f"DELETE FROM {table}")
    many("INSERT INTO products VALUES (?, ?, ?)", list(projection.products.values()))
    many("INSERT INTO stock VALUES (?, ?, ?, ?)", [(sku, *level) for sku, level in projection.levels.items()])
    for held in projection.reservations.values():
        expires_us = parse_time(held.expires_at)
        ended_us = parse_time(held.ended_at) if held.ended_at else None
        execute(
            "INSERT INTO reservations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(held.reservation, held.status, held.order, held.clerk),
                *(parse_time(held.created_at), expires_us, ended_us),
                *(firsts[held.reservation], held.seq),
            ),
        )
        due_us = expires_us if held.pending else None
        many(
            "INSERT INTO reservation_lines VALUES (?, ?, ?, ?, ?, ?)",
            [(held.reservation, *entry, due_us) for entry in held.lines],
        )
    many("INSERT INTO thresholds VALUES (?, ?, ?)", [(sku, *each) for sku, each in projection.thresholds.items()])
    many("INSERT INTO barcodes VALUES (?, ?)", list(projection.barcodes.items()))
    many("INSERT INTO recounts VALUES (?, ?)", list(projection.recounts.items()))


def _reappend(write: Write, epoch: int, own: list[tuple[int, bytes]]) -> tuple[int, int]:
    """Append the ledger's own events anew. Returns how many, and how many of those no longer fit."""
    reappended = misfits = 0
    for seq, body in own:
        event = events.parse(body)
        known = first(write.connection, "SELECT 1 FROM events WHERE id = ?", (event.id,))
        # That an item is low follows from the events that come anew: it is said anew where it is so.
        if known or event.type == events.STOCK_LOW or event.type.startswith(events.LEDGER_PREFIX):
            continue
        reappended += 1
        misfits += not reappend(write, Own(seq, epoch, event))
        if event.request_id:
            write.connection.execute(
                "INSERT OR IGNORE INTO requests VALUES (?, ?, ?, ?, NULL)",
                (event.request_id, event.request_hash, write.now_us, write.head.seq),
            )
    return reappended, misfits


def _statements(script: str) -> list[str]:
    return [f"CREATE TRIGGER{part}" for part in script.split("CREATE TRIGGER")[1:]]

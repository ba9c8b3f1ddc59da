"""Stores that lost history: who asks to rejoin, what an operator says to that, and what they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, delete, func, select

from central import tables
from central.database import now_us
from central.statements import ForRows, Query, insert_into
from central.stores import known_stores
from invctl.errors import InvalidValueError, NotFoundError, WrongStateError
from invctl.model.chain import GENESIS
from invctl.sync.cursor import Page
from invctl.sync.frames import BATCH_BYTES_MAX, BATCH_EVENTS_MAX

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection

    from central.statements import Insert
    from invctl.sync.cursor import Heard, Lost

ASKING_MAX = 8
"""Of one store: whoever forges boots shall not fill the table."""
_asking, _archived, _rejoin = tables.asking.c, tables.archive.c, tables.rejoins.c


def _ask(dialect: str) -> Insert:
    statement = insert_into(dialect, tables.asking)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["store", "boot"], set_={"held_seq": new.held_seq, "heard_us": new.heard_us}
    )


def _note_copies(dialect: str) -> Insert:
    statement = insert_into(dialect, tables.rejoins)
    first_us = func.coalesce(_rejoin.copies_us, statement.excluded.copies_us)
    return statement.on_conflict_do_update(index_elements=["store"], set_={"copies_us": first_us})


def _readmit(dialect: str) -> Insert:
    statement = insert_into(dialect, tables.rejoins)
    return statement.on_conflict_do_update(index_elements=["store"], set_={"readmitted": statement.excluded.readmitted})


_ASK = ForRows(("store", "boot", "held_seq", "since_us", "heard_us"), _ask)
_NOTE_COPIES = ForRows(("store", "copies_us"), _note_copies)
_READMIT = ForRows(("store", "readmitted"), _readmit)
_ASKERS = Query(
    select(_asking.boot, _asking.held_seq, _asking.since_us, _asking.heard_us)
    .where(_asking.store == bindparam("of_store"))
    .order_by(_asking.heard_us.desc(), _asking.boot)
)
_PAGE = Query(
    select(_archived.body, _archived.hash)
    .where(_archived.store == bindparam("of_store"), _archived.seq > bindparam("after_seq"))
    .order_by(_archived.seq)
    .limit(bindparam("events_max"))
)
_HASH = Query(
    select(_archived.hash).where(_archived.store == bindparam("of_store"), _archived.seq == bindparam("at_seq"))
)


class Asker(NamedTuple):
    """A run of a store's daemon that asks to rejoin. Instants by the database's clock, in microseconds."""

    boot: str
    held_seq: int
    since_us: int
    heard_us: int


def note_asking(connection: Connection, heard: Sequence[Heard]) -> None:
    """Keep which daemons ask to rejoin. Of each store at most ASKING_MAX, the last that were heard."""
    known = known_stores(connection, [each.store for each in heard])
    rows = [
        (each.store, each.boot, each.held_seq, each.at_us, each.at_us)
        for each in heard
        if each.held_seq is not None and each.store in known
    ]
    if not rows:
        return
    _ASK.run(connection, rows)
    for store in {row[0] for row in rows}:
        kept = [asker.boot for asker in asking(connection, store)][:ASKING_MAX]
        connection.execute(delete(tables.asking).where(_asking.store == store, _asking.boot.not_in(kept)))


def note_copies(connection: Connection, stores: Collection[str]) -> None:
    """Keep that two daemons of each of these stores were seen to live at once."""
    known = known_stores(connection, stores)
    _NOTE_COPIES.run(connection, [(store, now_us(connection)) for store in sorted(known)])


def settle(connection: Connection, stores: Collection[str]) -> None:
    """Note that these stores have rejoined: what was asked and said before that is done."""
    if stores:
        for table in (tables.asking, tables.rejoins):
            connection.execute(delete(table).where(table.c.store.in_(stores)))


def asking(connection: Connection, store: str) -> list[Asker]:
    """Return which daemons of a store ask to rejoin, the last heard first."""
    return [Asker(*row) for row in _ASKERS.rows(connection, of_store=store)]


def readmit(connection: Connection, store: str, boot: str = "") -> Asker:
    """Let one daemon of a store rejoin, though others may live: theirs will not fit any more.

    `boot` is the beginning of its name, and may be empty where one alone asks. Raises NotFoundError where there is no
    such store or daemon, WrongStateError where none asks, and InvalidValueError where several are meant.
    """
    if not known_stores(connection, [store]):
        raise NotFoundError(f"there is no store {store}", hint="invcentral stores list", store=store)
    askers = asking(connection, store)
    if not askers:
        hint = "a daemon asks by itself within seconds, once its ledger is seen to lack what head office has"
        raise WrongStateError(f"no daemon of {store} asks to rejoin", hint=hint, store=store)
    found = [asker for asker in askers if asker.boot.startswith(boot)]
    names = ", ".join(asker.boot for asker in askers)
    if not found:
        raise NotFoundError(f"no daemon {boot} of {store} asks to rejoin", hint=f"{names} does", store=store)
    if len(found) > 1:
        raise InvalidValueError(f"{len(found)} daemons of {store} ask to rejoin", hint=f"--boot, one of {names}")
    _READMIT.run(connection, [(store, found[0].boot)])
    return found[0]


def read_page(connection: Connection, lost: Lost) -> Page:
    """Return what the archive has after the event that a store holds; from the start where it is not known here."""
    after_seq, prev_hash = lost.held_seq, lost.held_hash
    if after_seq == 0 or _hash_at(connection, lost.store, after_seq) != prev_hash:
        after_seq, prev_hash = 0, GENESIS
    bodies: list[bytes] = []
    last_hash, size = prev_hash, 0
    for body, hash_ in _PAGE.rows(connection, of_store=lost.store, after_seq=after_seq, events_max=BATCH_EVENTS_MAX):
        size += len(body)
        if bodies and size > BATCH_BYTES_MAX:
            break
        bodies.append(bytes(body))
        last_hash = bytes(hash_)
    return Page(after_seq + 1, prev_hash, bodies, last_hash)


def copies_us(connection: Connection, store: str) -> int | None:
    """Return when two daemons of a store were seen to live at once, None where that is not known, or settled."""
    query = select(tables.rejoins.c.copies_us).where(tables.rejoins.c.store == store)
    return connection.execute(query).scalar_one_or_none()


def _hash_at(connection: Connection, store: str, seq: int) -> bytes | None:
    found = _HASH.first(connection, of_store=store, at_seq=seq)
    return None if found is None else bytes(found[0])

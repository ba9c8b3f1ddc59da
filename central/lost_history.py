"""Stores that lost history: who asks to rejoin, what an operator says to that, and what they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, func, select

from central import tables
from central.bulk import insert_into
from central.database import now_us
from invctl.errors import InvalidValueError, NotFoundError, WrongStateError
from invctl.model.chain import GENESIS
from invctl.sync.cursor import Page
from invctl.sync.frames import BATCH_BYTES_MAX, BATCH_EVENTS_MAX

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection

    from invctl.sync.cursor import Heard, Lost

ASKING_MAX = 8
"""Of one store: whoever forges boots shall not fill the table."""
_asking, _archived, _store = tables.asking.c, tables.archive.c, tables.stores.c


class Asker(NamedTuple):
    """A run of a store's daemon that asks to rejoin. Instants by the database's clock, in microseconds."""

    boot: str
    held_seq: int
    since_us: int
    heard_us: int


def note_asking(connection: Connection, heard: Sequence[Heard]) -> None:
    """Keep which daemons ask to rejoin. Of each store at most ASKING_MAX, the last that were heard."""
    known = _known(connection, [each.store for each in heard])
    rows = [
        {
            "store": each.store,
            "boot": each.boot,
            "held_seq": each.held_seq,
            "since_us": each.at_us,
            "heard_us": each.at_us,
        }
        for each in heard
        if each.held_seq is not None and each.store in known
    ]
    if not rows:
        return
    statement = insert_into(connection.dialect.name, tables.asking)
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["store", "boot"], set_={"held_seq": new.held_seq, "heard_us": new.heard_us}
        ),
        rows,
    )
    for store in {row["store"] for row in rows}:
        kept = [asker.boot for asker in asking(connection, str(store))][:ASKING_MAX]
        connection.execute(delete(tables.asking).where(_asking.store == store, _asking.boot.not_in(kept)))


def note_copies(connection: Connection, stores: Collection[str]) -> None:
    """Keep that two daemons of each of these stores were seen to live at once."""
    known = _known(connection, stores)
    _note(connection, [{"store": store, "copies_us": now_us(connection)} for store in sorted(known)])


def settle(connection: Connection, stores: Collection[str]) -> None:
    """Note that these stores have rejoined: what was asked and said before that is done."""
    if stores:
        for table in (tables.asking, tables.rejoins):
            connection.execute(delete(table).where(table.c.store.in_(stores)))


def asking(connection: Connection, store: str) -> list[Asker]:
    """Return which daemons of a store ask to rejoin, the last heard first."""
    query = select(_asking.boot, _asking.held_seq, _asking.since_us, _asking.heard_us)
    found = connection.execute(query.where(_asking.store == store).order_by(_asking.heard_us.desc(), _asking.boot))
    return [Asker(*row) for row in found]


def readmit(connection: Connection, store: str, boot: str = "") -> Asker:
    """Let one daemon of a store rejoin, though others may live: theirs will not fit any more.

    `boot` is the beginning of its name, and may be empty where one alone asks. Raises NotFoundError where there is no
    such store or daemon, WrongStateError where none asks, and InvalidValueError where several are meant.
    """
    if connection.execute(select(func.count()).where(_store.store == store)).scalar_one() == 0:
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
    _note(connection, [{"store": store, "readmitted": found[0].boot}])
    return found[0]


def read_page(connection: Connection, lost: Lost) -> Page:
    """Return what the archive has after the event that a store holds; from the start where it is not known here."""
    after_seq, prev_hash = lost.held_seq, lost.held_hash
    if after_seq == 0 or _hash_at(connection, lost.store, after_seq) != prev_hash:
        after_seq, prev_hash = 0, GENESIS
    query = select(_archived.body, _archived.hash).where(_archived.store == lost.store, _archived.seq > after_seq)
    bodies: list[bytes] = []
    last_hash, size = prev_hash, 0
    for body, hash_ in connection.execute(query.order_by(_archived.seq).limit(BATCH_EVENTS_MAX)):
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


def _known(connection: Connection, stores: Collection[str]) -> set[str]:
    """Return which of these stores the database has: one may have been taken off the list, or not be on it yet."""
    if not stores:
        return set()
    return set(connection.execute(select(_store.store).where(_store.store.in_(stores))).scalars())


def _note(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Note one more thing of stores that are to rejoin."""
    if not rows:
        return
    (name,) = rows[0].keys() - {"store"}
    statement = insert_into(connection.dialect.name, tables.rejoins)
    known = func.coalesce(tables.rejoins.c[name], statement.excluded[name])
    value = known if name == "copies_us" else statement.excluded[name]
    connection.execute(statement.on_conflict_do_update(index_elements=["store"], set_={name: value}), rows)


def _hash_at(connection: Connection, store: str, seq: int) -> bytes | None:
    query = select(_archived.hash).where(_archived.store == store, _archived.seq == seq)
    return connection.execute(query).scalar_one_or_none()

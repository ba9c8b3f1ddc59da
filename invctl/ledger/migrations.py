"""The ledger's schema, as numbered steps. A step and its number are committed together.

The event table is at once audit trail, movement history and outbox. `movements`, `stock`, `reservations` and
`products` are projections of it, written in the same transaction; `invctl verify` works them out again.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import apsw

from invctl.errors import RefusedError
from invctl.language import _
from invctl.ledger import disk

_FIRST = """
CREATE TABLE ledger (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    store TEXT NOT NULL,
    name TEXT NOT NULL,
    currency TEXT NOT NULL,
    timezone TEXT NOT NULL,
    epoch INTEGER NOT NULL CHECK (epoch >= 1)
) STRICT;

-- What the daemon last learnt of central. A hint: the next answer may lower acked_seq.
CREATE TABLE link (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    acked_seq INTEGER NOT NULL CHECK (acked_seq >= 0),
    acked_us INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    suspects INTEGER NOT NULL
) STRICT;
INSERT INTO link VALUES (1, 0, 0, 'unknown', '', 0);

CREATE TABLE events (
    seq INTEGER PRIMARY KEY CHECK (seq >= 1),
    id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    body BLOB NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TABLE products (
    sku TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    price INTEGER CHECK (price >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE stock (
    sku TEXT PRIMARY KEY REFERENCES products (sku),
    on_hand INTEGER NOT NULL CHECK (on_hand >= 0),
    reserved INTEGER NOT NULL CHECK (reserved >= 0 AND reserved <= on_hand),
    version INTEGER NOT NULL CHECK (version >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE movements (
    sku TEXT NOT NULL REFERENCES products (sku),
    seq INTEGER NOT NULL REFERENCES events (seq),
    on_hand_change INTEGER NOT NULL,
    reserved_change INTEGER NOT NULL,
    on_hand INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (sku, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE reservations (
    reservation TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('pending', 'confirmed', 'cancelled', 'expired')),
    order_reference TEXT NOT NULL,
    clerk TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    ended_us INTEGER,
    first_seq INTEGER NOT NULL REFERENCES events (seq),
    last_seq INTEGER NOT NULL REFERENCES events (seq),
    CHECK ((status = 'pending') = (ended_us IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX reservations_pending ON reservations (expires_us) WHERE status = 'pending';

-- due_us is set while a line holds stock: what is due for a SKU is found without the reservations that ended.
CREATE TABLE reservation_lines (
    reservation TEXT NOT NULL REFERENCES reservations (reservation),
    sku TEXT NOT NULL REFERENCES products (sku),
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    confirmed INTEGER NOT NULL CHECK (confirmed >= 0),
    released INTEGER NOT NULL CHECK (released >= 0),
    due_us INTEGER,
    PRIMARY KEY (reservation, sku),
    CHECK (confirmed + released = CASE WHEN due_us IS NULL THEN quantity ELSE 0 END)
) STRICT, WITHOUT ROWID;
CREATE INDEX reservation_lines_open ON reservation_lines (sku, due_us) WHERE due_us IS NOT NULL;

-- What was decided under a request id: the event that came of it, or the refusal.
CREATE TABLE requests (
    id TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    seq INTEGER REFERENCES events (seq),
    refusal TEXT,
    CHECK ((seq IS NULL) <> (refusal IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_by_age ON requests (at_us);
"""

GUARDS = """
CREATE TRIGGER events_keep_update BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are never edited'); END;
CREATE TRIGGER events_keep_delete BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
CREATE TRIGGER movements_keep_update BEFORE UPDATE ON movements
BEGIN SELECT RAISE(ABORT, 'movements are never edited'); END;
CREATE TRIGGER movements_keep_delete BEFORE DELETE ON movements
BEGIN SELECT RAISE(ABORT, 'movements are never deleted'); END;
"""
"""What keeps events and movements as they were written. `rebase` alone takes them away, within its transaction."""

GUARD_NAMES = ("events_keep_update", "events_keep_delete", "movements_keep_update", "movements_keep_delete")

# Why nothing may be written now, empty where it may; what a lost history needs while it is fetched, and leaves.
_LOST_HISTORY = """
ALTER TABLE link ADD COLUMN frozen TEXT NOT NULL DEFAULT '';

-- Events of ours that head office has, and this ledger lost, until all of them are here.
CREATE TABLE incoming (
    seq INTEGER PRIMARY KEY CHECK (seq >= 1),
    body BLOB NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- This ledger's own events that head office never had, as they were before they were appended anew.
CREATE TABLE set_aside (
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    body BLOB NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (epoch, seq)
) STRICT, WITHOUT ROWID;

-- What is to be counted: SKUs that events appended anew have touched, since the first of those.
CREATE TABLE recounts (
    sku TEXT PRIMARY KEY REFERENCES products (sku),
    seq INTEGER NOT NULL REFERENCES events (seq)
) STRICT, WITHOUT ROWID;
"""

# What else an item is called by, and what was counted on the shelves and is not posted yet.
_COUNTER = """
CREATE TABLE barcodes (
    barcode TEXT PRIMARY KEY,
    sku TEXT NOT NULL REFERENCES products (sku)
) STRICT, WITHOUT ROWID;
CREATE INDEX barcodes_of ON barcodes (sku);

-- At which level an item is to be ordered anew (0: never), and what of it is not promised elsewhere.
CREATE TABLE thresholds (
    sku TEXT PRIMARY KEY REFERENCES products (sku),
    reorder_point INTEGER NOT NULL CHECK (reorder_point >= 0),
    safety_stock INTEGER NOT NULL CHECK (safety_stock >= 0)
) STRICT, WITHOUT ROWID;

-- The one count that is under way. `epoch` is the ledger's as it began: seqs of another are other events.
CREATE TABLE counting (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    started_us INTEGER NOT NULL,
    clerk TEXT NOT NULL,
    note TEXT NOT NULL,
    epoch INTEGER NOT NULL
) STRICT;

-- What was seen on the shelf of an item after event `seq`. Sales that follow do not make it wrong.
CREATE TABLE counted (
    sku TEXT PRIMARY KEY,
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    seq INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    clerk TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""

STEPS = (_FIRST + GUARDS, _LOST_HISTORY, _COUNTER)
NEWEST = len(STEPS)
# What no program will ever write.
_NO_FORMAT = 10_000


def migrate(connection: apsw.Connection) -> None:
    """Bring a ledger up to date. Raises RefusedError where it is newer than this program."""
    if version_of(connection) == NEWEST:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Read again inside: another process may have migrated meanwhile.
        for number in range(version_of(connection), NEWEST):
            _run(connection, STEPS[number])
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def version_of(connection: apsw.Connection) -> int:
    """Return the number of the last step that a ledger has. Raises RefusedError where this program has fewer."""
    version = int(connection.pragma("user_version"))
    if not 0 <= version < _NO_FORMAT:
        raise disk.damaged(
            Path(connection.filename), _("its header says that it has format {version}", version=version)
        )
    if version > NEWEST:
        raise RefusedError(
            _(
                "the ledger has format {version}, this program knows {newest} at the most",
                version=version,
                newest=NEWEST,
            ),
            hint=_("a newer invctl has been at work here: install that version again"),
        )
    return version


def refuse_foreign(connection: apsw.Connection) -> None:
    """Raise RefusedError where the file holds another program's database."""
    (ours,) = connection.execute("SELECT max(name = 'ledger') FROM sqlite_schema").fetchall()[0]
    if ours == 0:
        raise RefusedError(_("the file holds another database"), hint=_("use another --home"))


def schema_differences(connection: apsw.Connection) -> list[str]:
    """Name what is missing in the file's schema, differs or does not belong there: a table, an index, a guard."""
    with closing(apsw.Connection(":memory:")) as fresh:
        for step in STEPS:
            _run(fresh, step)
        odd = _schema(connection) ^ _schema(fresh)
    return sorted({f"{type_} {name}" for type_, name, *_rest in odd})


def _schema(connection: apsw.Connection) -> set[Any]:
    # What begins with sqlite_ is SQLite's own, such as the statistics of ANALYZE.
    wanted = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite@_%' ESCAPE '@'"
    return set(connection.execute(wanted))


def _run(connection: apsw.Connection, step: str) -> None:
    # apsw runs a string of statements only up to the first that returns a row: exhaust it.
    for _row in connection.execute(step):
        pass

"""A small chain with real databases, carried to head office without a bus."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from central.apply import apply_intakes
from central.cursors import load_cursor
from central.database import open_database, writing
from central.fence import mint
from central.migrations import migrate
from central.shards import found
from central.stores import register_newcomers
from invctl.ledger import adjustments, reservations
from invctl.ledger.ledger import Ledger
from invctl.ledger.outbox import LedgerOutbox
from invctl.model.chain import links
from invctl.sync.cursor import Heard, Intake
from scripts.chain.catalogue import catalogue
from scripts.chain.folder import ChainFolder
from scripts.seed import seed_store

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from invctl.clock import ManualClock


def traded_chain(folder: Path, clock: ManualClock) -> ChainFolder:
    """Two stores that traded, and head office with everything of them."""
    chain = ChainFolder(folder)
    for wanted in catalogue(stores=2):
        home = chain.home(wanted.store)
        seed_store(home, wanted)
        with Ledger.open(home, chance=Random(1)) as ledger:
            opened = reservations.reserve(ledger, {"MOUSE-001": 2, "LAPTOP-001": 1}, order="A-1")
            reservations.confirm(ledger, opened.event.subject, {"MOUSE-001": 1})
            reservations.reserve(ledger, {"MOUSE-001": 1})
            adjustments.adjust(ledger, {"KEYBOARD-001": 5}, "received")
    chain.central.mkdir()
    engine = open_database(chain.central_database, clock=clock, create=True)
    migrate(engine)
    with writing(engine) as connection:
        found(connection)
        connection.commit()
    carry(chain, engine)
    engine.dispose()
    return chain


def carry(chain: ChainFolder, engine: Engine) -> None:
    """Apply at head office whatever it does not have yet."""
    with writing(engine) as connection:
        fence = mint(connection, 0, "test", Random(2))
        connection.commit()
    for home in chain.homes():
        with Ledger.open(home) as ledger:
            outbox = LedgerOutbox(ledger)
            head = outbox.head()
            heard = Heard(outbox.store, "boot", 1, head.seq, head.hash, outbox.first_hash, 0)
            with writing(engine) as connection:
                register_newcomers(connection, [heard], admit_any=True)
                cursor = load_cursor(connection, outbox.store)
                connection.commit()
            assert cursor
            run = outbox.read(cursor.applied_seq, 1_000_000, 1 << 30)
            hashes = links(run.prev_hash, cursor.applied_seq + 1, run.bodies)
            intake = Intake(outbox.store, cursor.applied_seq, cursor.applied_hash, run.bodies, hashes)
            if run.bodies:
                apply_intakes(engine, 0, fence, [intake], heard=[heard])

"""A process that works on a ledger: what the tests of several processes start.

`python -m tests.integration.ledger.worker WHAT HOME [ARGUMENT...]` says "ready" and waits for a line, then works.
What it says is JSON, one value a line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from select import select
from typing import Any

from invctl.errors import BusyError, InventoryError, NotEnoughStockError
from invctl.ledger import database, migrations, reads, reservations
from invctl.ledger.ledger import FILE, Ledger


def say(value: Any) -> None:
    """Say it at once, whatever happens next."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def race(home: Path) -> None:
    """Reserve unit after unit until there is none left."""
    counts = {"accepted": 0, "refused": 0, "busy": 0}
    with Ledger.open(home) as ledger:
        say("ready")
        sys.stdin.readline()
        while not counts["refused"]:
            try:
                reservations.reserve(ledger, {"MOUSE": 1})
                counts["accepted"] += 1
            except NotEnoughStockError:
                counts["refused"] += 1
            except BusyError:
                counts["busy"] += 1
    say(counts)


def take_turns(home: Path) -> None:
    """Write until told to stop. Says the seq of the first event, and in the end of all of them."""
    seqs: list[int] = []
    with Ledger.open(home) as ledger:
        say("ready")
        sys.stdin.readline()
        while not select([sys.stdin], [], [], 0.0)[0]:
            seqs.append(reservations.reserve(ledger, {"MOUSE": 1}).seq)
            if len(seqs) == 1:
                say(seqs[0])
    say(seqs)


def trade(home: Path) -> None:
    """Reserve, confirm, and reserve and cancel, for ever; each is said once it is confirmed."""
    with Ledger.open(home) as ledger:
        say("ready")
        sys.stdin.readline()
        while True:
            for end in (reservations.confirm, reservations.cancel):
                opened = reservations.reserve(ledger, {"MOUSE": 2, "LAPTOP": 1})
                say([opened.seq, opened.body.decode()])
                ended = end(ledger, str(opened.event.data["reservation"]))
                say([ended.seq, ended.body.decode()])


def stay(home: Path) -> None:
    """Go into the ledger and stay there until told to leave."""
    with Ledger.open(home) as ledger, ledger.write():
        say("inside")
        sys.stdin.readline()


def stand(home: Path) -> None:
    """Stand in the queue, for as long as it takes."""
    with Ledger.open(home, queue_timeout_s=100.0) as ledger:
        say("ready")
        say(reservations.reserve(ledger, {"MOUSE": 1}).seq)


def look(home: Path) -> None:
    """Have the ledger open until told to leave."""
    with Ledger.open(home) as ledger:
        say(reads.head_seq(ledger))
        sys.stdin.readline()


def create(home: Path, store: str) -> None:
    """Open a new ledger."""
    say("ready")
    sys.stdin.readline()
    try:
        Ledger.create(home, store).close()
        say("done")
    except InventoryError as error:
        say([error.code, error.message])


def migrate(home: Path) -> None:
    """Bring an empty file up to date."""
    connection = database.connect(home / FILE, create=True)
    say("ready")
    sys.stdin.readline()
    migrations.migrate(connection)
    say(migrations.version_of(connection))


if __name__ == "__main__":
    {work.__name__: work for work in (race, take_turns, trade, stay, stand, look, create, migrate)}[sys.argv[1]](
        Path(sys.argv[2]), *sys.argv[3:]
    )

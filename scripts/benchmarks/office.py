"""At head office: what an event costs with many stores, and what a store costs that says nothing."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from central.database import open_database, writing
from central.fence import mint
from central.latency import Latencies
from central.migrations import migrate
from central.shard_server import Frame, ShardServer
from central.shards import found
from invctl.clock import SystemClock
from invctl.ledger.ledger import Ledger
from invctl.ledger.outbox import LedgerOutbox
from invctl.sync import frames
from scripts.benchmarks import ledgers
from scripts.benchmarks.figure import Benchmark, Goal, batches, figure_of, take_turns
from scripts.chain.folder import ChainFolder
from scripts.chain.runner import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.benchmarks.figure import Figure, Lab

MANY, FEW = 1000, 10
EVENTS_A_FRAME = 20
_FRAMES_A_ROUND = 10
_UPKEEP_EVERY = 50
"""Rounds: of a busy head office, about as many as there are in a second."""


def growth(lab: Lab) -> list[Figure]:
    """Measure the processor time of an event at head office, with many stores and with few."""
    many, few = lab.amount(MANY, 20), min(FEW, lab.amount(MANY, 20))
    lab.step(f"growth, opening {many} stores")
    folders = {stores: ChainFolder(lab.room("growth")) for stores in (many, few)}
    for stores, folder in folders.items():
        events = EVENTS_A_FRAME * (many // stores)
        for number in range(stores):
            home = folder.home(f"store-{number:04d}")
            with ledgers.opened(home, home.name, 2) as ledger:
                ledgers.hasten(ledger)
                ledgers.trade(ledger, events, [ledgers.sku_of(0), ledgers.sku_of(1)])
    memory_kb: dict[int, list[int]] = {many: [], few: []}

    def of(stores: int) -> Callable[[], float]:
        def once() -> float:
            command = [sys.executable, "-P", "-m", __name__, str(folders[stores].path), str(lab.room("growth"))]
            done = subprocess.run(
                command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, check=True
            )
            said = json.loads(done.stdout)
            memory_kb[stores].append(said["memory_kb"])
            return float(said["us_per_event"])

        return once

    rounds = take_turns(lab.rounds(3), of(many), of(few), lab.step, "growth")
    more_kb = (min(memory_kb[many]) - min(memory_kb[few])) / (many - few) if many > few else 0.0
    beside = {"stores": many, "reference_stores": few, "memory_kb_per_idle_store": round(more_kb, 1)}
    return [figure_of("growth", rounds, unit="us/event", better="lower", goal=Goal(ratio=1.2), beside=beside)]


def _main(chain: ChainFolder, folder: Path) -> None:
    """Take in all events of these ledgers, frame by frame, and print what it cost, and the memory at the end."""
    clock, chance = SystemClock(), random.SystemRandom()
    engine = open_database(f"sqlite:///{folder / 'central.db'}", clock=clock, create=True)
    migrate(engine)
    with writing(engine) as connection:
        found(connection)
        fence = mint(connection, 0, "bench", chance)
        connection.commit()
    silent = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(50))
    server = ShardServer(
        engine, 0, fence, admit_any=True, latencies=Latencies(), clock=clock, chance=chance, log=silent
    )
    server.open()
    opening: list[Frame] = []
    waiting: list[Frame] = []
    for home in chain.homes():
        hello, first, *rest = _frames_of(home)
        server.round([hello])
        opening.append(first)
        waiting += rest
    # They are registered, not at once, and their opening is applied.
    server.upkeep()
    server.round(opening)
    # Each store's frames stay in their order; neighbours are of different stores.
    per_store = len(waiting) // len(chain.homes())
    mixed = [waiting[place + start] for start in range(per_store) for place in range(0, len(waiting), per_store)]
    began_s, applied = time.process_time(), _position(server)
    for number, some in enumerate(batches(len(mixed), _FRAMES_A_ROUND)):
        server.round([mixed[place] for place in some])
        if number % _UPKEEP_EVERY == 0:
            server.upkeep()
    took_s = time.process_time() - began_s
    events = _position(server) - applied
    if events != len(mixed) * EVENTS_A_FRAME:
        raise AssertionError(f"{events} of {len(mixed) * EVENTS_A_FRAME} events were applied")
    memory_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"us_per_event": took_s / events * 1_000_000, "memory_kb": memory_kb}))


def _position(server: ShardServer) -> int:
    return server.counts["events"]


def _frames_of(home: Path) -> list[Frame]:
    """Return a store's first word, what opened it, and then its events in frames of one size."""
    with Ledger.open(home) as ledger:
        outbox = LedgerOutbox(ledger)
        store, head, first_hash = outbox.store, outbox.head(), outbox.first_hash
        hello = frames.Hello(store, 1, "b" * 8, 1, "", head.seq, head.hash, 0, first_hash)
        sent = [Frame(store, frames.encode(hello))]
        after = 0
        while after < head.seq:
            size = head.seq % EVENTS_A_FRAME or EVENTS_A_FRAME if after == 0 else EVENTS_A_FRAME
            run = outbox.read(after, size, frames.BATCH_BYTES_MAX)
            frame = frames.Events(
                *(store, 1, "b" * 8, len(sent) + 1, "", head.seq, head.hash, after + 1),
                *(run.prev_hash, run.last_hash, run.bodies),
            )
            sent.append(Frame(store, frames.encode(frame)))
            after += len(run.bodies)
    return sent


BENCHMARKS = (
    Benchmark(
        "growth",
        f"processor time of an event at head office with {MANY} stores",
        f"the same with {FEW} stores",
        growth,
    ),
)

if __name__ == "__main__":
    _main(ChainFolder(Path(sys.argv[1])), Path(sys.argv[2]))

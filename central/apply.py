"""Apply what the stores sent: one transaction for all stores of a shard, in bulk statements.

The shard's row is locked first, and cursors and levels are read after that in the same transaction. So a level's
version is compared and set at once, whoever holds an older fence commits nothing, and PostgreSQL applies several shards
at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from central import agreement, facts
from central.advance import CursorMovedError, bind_stores, check_cursors, move_cursors, note_fresh
from central.archive import archive_runs, levels_in_archive
from central.cursors import note_heard, note_other_ledgers
from central.database import now_us, writing
from central.fence import lock_and_check
from central.lost_history import note_asking, note_copies, settle
from central.rows import keys_of, load, save

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection, Engine

    from central.agreement import Agreement
    from central.doubt import Doubt
    from central.facts import Facts
    from central.state import Drift
    from invctl.sync.cursor import Heard, Intake

__all__ = ["Applied", "CursorMovedError", "apply_intakes"]


class Applied(NamedTuple):
    """What was committed for one store. `epoch` and `suspects` (SKUs in doubt now) are for `Receiver.committed`.

    `rejoined` says that the store came back, with this, from a history that it had lost.
    `positions` are those of its first and last event in the shard's stream, `applied_us` the moment by the
    database's clock. `agreement` is what its last checkpoint showed, None where none was compared.
    """

    store: str
    epoch: int
    rejoined: bool
    suspects: int
    last_seq: int
    events: int
    positions: tuple[int, int]
    applied_us: int
    doubts: tuple[Doubt, ...]
    drifts: tuple[Drift, ...]
    times_us: tuple[int, ...]
    """The events' own times, by the store's clock, of those that can be read."""
    agreement: Agreement | None = None


def apply_intakes(
    engine: Engine,
    shard: int,
    fence: str,
    intakes: Sequence[Intake],
    *,
    heard: Sequence[Heard] = (),
    fresh: Mapping[str, int] | None = None,
    other_ledgers: Mapping[str, int] | None = None,
    asking: Sequence[Heard] = (),
    copies: Collection[str] = (),
) -> list[Applied]:
    """Archive and apply all these events, and move the cursors, in one transaction; return one Applied an intake.

    Args:
        engine: central's database.
        shard: the shard of all these stores.
        fence: the token that this central minted for it.
        intakes: at most one for each store, as `Receiver.take` returns them.
        heard: what stores last said of themselves. Noted also where there are no intakes.
        fresh: for each store, the moment up to which its numbers are proved complete.
        other_ledgers: for each store under whose id another ledger was refused, when that was last.
        asking: what daemons said of themselves that ask to rejoin.
        copies: the stores of which two daemons were seen to live at once.

    Raises:
        FenceLostError: another central holds the shard. Nothing was committed.
        CursorMovedError: a store's cursor is not at its intake's `prev_seq` and `prev_hash`, the store is not
            admitted, or it is bound to another ledger. Nothing was committed.
        BusyError, UnreachableError: the database fails for a passing reason. Nothing was committed; after an
            UnreachableError from the commit itself it may have been, and the next try says CursorMovedError.

    """
    runs = {
        intake.store: [facts.read(seq, body) for seq, body in enumerate(intake.bodies, intake.first_seq)]
        for intake in intakes
    }
    with writing(engine) as connection:
        position = lock_and_check(connection, shard, fence)
        applied = _apply(connection, shard, position, intakes, runs, heard) if intakes else []
        if heard:
            note_heard(connection, heard)
        if fresh:
            note_fresh(connection, fresh)
        if other_ledgers:
            note_other_ledgers(connection, other_ledgers)
        note_asking(connection, asking)
        note_copies(connection, copies)
        connection.commit()
    return applied


def _apply(
    connection: Connection,
    shard: int,
    position: int,
    intakes: Sequence[Intake],
    runs: Mapping[str, list[Facts]],
    heard: Sequence[Heard],
) -> list[Applied]:
    states = check_cursors(connection, shard, intakes)
    load(connection, states, {store: keys_of(run) for store, run in runs.items()})
    now = now_us(connection)
    compared = agreement.to_compare(intakes, runs, heard)
    agreements: dict[str, Agreement] = {}
    for intake in intakes:
        state, run = states[intake.store], runs[intake.store]
        if odd := state.misses(run):
            for sku, archived in levels_in_archive(connection, intake.store, odd).items():
                state.rebuild(sku, archived)
        for seq, item in enumerate(run, intake.first_seq):
            state.take(seq, item)
            due = compared.get(intake.store)
            if due and due[0] == seq:
                agreements[intake.store] = agreement.compare(connection, intake.store, state, *due)
    first_positions = archive_runs(connection, shard, position, intakes, runs, now)
    save(connection, states, now)
    bind_stores(connection, intakes, states, now)
    move_cursors(connection, intakes, states, now)
    settle(connection, [store for store, state in states.items() if state.rejoined])
    return [
        Applied(
            store=intake.store,
            epoch=states[intake.store].epoch,
            rejoined=states[intake.store].rejoined,
            suspects=states[intake.store].suspects_now,
            last_seq=intake.last_seq,
            events=len(intake.bodies),
            positions=(first, first + len(intake.bodies) - 1),
            applied_us=now,
            doubts=tuple(states[intake.store].marked.values()),
            drifts=tuple(states[intake.store].drifts),
            times_us=tuple([item.time_us for item in runs[intake.store] if item.time_us is not None]),
            agreement=agreements.get(intake.store),
        )
        for intake, first in zip(intakes, first_positions, strict=True)
    ]

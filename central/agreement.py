"""Compare a store's checkpoint with the levels here: what drifted is rebuilt, what the store disputes is suspect.

Equal hashes prove equal archives; this proves that both sides made the same levels of them. It reads all levels of the
store, once, within the transaction that applies the checkpoint, and what has to be compared with the archive is named
by the checkpoint's square (see `invctl.model.checkpoint`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from central import tables
from central.archive import Moved, last_moves
from invctl.model.checkpoint import Checkpoint, Tally
from invctl.model.stock import EMPTY, StockLevel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from central.facts import Facts
    from central.state import StoreState
    from invctl.model.checkpoint import Odd
    from invctl.sync.cursor import Heard, Intake

# A store that was long offline brings its checkpoints by the hundred; what they say, the last of them says as well.
BEHIND_MAX = 10_000
# Of all stores in one transaction, unless one alone has more: others wait for it. Their next checkpoint is compared.
SKUS_MAX = 200_000
# From one checkpoint. Where more differ, it is something else than their levels.
SUSPECTS_MAX = 1000
ROWS_FETCHED_MAX = 5000


class Agreement(NamedTuple):
    """What a checkpoint showed, of `skus` levels.

    `agreed` says that nothing had to be done. Otherwise `rebuilt` names what was not as the archive has it, and
    `differing` what the store states otherwise than its own events; `agrees` says whether all is well now. `cleared`
    counts the SKUs of which a doubt is settled.
    """

    seq: int
    skus: int
    agreed: bool
    agrees: bool
    rebuilt: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    cleared: int = 0


def to_compare(
    intakes: Sequence[Intake], runs: Mapping[str, Sequence[Facts]], heard: Sequence[Heard]
) -> dict[str, tuple[int, Checkpoint]]:
    """Return the checkpoints of these runs that are worth a look: by store, its last, with its seq."""
    heads = {each.store: each.head_seq for each in heard}
    found: dict[str, tuple[int, Checkpoint]] = {}
    room = SKUS_MAX
    for intake in intakes:
        stated = [
            (seq, each.stated)
            for seq, each in enumerate(runs[intake.store], intake.first_seq)
            if isinstance(each.stated, Checkpoint)
        ]
        if not stated:
            continue
        seq, last = stated[-1]
        if heads.get(intake.store, 0) - seq <= BEHIND_MAX and (last.skus <= room or not found):
            found[intake.store] = seq, last
            room -= last.skus
    return found


def compare(connection: Connection, store: str, state: StoreState, seq: int, stated: Checkpoint) -> Agreement:
    """Compare a checkpoint with the levels as of its event, which `state` has taken in; rebuild, doubt and confirm.

    `state` is changed, and is to be saved by the caller.
    """
    suspects = select(tables.suspects.c.sku).where(tables.suspects.c.store == store)
    state.suspects |= set(connection.execute(suspects).scalars()) - state.cleared
    before = len(state.suspects)
    summed = Tally()
    doubted: dict[str, StockLevel] = {}
    for sku, level in _levels(connection, store, state):
        summed.add(sku, level)
        if sku in state.suspects:
            doubted[sku] = level
    if summed.agrees(stated):
        _confirm(state, doubted, None)
        return Agreement(seq, stated.skus, agreed=True, agrees=True, cleared=before - len(state.suspects))
    odd = summed.odd(stated)
    candidates = _candidates(connection, store, state, odd)
    rebuilt = _rebuild(connection, store, state, seq, candidates, summed)
    agrees = summed.agrees(stated)
    still = None if agrees else summed.odd(stated)
    _confirm(state, {sku: state.levels.get(sku, level) for sku, level in doubted.items()}, still)
    differing = () if still is None else tuple(sorted(still.among(candidates)))[:SUSPECTS_MAX]
    cleared = before - len(state.suspects)
    for sku in differing:
        state.disagree(sku, candidates[sku], seq)
    return Agreement(
        seq, stated.skus, agreed=False, agrees=agrees, rebuilt=rebuilt, differing=differing, cleared=cleared
    )


def _levels(connection: Connection, store: str, state: StoreState) -> Iterator[tuple[str, StockLevel]]:
    """Yield all levels of a store as `state` leaves them, without holding them all."""
    table = tables.levels.c
    query = select(table.sku, table.on_hand, table.reserved, table.version).where(table.store == store)
    moved = dict(state.levels)
    with connection.execute(query.execution_options(yield_per=ROWS_FETCHED_MAX)) as rows:
        for sku, on_hand, reserved, version in rows:
            level = StockLevel(on_hand, reserved, version)
            yield sku, moved.pop(sku, level)
    yield from moved.items()


def _candidates(connection: Connection, store: str, state: StoreState, odd: Odd) -> dict[str, StockLevel | None]:
    """Return what may differ, with the levels here; None where there is none."""
    products = select(tables.products.c.sku).where(tables.products.c.store == store)
    found: dict[str, StockLevel | None] = dict.fromkeys(odd.among(connection.execute(products).scalars()))
    found |= {sku: level for sku, level in _levels(connection, store, state) if odd.has(sku)}
    return found


def _rebuild(
    connection: Connection,
    store: str,
    state: StoreState,
    seq: int,
    candidates: Mapping[str, StockLevel | None],
    summed: Tally,
) -> tuple[str, ...]:
    """Rebuild those candidates that are not as the archive has them, and return which. `summed` follows."""
    # What this run moved is as its events say.
    untouched = [sku for sku in candidates if sku not in state.level_seqs]
    moves = last_moves(connection, store, untouched)
    rebuilt = []
    for sku in sorted(untouched):
        had, archived = candidates[sku], moves.get(sku, Moved(EMPTY, seq))
        if (had or EMPTY) != archived.level:
            state.amend(sku, had, archived)
            summed.move(sku, had or EMPTY, archived.level)
            rebuilt.append(sku)
    return tuple(rebuilt)


def _confirm(state: StoreState, doubted: Mapping[str, StockLevel], odd: Odd | None) -> None:
    """Settle the doubts about levels of which the checkpoint shows that the store has the same."""
    for sku, level in doubted.items():
        if odd is None or not odd.has(sku):
            state.confirm(sku, level)

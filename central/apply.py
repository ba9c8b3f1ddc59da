"""Apply what the stores sent: one transaction for all of them, in bulk statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from invctl.errors import WrongStateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Engine

    from invctl.model.stock import StockLevel
    from invctl.sync.receiver import Heard, Intake


class CursorMovedError(WrongStateError):
    """The cursor of a store is not where it was believed to be; `details["store"]` names it."""

    code = "cursor_moved"


class Doubt(NamedTuple):
    """A SKU that became suspect, by which event, and why."""

    sku: str
    seq: int
    reason: str


class Drift(NamedTuple):
    """A version conflict: central's own row (`had`, None: none) was not what its archive says (`archived`).

    It was rebuilt from the archive in the same transaction. Worth an alert.
    """

    sku: str
    had: StockLevel | None
    archived: StockLevel


class Applied(NamedTuple):
    """What was committed for one store. `epoch` and `suspects` (SKUs in doubt now) are for `Receiver.committed`.

    `positions` are those of its first and last event in the shard's stream, `applied_us` the moment by the
    database's clock.
    """

    store: str
    epoch: int
    suspects: int
    last_seq: int
    events: int
    positions: tuple[int, int]
    applied_us: int
    doubts: tuple[Doubt, ...]
    drifts: tuple[Drift, ...]


def apply_intakes(
    engine: Engine,
    shard: int,
    fence: str,
    intakes: Sequence[Intake],
    *,
    heard: Sequence[Heard] = (),
    fresh: Mapping[str, int] | None = None,
) -> list[Applied]:
    """Archive and apply all these events, and move the cursors, in one transaction; return one Applied an intake.

    Args:
        engine: central's database.
        shard: the shard of all these stores.
        fence: the token that this central minted for it.
        intakes: at most one for each store, as `Receiver.take` returns them.
        heard: what stores last said of themselves. Noted also where there are no intakes.
        fresh: for each store, the moment up to which its numbers are proved complete. It never moves back.

    Raises:
        FenceLostError: another central holds the shard. Nothing was committed.
        CursorMovedError: a store's cursor is not at its intake's `prev_seq` and `prev_hash`, the store is not
            admitted, or it is bound to another ledger. Nothing was committed.
        BusyError, UnreachableError: the database fails for a passing reason. Nothing was committed; after an
            UnreachableError from the commit itself it may have been, and the next try says CursorMovedError.

    """
    raise NotImplementedError

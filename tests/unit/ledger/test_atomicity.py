"""An operation that is cut off between any two of its statements has not happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from invctl.errors import NotEnoughStockError, NotFoundError, RefusedError, WrongStateError
from invctl.ledger import adjustments, products, reservations, seeding
from invctl.ledger.ledger import FILE, Ledger
from invctl.ledger.seeding import SeedProduct
from invctl.ledger.writing import Move, Origin, Receipt, Write
from invctl.model import events
from tests.unit.ledger.support import HOLD_S, CutError, Scissors, assert_sound, hold, new_ledger, tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import apsw

    from invctl.clock import ManualClock

pytestmark = pytest.mark.fault_tolerance

ONCE = Origin(clerk="ann", request_id="till-3:0001")


def refused(error: type[Exception], operation: Callable[[], Any]) -> None:
    with pytest.raises(error):
        operation()


OPERATIONS: dict[str, Callable[[Ledger, str], Any]] = {
    "reserve": lambda ledger, _: reservations.reserve(ledger, {"MOUSE": 2, "LAPTOP": 8}, origin=ONCE),
    "confirm": lambda ledger, key: reservations.confirm(ledger, key, {"MOUSE": 1}, origin=ONCE),
    "cancel": lambda ledger, key: reservations.cancel(ledger, key, origin=ONCE),
    "extend": lambda ledger, key: reservations.extend(ledger, key, 60, origin=ONCE),
    "expire": lambda ledger, _: reservations.expire(ledger),
    "adjust": lambda ledger, _: adjustments.adjust(ledger, {"MOUSE": 5, "CABLE": 1}, "received", origin=ONCE),
    "add": lambda ledger, _: products.add(ledger, "PHONE", "Phone", 100, ONCE),
    "edit": lambda ledger, _: products.edit(ledger, "MOUSE", {"price": 100}, ONCE),
    "refuse": lambda ledger, _: refused(
        NotEnoughStockError, lambda: reservations.reserve(ledger, {"LAPTOP": 11}, origin=ONCE)
    ),
    "refuse what has expired": lambda ledger, _: refused(
        WrongStateError, lambda: reservations.confirm(ledger, due_of(ledger), origin=ONCE)
    ),
    "reset": lambda ledger, _: seeding.reset(ledger),
}


def due_of(ledger: Ledger) -> str:
    return str(ledger.row("SELECT reservation FROM reservations ORDER BY expires_us LIMIT 1")[0])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_it_is_cut_off_before_nothing_has_happened(ledger: Ledger, clock: ManualClock, operation: str) -> None:
    # One reservation is open, one is due, and holds what the operations want.
    hold(ledger, LAPTOP=5)
    key = hold(ledger, MOUSE=3, LAPTOP=1, hold_s=2 * HOLD_S)
    clock.advance(HOLD_S)
    before = tables(ledger)
    scissors = Scissors(ledger.connection)
    cuts = scissors.cut_everywhere(lambda: OPERATIONS[operation](ledger, key), lambda: tables(ledger) == before)
    assert cuts >= 5
    assert "COMMIT" in scissors.statements
    assert tables(ledger) != before


def test_a_seed_is_cut_off_as_a_whole(tmp_path: Path, clock: ManualClock) -> None:
    wanted = [SeedProduct("MOUSE", "Mouse", 1, 5), SeedProduct("LAPTOP", "Laptop", 1, 5)]
    with new_ledger(tmp_path, clock) as ledger:
        before = tables(ledger)
        scissors = Scissors(ledger.connection)
        cuts = scissors.cut_everywhere(lambda: seeding.seed(ledger, wanted), lambda: tables(ledger) == before)
        assert cuts > 15
        assert_sound(ledger)


def test_an_opening_cut_off_anywhere_is_completed_by_the_next(tmp_path: Path, clock: ManualClock) -> None:
    import apsw

    scissors: list[Scissors] = []

    def hook(connection: apsw.Connection) -> None:
        scissors.append(Scissors(connection))
        scissors[-1].cut_before(number)

    number = 0
    apsw.connection_hooks.append(hook)
    try:
        while True:
            number += 1
            home = tmp_path / str(number)
            try:
                new_ledger(home, clock).close()
                break
            except CutError:
                pass
            scissors.clear()
            apsw.connection_hooks.remove(hook)
            with new_ledger(home, clock) as ledger:
                assert_sound(ledger)
            apsw.connection_hooks.append(hook)
    finally:
        apsw.connection_hooks.remove(hook)
    assert number > 30
    assert (home / FILE).exists()


def test_after_a_cut_another_connection_writes_at_once(ledger: Ledger, clock: ManualClock) -> None:
    scissors = Scissors(ledger.connection)
    with Ledger.open(ledger.home, clock=clock, queue_timeout_s=0.01) as other:
        for number in range(1, 12):
            scissors.cut_before(number)
            with pytest.raises(CutError):
                hold(ledger, MOUSE=1)
            hold(other, MOUSE=1)


def test_a_refusal_that_comes_after_a_write_leaves_nothing(ledger: Ledger) -> None:
    """No operation does so; one that did would not be remembered as refused and yet have happened."""
    before = tables(ledger)

    def body(write: Write, origin: Origin) -> Receipt:
        adjustments.append(write, [Move("MOUSE", 1, 0, {})], "received", "", origin)
        raise NotFoundError

    with pytest.raises(NotFoundError):
        ledger.decide("stock.adjust", {}, ONCE, (), body)
    assert tables(ledger) == before


def test_a_level_that_is_not_what_it_was_taken_for_is_not_written_over(ledger: Ledger) -> None:
    before = tables(ledger)
    stale = Move("MOUSE", -1, 0, {})
    with ledger.write() as write:
        write._levels["MOUSE"] = write.level("MOUSE")._replace(version=99)
        with pytest.raises(RefusedError, match="MOUSE changed under a transaction"):
            write.append(events.STOCK_ADJUSTED, "MOUSE", {}, Origin(), [stale])
    assert tables(ledger) == before

"""No statement of an operation goes through a table that grows with the years: its plan is looked at, not its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from invctl.errors import NotEnoughStockError
from invctl.ledger import adjustments, checkpoints, outbox, products, reads, reservations, seeding
from invctl.ledger.outbox import LedgerOutbox
from invctl.ledger.outcomes import Outcomes
from invctl.ledger.writing import Origin
from tests.unit.ledger.support import HOLD_S, hold

if TYPE_CHECKING:
    from collections.abc import Callable

    import apsw

    from invctl.clock import ManualClock
    from invctl.ledger.ledger import Ledger

GROWING = ("events", "movements", "reservations", "reservation_lines", "requests")
ONCE = Origin(clerk="ann", request_id="till-1")


def refuse(ledger: Ledger) -> None:
    with pytest.raises(NotEnoughStockError):
        hold(ledger, LAPTOP=1000)


def expire(ledger: Ledger, clock: ManualClock) -> None:
    hold(ledger, MOUSE=1)
    clock.advance(HOLD_S)
    reservations.expire(ledger)


# What a clerk's command and the daemon do all day.
DAILY: dict[str, Callable[[Ledger, ManualClock], Any]] = {
    "reserve": lambda ledger, _: reservations.reserve(ledger, {"MOUSE": 1, "LAPTOP": 1}, origin=ONCE),
    "confirm": lambda ledger, _: reservations.confirm(ledger, hold(ledger, MOUSE=2), {"MOUSE": 1}, origin=ONCE),
    "cancel by a prefix": lambda ledger, _: reservations.cancel(ledger, hold(ledger, MOUSE=2)[:-1], origin=ONCE),
    "extend": lambda ledger, _: reservations.extend(ledger, hold(ledger, MOUSE=2), origin=ONCE),
    "expire": expire,
    "refuse": lambda ledger, _: refuse(ledger),
    "adjust": lambda ledger, _: adjustments.adjust(ledger, {"MOUSE": 1}, "received", origin=ONCE),
    "add": lambda ledger, _: products.add(ledger, "PHONE", "Phone", origin=ONCE),
    "edit": lambda ledger, _: products.edit(ledger, "MOUSE", {"price": 1}, ONCE),
    "stock": lambda ledger, _: reads.stock(ledger),
    "stock of one": lambda ledger, _: reads.stock(ledger, "MOUSE"),
    "open reservations": lambda ledger, _: reads.reservations(ledger),
    "open reservations of a SKU": lambda ledger, _: reads.reservations(ledger, sku="MOUSE"),
    "open reservations of an order": lambda ledger, _: reads.reservations(ledger, order="A-1"),
    "one reservation": lambda ledger, _: reads.reservation(ledger, hold(ledger, MOUSE=1)),
    "story": lambda ledger, _: reads.story(ledger, hold(ledger, MOUSE=1)),
    "history": lambda ledger, _: reads.history(ledger),
    "history of a SKU": lambda ledger, _: reads.history(ledger, "MOUSE"),
    "status": lambda ledger, _: reads.status(ledger),
    "outbox": lambda ledger, _: (LedgerOutbox(ledger).head(), LedgerOutbox(ledger).read(1, 10, 1000)),
    "outcomes": lambda ledger, _: (counted := Outcomes(ledger), hold(ledger, MOUSE=1), counted.count()),
    "checkpoint": lambda ledger, _: (checkpoints.is_due(ledger, begun_us=0), checkpoints.append(ledger)),
    "remember central": lambda ledger, _: outbox.remember_link(ledger, acked_seq=1, state="up", reason="", suspects=0),
    "seed a store that has traded": lambda ledger, _: seed_again(ledger),
}


def seed_again(ledger: Ledger) -> None:
    with pytest.raises(Exception, match="has traded"):
        seeding.seed(ledger, [])


def scans(ledger: Ledger, operation: Callable[[], Any]) -> list[str]:
    """Return the statements of an operation that go through all of a table that grows, or of an index over it."""
    asked: list[tuple[str, Any]] = []

    def trace(_cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
        asked.append((sql, bindings))
        return True

    ledger.connection.exec_trace = trace
    try:
        operation()
    finally:
        ledger.connection.exec_trace = None
    assert asked
    return [
        f"{step}: {sql}"
        for sql, bindings in asked
        if sql.split()[0] in {"SELECT", "UPDATE", "DELETE", "INSERT"}
        for _, _, _, step in ledger.connection.execute("EXPLAIN QUERY PLAN " + sql, bindings)
        if step.split()[0] == "SCAN" and step.split()[1] in GROWING and not is_bounded(sql, step)
    ]


def is_bounded(sql: str, step: str) -> bool:
    """Say whether a scan ends soon: it takes the last events, or goes through an index of open reservations alone."""
    return "ORDER BY seq DESC LIMIT" in sql or "reservations_pending" in step


@pytest.mark.parametrize("operation", DAILY)
def test_no_daily_operation_goes_through_what_grows(ledger: Ledger, clock: ManualClock, operation: str) -> None:
    hold(ledger, MOUSE=1, order="A-1")
    assert scans(ledger, lambda: DAILY[operation](ledger, clock)) == []


def test_a_scan_would_be_seen(ledger: Ledger) -> None:
    # Whatever ended long ago is worth a look at every reservation there was.
    (scan,) = scans(ledger, lambda: reads.reservations(ledger, status=None, order="A-1"))
    assert scan.startswith("SCAN reservations: ")

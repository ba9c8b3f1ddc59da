"""What becomes of reservations, as a daemon counts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from invctl.ledger import outcomes, reservations
from invctl.ledger.outcomes import Outcomes
from tests.unit.ledger.support import HOLD_S, hold

if TYPE_CHECKING:
    from invctl.clock import ManualClock
    from invctl.ledger.ledger import Ledger

pytestmark = [pytest.mark.metrics, pytest.mark.business]


def test_each_is_counted_once_and_only_from_the_beginning_on(ledger: Ledger, clock: ManualClock) -> None:
    hold(ledger, MOUSE=1)
    counted = Outcomes(ledger)
    assert dict(counted.count()) == {"created": 0, "confirmed": 0, "cancelled": 0, "expired": 0}
    reservations.confirm(ledger, hold(ledger, MOUSE=2), {"MOUSE": 1})
    reservations.cancel(ledger, hold(ledger, MOUSE=1))
    for _ in range(2):
        assert dict(counted.count()) == {"created": 2, "confirmed": 1, "cancelled": 1, "expired": 0}
    clock.advance(HOLD_S)
    reservations.expire(ledger)
    assert dict(counted.count()) == {"created": 2, "confirmed": 1, "cancelled": 1, "expired": 1}


def test_a_look_is_bounded_and_the_next_goes_on(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "EVENTS_AT_ONCE", 2)
    counted = Outcomes(ledger)
    for _ in range(3):
        hold(ledger, MOUSE=1)
    assert [counted.count()["created"] for _ in range(3)] == [2, 3, 3]


def test_a_history_that_was_taken_over_is_no_news(ledger: Ledger) -> None:
    counted = Outcomes(ledger)
    hold(ledger, MOUSE=1)
    counted.skip()
    hold(ledger, MOUSE=1)
    assert counted.count()["created"] == 1

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from invctl.clock import format_time
from invctl.errors import InvalidValueError, NotFoundError
from invctl.ledger import adjustments, outbox, products, reads, reservations
from invctl.ledger.ledger import Ledger
from invctl.ledger.reads import HistoryRow, LinkRow, Status, StockRow
from invctl.ledger.writing import Origin
from tests.unit.ledger.support import HOLD_S, head, hold, new_ledger, tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from invctl.clock import ManualClock

pytestmark = pytest.mark.business


def test_stock_is_shown_by_sku_with_the_seq_it_is_as_of(ledger: Ledger) -> None:
    hold(ledger, MOUSE=3)
    rows, seq = reads.stock(ledger)
    assert seq == head(ledger) == reads.head_seq(ledger)
    assert rows == [
        StockRow("CABLE", "Product CABLE", None, 0, 0, 0, 0),
        StockRow("LAPTOP", "Product LAPTOP", None, 10, 0, 10, 1),
        StockRow("MOUSE", "Product MOUSE", None, 100, 3, 97, 2),
    ]
    assert reads.stock(ledger, "MOUSE") == ([rows[2]], seq)


def test_a_store_with_nothing_shows_nothing(tmp_path: Path, clock: ManualClock) -> None:
    with new_ledger(tmp_path, clock) as ledger:
        assert reads.stock(ledger) == ([], 1)
        assert reads.reservations(ledger) == []
        assert reads.status(ledger) == Status(1, clock.now_us(), 0, 0, LinkRow(0, 0, "unknown", "", 0), clock.now_us())


READS: list[Callable[[Ledger, str], Any]] = [reads.stock, reads.history]


@pytest.mark.parametrize("read", READS)
def test_what_is_not_carried_is_not_found(ledger: Ledger, read: Callable[[Ledger, str], Any]) -> None:
    with pytest.raises(NotFoundError, match="no product PHONE") as caught:
        read(ledger, "PHONE")
    assert caught.value.details == {"sku": "PHONE"}
    with pytest.raises(InvalidValueError, match="not Unicode"):
        read(ledger, "\udc80")


class TestReservations:
    """The list of reservations, and its filters."""

    @pytest.fixture
    def keys(self, ledger: Ledger, clock: ManualClock) -> dict[str, str]:
        keys = {
            "confirmed": hold(ledger, MOUSE=1, order="A-1"),
            "cancelled": hold(ledger, LAPTOP=1),
            "recorded": hold(ledger, MOUSE=1, hold_s=10),
        }
        clock.advance(10)
        reservations.confirm(ledger, keys["confirmed"])
        reservations.cancel(ledger, keys["cancelled"])
        reservations.expire(ledger)
        keys["due"] = hold(ledger, LAPTOP=1, hold_s=10)
        clock.advance(10)
        keys["late"] = hold(ledger, MOUSE=1, hold_s=200)
        keys["soon"] = hold(ledger, MOUSE=1, LAPTOP=1, hold_s=100, order="A-1")
        return keys

    @pytest.mark.parametrize(
        ("filters", "found"),
        [
            ({}, ["soon", "late"]),
            ({"status": "pending"}, ["soon", "late"]),
            ({"status": "confirmed"}, ["confirmed"]),
            ({"status": "cancelled"}, ["cancelled"]),
            ({"sku": "LAPTOP"}, ["soon"]),
            ({"sku": "MOUSE"}, ["soon", "late"]),
            ({"sku": "CABLE"}, []),
            ({"order": "A-1"}, ["soon"]),
            ({"order": "A-1", "status": None}, ["soon", "confirmed"]),
            ({"order": "A-2", "status": None}, []),
            ({"sku": "LAPTOP", "status": "expired"}, ["due"]),
            ({"limit": 1}, ["soon"]),
        ],
    )
    def test_filtered(self, ledger: Ledger, keys: dict[str, str], filters: dict[str, Any], found: list[str]) -> None:
        rows = reads.reservations(ledger, **filters)
        assert [row.reservation for row in rows] == [keys[name] for name in found]

    def test_those_of_an_unknown_sku(self, ledger: Ledger) -> None:
        with pytest.raises(NotFoundError) as caught:
            reads.reservations(ledger, sku="PHONE", status=None)
        assert caught.value.details == {"sku": "PHONE"}

    def test_expired_are_those_recorded_and_those_that_are_merely_due(
        self, ledger: Ledger, keys: dict[str, str]
    ) -> None:
        before = tables(ledger)
        rows = reads.reservations(ledger, status="expired")
        assert {row.reservation for row in rows} == {keys["recorded"], keys["due"]}
        assert {row.status for row in rows} == {"expired"}
        assert tables(ledger) == before

    def test_all_come_newest_first(self, ledger: Ledger, keys: dict[str, str]) -> None:
        rows = reads.reservations(ledger, status=None)
        assert {row.reservation for row in rows} == set(keys.values())
        created = [row.created_at for row in rows]
        assert created == sorted(created, reverse=True)
        assert [row.reservation for row in reads.reservations(ledger, status=None, limit=2)] == [
            row.reservation for row in rows[:2]
        ]

    def test_each_is_shown_whole(self, ledger: Ledger, keys: dict[str, str], clock: ManualClock) -> None:
        (row,) = reads.reservations(ledger, order="A-1")
        assert row == reads.reservation(ledger, keys["soon"])
        assert row.as_dict() == {
            "reservation": keys["soon"],
            "status": "pending",
            "order": "A-1",
            "clerk": None,
            "created_at": format_time(clock.now_us()),
            "expires_at": format_time(clock.now_us() + 100_000_000),
            "ended_at": None,
            "seq": head(ledger),
            "lines": [
                {"sku": "LAPTOP", "quantity": 1, "confirmed": 0, "released": 0},
                {"sku": "MOUSE", "quantity": 1, "confirmed": 0, "released": 0},
            ],
        }


def test_an_undecodable_order_reference_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InvalidValueError):
        reads.reservations(ledger, order="\udc80")


def test_the_history_of_a_sku_tells_its_own_lines_oldest_first(ledger: Ledger, clock: ManualClock) -> None:
    key = hold(ledger, MOUSE=3, LAPTOP=1, order="A-1", origin=Origin(clerk="ann"))
    reservations.confirm(ledger, key, {"MOUSE": 2}, origin=Origin(clerk="bob"))
    adjustments.adjust(ledger, {"MOUSE": -1}, "damaged", note="wet")
    rows = reads.history(ledger, "MOUSE")
    at = format_time(clock.now_us())
    until = format_time(clock.now_us() + reservations.HOLD_S * 1_000_000)
    told: list[tuple[Any, ...]] = [
        ("stock.adjusted", 100, 0, 100, 0, None, "received", None, None, None, None, None),
        ("reservation.created", 0, 3, 100, 3, key, None, "A-1", "ann", None, None, until),
        ("reservation.confirmed", -2, -3, 98, 0, key, None, "A-1", "bob", None, None, until),
        ("stock.adjusted", -1, 0, 97, 0, None, "damaged", None, None, "wet", None, None),
    ]
    seqs = [3, head(ledger) - 2, head(ledger) - 1, head(ledger)]
    values = [(seq, at, event, "MOUSE", *rest, None) for seq, (event, *rest) in zip(seqs, told, strict=True)]
    assert rows == [HistoryRow(*each) for each in values]
    assert reads.history(ledger, "MOUSE", limit=2) == rows[-2:]


def test_the_history_of_the_store_tells_every_event(ledger: Ledger) -> None:
    products.edit(ledger, "MOUSE", {"name": "Rat"})
    hold(ledger, MOUSE=3, LAPTOP=1)
    rows = reads.history(ledger)
    assert [row.seq for row in rows] == [*range(1, head(ledger)), head(ledger), head(ledger)]
    assert {row.sku for row in rows[-2:]} == {"MOUSE", "LAPTOP"}
    # The limit is one of rows.
    for limit in (1, 2, 3):
        assert reads.history(ledger, limit=limit) == rows[-limit:]
    edited = rows[-3]
    assert (edited.event, edited.sku, edited.on_hand_change, edited.on_hand) == ("product.edited", "MOUSE", 0, None)


def test_the_story_of_a_reservation_is_its_own_events(ledger: Ledger, clock: ManualClock) -> None:
    key = hold(ledger, MOUSE=3, LAPTOP=1)
    other = hold(ledger, MOUSE=1)
    clock.advance(1)
    reservations.extend(ledger, key)
    adjustments.adjust(ledger, {"MOUSE": 1}, "restock")
    reservations.cancel(ledger, other)
    assert [(row.event, row.sku) for row in reads.story(ledger, key[:5])] == [
        ("reservation.created", "LAPTOP"),
        ("reservation.created", "MOUSE"),
        ("reservation.extended", None),
    ]
    clock.advance(HOLD_S)
    reservations.expire(ledger)
    assert [row.event for row in reads.story(ledger, key)][-2:] == ["reservation.expired"] * 2
    assert {row.reservation for row in reads.story(ledger, key)} == {key}


def test_the_status_counts_what_is_open(ledger: Ledger, clock: ManualClock) -> None:
    hold(ledger, MOUSE=1)
    hold(ledger, MOUSE=1, hold_s=1)
    clock.advance(1)
    status = reads.status(ledger)
    assert (status.head_seq, status.last_event_us) == (head(ledger), clock.now_us() - 1_000_000)
    assert (status.products, status.open_reservations) == (3, 1)


def test_the_status_says_what_central_has_and_since_when_it_lacks_the_rest(ledger: Ledger, clock: ManualClock) -> None:
    acked_seq = head(ledger)
    clock.advance(5)
    hold(ledger, MOUSE=1)
    lacking_us = clock.now_us()
    clock.advance(5)
    hold(ledger, MOUSE=1)
    outbox.remember_link(ledger, acked_seq=acked_seq, state="up", reason="", suspects=2)
    status = reads.status(ledger)
    assert status.link == LinkRow(acked_seq, clock.now_us(), "up", "", 2)
    assert status.oldest_pending_us == lacking_us
    outbox.remember_link(ledger, acked_seq=head(ledger), state="up", reason="", suspects=0)
    assert reads.status(ledger).oldest_pending_us == 0


def test_a_read_sees_one_moment(ledger: Ledger, clock: ManualClock) -> None:
    with Ledger.open(ledger.home, clock=clock) as other:
        with ledger.read():
            before = ledger.rows("SELECT * FROM stock"), head(ledger)
            hold(other, MOUSE=1)
            assert (ledger.rows("SELECT * FROM stock"), head(ledger)) == before
        assert head(ledger) == before[1] + 1

"""A ledger that lost history: it takes head office's, and what it decided itself comes anew behind that."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import pytest

from invctl.errors import InventoryError, RefusedError, WrongStateError
from invctl.ledger import adjustments, history, products, reservations, seeding
from invctl.ledger.ledger import FILE, Ledger
from invctl.ledger.outbox import LedgerOutbox
from invctl.ledger.rebase import Rebased, rebase
from invctl.ledger.verify import verify
from invctl.ledger.writing import FrozenError, Origin
from invctl.model import events
from invctl.model.chain import Head
from tests.unit.ledger.support import head, hold, level, new_ledger, tables, types, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from invctl.clock import ManualClock

pytestmark = pytest.mark.fault_tolerance

PAGE = 3


class Chain:
    """A store's ledger as it went on, all of which head office has, and a backup of it that trades as well."""

    def __init__(self, home: Path, clock: ManualClock, **stock: int) -> None:
        self.home = home
        self.clock = clock
        self.whole = new_ledger(home / "whole", clock, **stock)
        self.opened: list[Ledger] = [self.whole]

    def backup(self, seed: int = 2) -> Ledger:
        home = self.home / f"backup-{len(self.opened)}"
        home.mkdir()
        self.whole.connection.execute("VACUUM INTO ?", (str(home / FILE),))
        ledger = Ledger.open(home, clock=self.clock, chance=Random(seed))
        ledger.connection.execute("PRAGMA journal_mode = WAL")
        self.opened.append(ledger)
        return ledger

    def send(self, ledger: Ledger, after_seq: int) -> Head:
        """Let the backup keep what head office has after a seq, in pages."""
        outbox = LedgerOutbox(self.whole)
        last = Head(after_seq, outbox.hash_at(after_seq) or b"")
        while last.seq < head(self.whole):
            run = outbox.read(last.seq, PAGE, 10_000)
            last = history.keep(ledger, last.seq + 1, run.prev_hash, run.bodies)
        return last

    def rejoin(self, ledger: Ledger, after_seq: int = 0, epoch: int = 2) -> Rebased:
        done = rebase(ledger, self.send(ledger, after_seq), epoch=epoch, boot="b00t")
        assert verify(ledger).findings == []
        return done

    def holds_all_of(self, ledger: Ledger) -> bool:
        mine = [body for (body,) in ledger.rows("SELECT body FROM events ORDER BY seq")]
        theirs = [body for (body,) in self.whole.rows("SELECT body FROM events ORDER BY seq")]
        return mine[: len(theirs)] == theirs


@pytest.fixture
def chain(tmp_path: Path, clock: ManualClock) -> Iterator[Chain]:
    chain = Chain(tmp_path, clock, MOUSE=10, LAPTOP=5)
    yield chain
    for ledger in chain.opened:
        ledger.close()


def last(ledger: Ledger) -> events.Event:
    return written(ledger)[-1]


def counts(ledger: Ledger) -> list[str]:
    return [sku for (sku,) in ledger.rows("SELECT sku FROM recounts ORDER BY sku")]


def test_what_head_office_has_is_there_again_and_the_epoch_is_new(chain: Chain) -> None:
    copy = chain.backup()
    common = head(copy)
    hold(chain.whole, MOUSE=2)
    adjustments.adjust(chain.whole, {"LAPTOP": 4}, "received")
    done = chain.rejoin(copy)
    assert (done.common_seq, done.taken, done.set_aside, done.reappended, done.misfits) == (common, 2, 0, 0, 0)
    assert chain.holds_all_of(copy)
    assert last(copy).type == events.LEDGER_REBASED
    assert last(copy).data["epoch"] == copy.store.epoch == 2
    assert last(copy).data["boot"] == "b00t"
    assert (level(copy, "MOUSE")[:2], level(copy, "LAPTOP")[:2]) == ((10, 2), (9, 0))
    assert counts(copy) == []
    assert done.head == Head(head(copy), LedgerOutbox(copy).head().hash)
    # It trades on, and its guards are back.
    hold(copy, MOUSE=8)
    with pytest.raises(RefusedError), copy.write() as write:
        write.connection.execute("DELETE FROM events")


def test_what_was_decided_meanwhile_comes_anew_under_its_ids_and_wants_a_count(chain: Chain) -> None:
    copy = chain.backup()
    adjustments.adjust(chain.whole, {"MOUSE": 3}, "received")
    kept = hold(copy, MOUSE=2, LAPTOP=1)
    sold = hold(copy, MOUSE=1)
    reservations.confirm(copy, sold)
    own = {event.id: event for event in written(copy, head(chain.whole) - 1)}
    done = chain.rejoin(copy)
    assert (done.set_aside, done.reappended, done.misfits) == (3, 3, 0)
    anew = written(copy, done.head.seq - 3)
    assert [event.id for event in anew] == list(own)
    for event in anew:
        before = own[event.id]
        assert (event.type, event.subject) == (before.type, before.subject)
        assert (event.decided_at, event.data["reappended"]["epoch"]) == (before.time, 1)
    assert level(copy, "MOUSE")[:2] == (12, 2)
    assert counts(copy) == ["LAPTOP", "MOUSE"]
    reservations.confirm(copy, kept)
    adjustments.adjust(copy, {"MOUSE": 1}, "cycle_count")
    assert counts(copy) == ["LAPTOP"]
    assert verify(copy).findings == []
    assert [row[1] for row in copy.rows("SELECT epoch, seq FROM set_aside")] == [
        event.data["reappended"]["seq"] for event in anew
    ]


def test_what_no_longer_fits_lowers_the_level_as_far_as_it_goes(chain: Chain) -> None:
    copy = chain.backup()
    hold(chain.whole, MOUSE=9)
    held = hold(copy, MOUSE=4)
    reservations.confirm(copy, held)
    done = chain.rejoin(copy)
    assert (done.reappended, done.misfits) == (2, 2)
    assert types(copy, done.head.seq - 2) == ["stock.discrepancy"] * 2
    opened, sold = written(copy, done.head.seq - 2)
    assert (opened.lines, opened.data["of"], opened.data["why"]) == (
        [],
        "inventory.reservation.created",
        "MOUSE has 1 available",
    )
    assert [(entry.sku, entry.on_hand_change) for entry in sold.lines] == [("MOUSE", -1)]
    assert sold.data["wanted"] == [{"sku": "MOUSE", "on_hand_change": -4, "reserved_change": -4}]
    # Nothing that was promised is taken away.
    assert level(copy, "MOUSE")[:2] == (9, 9)


@pytest.mark.parametrize("ended", ["confirmed", "cancelled"])
def test_a_reservation_that_ended_on_both_sides_ends_once(chain: Chain, ended: str) -> None:
    held = hold(chain.whole, MOUSE=4)
    copy = chain.backup()
    (reservations.confirm if ended == "confirmed" else reservations.cancel)(chain.whole, held)
    reservations.confirm(copy, held)
    done = chain.rejoin(copy)
    assert done.misfits == 1
    assert last(copy).data["why"] == f"{held} was {ended} meanwhile"
    assert level(copy, "MOUSE")[:2] == (2 if ended == "confirmed" else 6, 0)


def test_a_count_keeps_its_level_and_a_delivery_its_change(chain: Chain, clock: ManualClock) -> None:
    copy = chain.backup()
    adjustments.adjust(chain.whole, {"MOUSE": 5, "LAPTOP": 5}, "received")
    adjustments.adjust(copy, {"MOUSE": -3}, "cycle_count")
    adjustments.adjust(copy, {"LAPTOP": 2}, "received")
    chain.rejoin(copy)
    assert (level(copy, "MOUSE")[:2], level(copy, "LAPTOP")[:2]) == ((7, 0), (12, 0))
    assert counts(copy) == ["LAPTOP", "MOUSE"]


def test_products_of_both_are_there(chain: Chain) -> None:
    copy = chain.backup()
    products.add(chain.whole, "CABLE", "Cable", 500)
    products.add(copy, "CABLE", "USB cable", 700)
    products.add(copy, "PHONE", "Phone")
    products.edit(copy, "MOUSE", {"name": "Mouse, red"})
    chain.rejoin(copy)
    found = dict(copy.rows("SELECT sku, name FROM products"))
    assert (found["CABLE"], found["PHONE"], found["MOUSE"]) == ("USB cable", "Phone", "Mouse, red")


def test_a_confirmation_stands_whenever_it_comes_anew(chain: Chain, clock: ManualClock) -> None:
    held = hold(chain.whole, MOUSE=4, hold_s=60)
    copy = chain.backup()
    adjustments.adjust(chain.whole, {"LAPTOP": 1}, "received")
    reservations.confirm(copy, held)
    clock.advance(3600)
    assert chain.rejoin(copy).misfits == 0
    assert level(copy, "MOUSE")[:2] == (6, 0)


def test_a_request_that_was_decided_on_both_sides_moves_its_units_once(chain: Chain) -> None:
    copy = chain.backup()
    asked = Origin("ann", "till-1")
    adjustments.adjust(chain.whole, {"MOUSE": -2}, "damaged", origin=asked)
    adjustments.adjust(copy, {"MOUSE": -2}, "damaged", origin=asked)
    mine = Origin("ann", "till-2")
    adjustments.adjust(copy, {"MOUSE": -1}, "damaged", origin=mine)
    chain.rejoin(copy)
    assert level(copy, "MOUSE")[:2] == (7, 0)
    before = tables(copy)
    assert adjustments.adjust(copy, {"MOUSE": -2}, "damaged", origin=asked).replayed
    assert adjustments.adjust(copy, {"MOUSE": -1}, "damaged", origin=mine).replayed
    assert tables(copy) == before


def test_a_request_that_no_longer_fitted_is_told_so_to_whoever_asks_again(chain: Chain) -> None:
    copy = chain.backup()
    hold(chain.whole, MOUSE=9)
    asked = Origin("ann", "till-1")
    hold(copy, MOUSE=4, origin=asked)
    sale = Origin("ann", "till-2")
    adjustments.adjust(copy, {"MOUSE": -4}, "damaged", origin=sale)
    assert chain.rejoin(copy).misfits == 2
    before = tables(copy)
    for again in (
        lambda: hold(copy, MOUSE=4, origin=asked),
        lambda: adjustments.adjust(copy, {"MOUSE": -4}, "damaged", origin=sale),
    ):
        with pytest.raises(WrongStateError, match=r"no longer fitted.*MOUSE has 1 available") as caught:
            again()
        assert caught.value.details["replayed"]
    assert tables(copy) == before


def test_a_second_loss_does_not_append_twice(chain: Chain) -> None:
    copy = chain.backup()
    hold(chain.whole, MOUSE=1)
    hold(copy, MOUSE=2)
    adjustments.adjust(copy, {"MOUSE": -20 + 12}, "damaged")
    chain.rejoin(copy)
    chain.whole, first = copy, chain.whole
    del first
    again = chain.backup(seed=3)
    own = head(again)
    hold(copy, LAPTOP=1)
    hold(again, LAPTOP=2)
    chain.rejoin(again, after_seq=own - 1, epoch=3)
    ids = [event.id for event in written(again)]
    assert len(ids) == len(set(ids))
    assert again.store.epoch == 3
    assert level(again, "LAPTOP")[:2] == (5, 3)


def test_from_the_start_only_what_parts_is_kept(chain: Chain) -> None:
    copy = chain.backup()
    common = head(copy)
    hold(chain.whole, MOUSE=1)
    hold(copy, MOUSE=2)
    chain.send(copy, 0)
    assert copy.rows("SELECT seq FROM incoming") == [(common + 1,)]
    assert history.held(copy) == LedgerOutbox(chain.whole).head()


def test_a_history_that_is_not_whole_changes_nothing(chain: Chain) -> None:
    copy = chain.backup()
    for _ in range(5):
        hold(chain.whole, MOUSE=1)
    hold(copy, MOUSE=2)
    with pytest.raises(WrongStateError, match="nothing of head office's history"):
        rebase(copy, LedgerOutbox(chain.whole).head(), epoch=2, boot="b00t")
    whole = chain.send(copy, 0)
    copy.connection.execute("DELETE FROM incoming WHERE seq = ?", (whole.seq - 1,))
    before = tables(copy)
    with pytest.raises(WrongStateError, match="missing, or damaged"):
        rebase(copy, whole, epoch=2, boot="b00t")
    with pytest.raises(WrongStateError, match="epoch 1 was granted"):
        rebase(copy, whole, epoch=1, boot="b00t")
    assert tables(copy) == before
    with pytest.raises(WrongStateError, match="does not follow"):
        history.keep(copy, 99, bytes(32), [b"{}"])
    chain.rejoin(copy)


def test_a_head_office_that_was_restored_meanwhile_sends_anew(chain: Chain) -> None:
    older = chain.backup()
    copy = chain.backup()
    for _ in range(4):
        hold(chain.whole, MOUSE=1)
    chain.send(copy, 0)
    chain.whole = older
    hold(older, LAPTOP=1)
    chain.rejoin(copy)
    assert level(copy, "LAPTOP")[:2] == (5, 1)


def test_while_it_is_frozen_nothing_is_written_and_it_says_why(chain: Chain) -> None:
    copy = chain.backup()
    held = hold(copy, MOUSE=1)
    copy.connection.execute("UPDATE link SET frozen = 'this ledger was restored from a backup'")
    before = tables(copy)
    for attempt in (
        lambda: hold(copy, MOUSE=1),
        lambda: reservations.confirm(copy, held),
        lambda: adjustments.adjust(copy, {"MOUSE": 1}, "received"),
        lambda: products.add(copy, "CABLE", "Cable"),
        lambda: seeding.reset(copy),
    ):
        with pytest.raises(FrozenError, match="nothing can be written: this ledger was restored") as caught:
            attempt()
        assert caught.value.code == "frozen"
    assert tables(copy) == before
    hold(chain.whole, LAPTOP=1)
    chain.rejoin(copy)
    hold(copy, MOUSE=1)


@pytest.mark.simulation
@pytest.mark.parametrize("seed", range(100))
def test_whatever_both_decided_nothing_is_forgotten_and_nothing_oversold(
    chain: Chain, clock: ManualClock, seed: int
) -> None:
    chance = Random(seed)
    trade(chain.whole, chance, clock, 15)
    copy = chain.backup(seed=seed + 1000)
    trade(chain.whole, chance, clock, chance.randint(1, 25))
    adjustments.adjust(chain.whole, {"MOUSE": 1}, "received")
    trade(copy, chance, clock, chance.randint(0, 25))
    own = [
        event
        for (body,) in copy.rows("SELECT body FROM events")
        if not (event := events.parse(body)).type.startswith(events.LEDGER_PREFIX)
    ]
    chain.rejoin(copy, after_seq=chance.choice([0, 3]))
    assert chain.holds_all_of(copy)
    ids = [event.id for event in written(copy)]
    assert len(ids) == len(set(ids))
    assert {event.id for event in own} <= set(ids)
    trade(copy, chance, clock, 15)
    assert verify(copy).findings == []


def trade(ledger: Ledger, chance: Random, clock: ManualClock, steps: int) -> None:
    """Do what clerks do, also what is refused."""
    for _ in range(steps):
        clock.advance(chance.choice([0, 1, 600]))
        pending = [key for (key,) in ledger.rows("SELECT reservation FROM reservations ORDER BY reservation")]
        sku = chance.choice(["MOUSE", "LAPTOP"])
        origin = Origin("ann", f"r-{chance.randint(1, 60)}") if chance.random() < 0.3 else Origin("ann")
        with suppress(InventoryError):
            match chance.randint(0, 7):
                case 0 | 1 | 2:
                    reservations.reserve(ledger, {sku: chance.randint(1, 4)}, hold_s=chance.choice([60, 1800]))
                case 3 if pending:
                    reservations.confirm(ledger, chance.choice(pending), origin=origin)
                case 4 if pending:
                    reservations.cancel(ledger, chance.choice(pending), origin=origin)
                case 5 if pending:
                    reservations.extend(ledger, chance.choice(pending), 1200)
                case 6:
                    reason = chance.choice(["damaged", "correction", "cycle_count"])
                    adjustments.adjust(ledger, {sku: -chance.randint(1, 3)}, reason, origin=origin)
                case _:
                    adjustments.adjust(ledger, {sku: chance.randint(1, 5)}, "received", origin=origin)

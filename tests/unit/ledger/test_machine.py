"""The ledger against a model of it: operations, jumping clocks, restarts, requests asked twice, lost history."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from invctl.clock import ManualClock, parse_time
from invctl.errors import InventoryError
from invctl.ledger import adjustments, history, products, reads, reservations, seeding
from invctl.ledger.ledger import FILE, Ledger
from invctl.ledger.outbox import LedgerOutbox
from invctl.ledger.rebase import rebase
from invctl.ledger.seeding import SeedProduct
from invctl.ledger.writing import Origin, Receipt
from invctl.model import events
from invctl.model.projection import Projection
from tests.unit.ledger.model import NEW, Model, Outcome, Request
from tests.unit.ledger.support import CutError, Scissors, assert_sound, head, key_of, tables, written

if TYPE_CHECKING:
    from collections.abc import Callable

SKUS = ["A", "B", "C"]
DAY_S = 24 * 3600

quantities = st.dictionaries(st.sampled_from(SKUS), st.integers(1, 6), min_size=1)
changes = st.dictionaries(st.sampled_from(SKUS), st.integers(-6, 12).filter(bool), min_size=1)
counts = st.dictionaries(st.sampled_from(SKUS), st.integers(-3, 3), min_size=1)
holds = st.sampled_from([1, 60, 1800, 40 * DAY_S])
request_ids = st.sampled_from(["", "", "till-1", "till-2", "till-3"])
names = st.sampled_from(["Mouse", "Rat"])
# A reservation is named by its number among those that there are by then.
numbers = st.integers(0, 20)
trades = st.lists(
    st.tuples(
        st.one_of(
            st.tuples(st.just("reserve"), quantities, holds),
            st.tuples(st.just("last unit"), st.sampled_from(SKUS[:2])),
            st.tuples(st.just("confirm"), numbers, st.none() | quantities),
            st.tuples(st.just("cancel"), numbers),
            st.tuples(st.just("extend"), numbers, holds),
            st.tuples(st.just("adjust"), changes),
            st.tuples(st.just("count"), counts),
            st.tuples(st.just("add"), st.sampled_from(SKUS), names),
            st.tuples(st.just("edit"), st.sampled_from(SKUS), names),
            st.sampled_from([("sweep",), ("reset",)]),
        ),
        st.sampled_from(["", *(f"tablet-{number}" for number in range(6))]),
    ),
    min_size=2,
    max_size=8,
)
ENDS = ("confirm", "cancel", "extend")


# How the ledger is asked what the model is asked.
ASK: dict[str, Callable[..., Receipt]] = {
    "reserve": lambda ledger, origin, lines, hold_s: reservations.reserve(ledger, lines, hold_s=hold_s, origin=origin),
    "confirm": lambda ledger, origin, key, part: reservations.confirm(ledger, key, part, origin=origin),
    "cancel": lambda ledger, origin, key: reservations.cancel(ledger, key, origin=origin),
    "extend": lambda ledger, origin, key, hold_s: reservations.extend(ledger, key, hold_s, origin=origin),
    "adjust": lambda ledger, origin, units: adjustments.adjust(ledger, units, "correction", origin=origin),
    "count": lambda ledger, origin, units: adjustments.adjust(ledger, units, "cycle_count", origin=origin),
    "add": lambda ledger, origin, sku, name: products.add(ledger, sku, name, origin=origin),
    "edit": lambda ledger, origin, sku, name: products.edit(ledger, sku, {"name": name}, origin),
}
# These have no receipt, and no request id.
DO: dict[str, Callable[..., object]] = {
    "sweep": reservations.expire,
    "seed": lambda ledger, units: seeding.seed(ledger, [SeedProduct(sku, sku, None, units[sku]) for sku in units]),
    "reset": seeding.reset,
}


def perform(ledger: Ledger, request: Request, origin: Origin) -> Receipt | None:
    """Ask the ledger what the model is asked."""
    operation, *arguments = request
    if operation in ASK:
        return ASK[operation](ledger, origin, *arguments)
    DO[operation](ledger, *arguments)
    return None


class LedgerMachine(RuleBasedStateMachine):
    """Rules are what may happen to a store; invariants hold after each."""

    keys: Bundle[str] = Bundle("keys")
    asked: Bundle[tuple[Request, str]] = Bundle("asked")

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self._home = Path(self._folder.name)
        self._clock = ManualClock()
        self._model = Model(self._clock.now_us())
        self._receipts: dict[str, Receipt] = {}
        self._ledger = Ledger.create(self._home, "downtown", clock=self._clock, chance=Random(1))
        self._opened = 1

    def teardown(self) -> None:
        try:
            assert_sound(self._ledger)
            self._replays()
        finally:
            self._ledger.close()
            self._folder.cleanup()

    @initialize(units=st.fixed_dictionaries({sku: st.integers(0, 12) for sku in SKUS[:2]}))
    def begin(self, units: dict[str, int]) -> None:
        self._ask(("seed", units))

    @rule(target=keys, lines=quantities, hold_s=holds, request_id=request_ids)
    def reserve(self, lines: dict[str, int], hold_s: int, request_id: str) -> Any:
        receipt = self._ask(("reserve", lines, hold_s), request_id)
        return multiple() if receipt is None or receipt.replayed else key_of(receipt)

    @rule(key=keys, part=st.none() | quantities, request_id=request_ids)
    def confirm(self, key: str, part: dict[str, int] | None, request_id: str) -> None:
        self._ask(("confirm", key, part), request_id)

    @rule(key=keys, request_id=request_ids)
    def cancel(self, key: str, request_id: str) -> None:
        self._ask(("cancel", key), request_id)

    @rule(key=keys, hold_s=holds, request_id=request_ids)
    def extend(self, key: str, hold_s: int, request_id: str) -> None:
        self._ask(("extend", key, hold_s), request_id)

    @rule(key=st.sampled_from(["R-ZZZZZZ", "R-000000"]))
    def cancel_what_never_was(self, key: str) -> None:
        self._ask(("cancel", key))

    @rule(units=changes, request_id=request_ids)
    def adjust(self, units: dict[str, int], request_id: str) -> None:
        self._ask(("adjust", units), request_id)

    @rule(units=counts, request_id=request_ids)
    def count(self, units: dict[str, int], request_id: str) -> None:
        self._ask(("count", units), request_id)

    @rule(sku=st.sampled_from(SKUS), name=names, request_id=request_ids)
    def add(self, sku: str, name: str, request_id: str) -> None:
        self._ask(("add", sku, name), request_id)

    @rule(sku=st.sampled_from(SKUS), name=names, request_id=request_ids)
    def edit(self, sku: str, name: str, request_id: str) -> None:
        self._ask(("edit", sku, name), request_id)

    @rule()
    def sweep(self) -> None:
        self._ask(("sweep",))

    @rule(units=quantities)
    def seed(self, units: dict[str, int]) -> None:
        self._ask(("seed", units))

    @rule()
    def reset(self) -> None:
        self._ask(("reset",))

    @rule(target=asked, lines=quantities, request_id=st.sampled_from(["again-1", "again-2"]))
    def ask_for_the_first_time(self, lines: dict[str, int], request_id: str) -> tuple[Request, str]:
        request = ("reserve", lines, 1800)
        self._ask(request, request_id)
        return request, request_id

    @rule(request=asked)
    def ask_again(self, request: tuple[Request, str]) -> None:
        self._ask(*request)

    @rule(seconds=st.sampled_from([0.000_001, 0.999_999, 1, 59, 60, 1800, 29 * DAY_S, 40 * DAY_S]))
    def time_passes(self, seconds: float) -> None:
        self._clock.advance(seconds)
        self._model.wall_us = self._clock.now_us()

    @rule(seconds=st.sampled_from([-3600, -60, 3600]))
    def the_clock_is_set(self, seconds: int) -> None:
        self._clock.shift_wall(seconds)
        self._model.wall_us = self._clock.now_us()

    @rule()
    def restart(self) -> None:
        self._ledger.close()
        self._opened += 1
        self._ledger = Ledger.open(self._home, clock=self._clock, chance=Random(self._opened))

    @rule(target=keys, lines=quantities, cut_before=st.integers(1, 16))
    def cut_off(self, lines: dict[str, int], cut_before: int) -> Any:
        receipt = self._ask(("reserve", lines, 1800), cut_before=cut_before)
        return multiple() if receipt is None else key_of(receipt)

    @rule(target=keys, theirs=trades, ours=trades, page=st.integers(1, 5))
    def history_is_lost(self, theirs: list[tuple[Request, str]], ours: list[tuple[Request, str]], page: int) -> Any:
        return multiple(*self.lose_history(theirs, ours, page))

    def lose_history(self, theirs: list[tuple[Request, str]], ours: list[tuple[Request, str]], page: int) -> list[str]:
        """A copy of the file goes its own way; then it rejoins what the whole one has, and goes on in its place.

        Returns the reservations that are new.
        """
        self._opened += 1
        home = self._home / f"copy-{self._opened}"
        home.mkdir()
        self._ledger.connection.execute("VACUUM INTO ?", (str(home / FILE),))
        common = head(self._ledger)
        copied = deepcopy(self._model), dict(self._receipts)
        asked = self.trade(theirs)
        # Only what head office went on to have can be lost.
        self._ask(("adjust", {SKUS[0]: 1}))
        whole, their_model, their_receipts = self._ledger, self._model, self._receipts
        self._model, self._receipts = copied
        self._home = home
        self._ledger = Ledger.open(home, clock=self._clock, chance=Random(self._opened))
        try:
            known = set(self._model.holds)
            asked += self.trade(ours)
            self._rejoin(whole, their_model, their_receipts, common, page)
            # What they hold is held, and nobody asked us about it.
            for key in their_model.holds.keys() - known:
                assert self._model.holds[key] == their_model.holds[key]
            for again in asked:
                self._ask(*again)
            return sorted(self._model.holds.keys() - known)
        finally:
            whole.close()

    def trade(self, wanted: list[tuple[Request, str]]) -> list[tuple[Request, str]]:
        """Ask for what can be asked for. Returns what was, under a request id."""
        asked: list[tuple[Request, str]] = []
        for request, request_id in wanted:
            operation, *arguments = request
            if operation == "last unit":
                (sku,) = arguments
                free = self._model.on_hand[sku] - self._model.reserved(sku)
                operation, arguments = ("reserve", [{sku: free}, 1800]) if free else ("adjust", [{sku: 2}])
            elif operation in ENDS:
                if not self._model.holds:
                    continue
                there = sorted(self._model.holds)
                arguments[0] = there[arguments[0] % len(there)]
            if operation in ASK and request_id:
                asked.append(((operation, *arguments), request_id))
                self._ask(*asked[-1])
            else:
                self._ask((operation, *arguments))
        return asked

    def _rejoin(self, whole: Ledger, theirs: Model, receipts: dict[str, Receipt], common: int, page: int) -> None:
        own = [event for event in written(self._ledger, common) if not event.type.startswith(events.LEDGER_PREFIX)]
        outbox, upto = LedgerOutbox(whole), LedgerOutbox(whole).head()
        seq = 0
        while seq < upto.seq:
            run = outbox.read(seq, page, 10_000)
            seq = history.keep(self._ledger, seq + 1, run.prev_hash, run.bodies).seq
        rebase(self._ledger, upto, epoch=self._ledger.store.epoch + 1, boot="b00t")
        assert_sound(self._ledger)
        happened = written(self._ledger)
        assert happened[: upto.seq] == written(whole)
        anew = happened[upto.seq + 1 :]
        assert [event.id for event in anew] == [event.id for event in own]
        self._model.rejoin(theirs, happened, happened[common : upto.seq], anew)
        touched = {entry.sku for event in own for entry in event.lines}
        assert touched <= self._model.recounts
        assert {sku: units for sku, units in self._model.on_hand.items() if sku not in touched} == {
            sku: theirs.on_hand.get(sku, 0) for sku in self._model.on_hand if sku not in touched
        }
        seqs = {event.id: seq for seq, event in enumerate(happened, 1)}
        newer = {request_id: receipt for request_id, receipt in receipts.items() if receipt.seq > common}
        for request_id, receipt in (self._receipts | newer).items():
            if anew_seq := seqs.get(receipt.event.id):
                (body,) = self._ledger.row("SELECT body FROM events WHERE seq = ?", (anew_seq,))
                self._receipts[request_id] = Receipt(anew_seq, body)

    def _ask(self, request: Request, request_id: str = "", *, cut_before: int = 0) -> Receipt | None:
        """Ask the ledger and the model, and hold the answers against each other.

        Whatever the ledger had written when it was cut off before a statement, nothing of it is left.
        """
        before = tables(self._ledger)
        scissors = Scissors(self._ledger.connection)
        scissors.cut_before(cut_before)
        outcome: Outcome = None
        receipt = None
        try:
            receipt = perform(self._ledger, request, Origin(request_id=request_id))
        except CutError:
            scissors.cut_before(0)
            assert tables(self._ledger) == before
            return None
        except InventoryError as error:
            outcome = type(error)
        scissors.cut_before(0)
        expected, repeated = self._model.ask(request, request_id)
        assert outcome is expected, (request, outcome, expected)
        if receipt is not None:
            assert receipt.replayed is repeated
            if repeated:
                assert receipt == self._receipts[request_id]._replace(replayed=True)
            elif request_id and receipt.seq:
                self._receipts[request_id] = receipt
        if NEW in self._model.holds:
            assert receipt is not None
            self._model.holds[key_of(receipt)] = self._model.holds.pop(NEW)
        return receipt

    @invariant()
    def reads_show_what_the_model_says(self) -> None:
        rows, _ = reads.stock(self._ledger)
        model = self._model
        assert {row.sku: (row.name, row.on_hand, row.reserved, row.available) for row in rows} == {
            sku: (model.names[sku], on_hand, model.reserved(sku), on_hand - model.reserved(sku))
            for sku, on_hand in model.on_hand.items()
        }
        assert {sku for (sku,) in self._ledger.rows("SELECT sku FROM recounts")} == model.recounts
        for key, hold in model.holds.items():
            shown = reads.reservation(self._ledger, key)
            assert (shown.status, parse_time(shown.expires_at)) == (model.shown(key), hold.due_us)
            assert shown.quantities == hold.lines
            if not shown.pending:
                assert {line.sku: line.confirmed for line in shown.lines if line.confirmed} == {
                    sku: quantity for sku, quantity in hold.confirmed.items() if quantity
                }
                assert all(line.confirmed + line.released == line.quantity for line in shown.lines)

    @invariant()
    def movements_sum_to_the_level_at_every_prefix(self) -> None:
        odd = self._ledger.rows(
            "SELECT * FROM"
            " (SELECT *, sum(on_hand_change) OVER so_far AS stock, sum(reserved_change) OVER so_far AS held"
            " FROM movements WINDOW so_far AS (PARTITION BY sku ORDER BY seq))"
            " WHERE stock <> on_hand OR held <> reserved OR stock < 0 OR held < 0 OR held > stock"
        )
        assert odd == []
        assert self._ledger.rows(
            "SELECT sku, on_hand, reserved FROM stock EXCEPT SELECT sku, sum(on_hand_change), sum(reserved_change)"
            " FROM products LEFT JOIN movements USING (sku) GROUP BY sku HAVING count(seq) > 0"
        ) == self._ledger.rows("SELECT sku, 0, 0 FROM stock WHERE version = 0")

    @invariant()
    def a_reservation_ends_once_and_never_expires_early(self) -> None:
        happened = written(self._ledger)
        ended = [event for event in happened if events.STATUS_AFTER.get(event.type, "pending") != "pending"]
        assert len({event.subject for event in ended}) == len(ended)
        for event in ended:
            if event.type == events.RESERVATION_EXPIRED:
                assert event.decided_at >= event.data["expires_at"]
            elif event.type == events.RESERVATION_CONFIRMED:
                assert event.decided_at < event.data["expires_at"]
        times = [event.time for event in happened]
        assert times == sorted(times)

    def _replays(self) -> None:
        """Work the state out again from the events alone, with what central uses."""
        projection = Projection()
        for seq, event in enumerate(written(self._ledger), 1):
            projection.apply(seq, event)
        assert projection.close() == []
        assert {sku: level.on_hand for sku, level in projection.levels.items()} == self._model.on_hand
        assert {sku: product.name for sku, product in projection.products.items()} == self._model.names
        assert {key: entry.status for key, entry in projection.reservations.items()} == {
            key: hold.status for key, hold in self._model.holds.items()
        }


@settings(max_examples=40)
@given(
    st.fixed_dictionaries({sku: st.integers(0, 12) for sku in SKUS[:2]}),
    trades,
    st.lists(st.tuples(trades, trades, st.integers(1, 5)), min_size=1, max_size=3),
)
def test_history_is_lost_once_and_again(
    units: dict[str, int],
    before: list[tuple[Request, str]],
    losses: list[tuple[list[tuple[Request, str]], list[tuple[Request, str]], int]],
) -> None:
    machine = LedgerMachine()
    try:
        machine.begin(units)
        machine.trade(before)
        for theirs, ours, page in losses:
            machine.lose_history(theirs, ours, page)
            machine.reads_show_what_the_model_says()
            machine.movements_sum_to_the_level_at_every_prefix()
            machine.a_reservation_ends_once_and_never_expires_early()
    finally:
        machine.teardown()


pytestmark = pytest.mark.business
TestLedger = pytest.mark.slow(LedgerMachine.TestCase)
TestLedger.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

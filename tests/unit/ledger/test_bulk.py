from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from invctl.errors import InvalidValueError, NotEnoughStockError, NotFoundError, RequestReusedError
from invctl.ledger import bulk, products, reads
from invctl.ledger.bulk import KEEP, Carried, Line, Product
from invctl.ledger.writing import Origin
from invctl.model.events import EVENT_BYTES_MAX
from tests.unit.ledger.support import hold, level, tables, types, written

if TYPE_CHECKING:
    from invctl.ledger.ledger import Ledger

pytestmark = pytest.mark.business


class TestCarry:
    def test_new_ones_are_added_changed_ones_edited_and_others_stay(self, ledger: Ledger) -> None:
        wanted = [
            Product("PHONE", "Phone", 500),
            Product("MOUSE", "Mouse", 80),
            Product("CABLE", "Product CABLE", None),
        ]
        done = bulk.carry(ledger, wanted, Origin("ana"))
        assert done == Carried(["PHONE"], ["MOUSE"], ["CABLE"], reads.head_seq(ledger))
        assert types(ledger, done.seq - 2) == ["product.added", "product.edited"]
        assert written(ledger)[-1].data == {"sku": "MOUSE", "name": "Mouse", "price": 80, "clerk": "ana"}
        assert level(ledger, "MOUSE") == (100, 0, 1)
        assert level(ledger, "PHONE") == (0, 0, 0)

    def test_twice_equals_once(self, ledger: Ledger) -> None:
        wanted = [Product("PHONE", "Phone", 500), Product("MOUSE", "Mouse", KEEP)]
        bulk.carry(ledger, wanted)
        before = tables(ledger)
        assert bulk.carry(ledger, wanted)[:3] == ([], [], ["PHONE", "MOUSE"])
        assert tables(ledger) == before

    def test_a_price_that_is_not_named_stays(self, ledger: Ledger) -> None:
        products.edit(ledger, "MOUSE", {"price": 80})
        bulk.carry(ledger, [Product("MOUSE", "Mouse", KEEP)])
        assert reads.stock(ledger, "MOUSE")[0][0][1:3] == ("Mouse", 80)

    def test_a_dry_run_says_the_same_and_writes_nothing(self, ledger: Ledger) -> None:
        before = tables(ledger)
        assert bulk.carry(ledger, [Product("PHONE", "Phone", 500)], dry_run=True).added == ["PHONE"]
        assert tables(ledger) == before

    def test_one_that_is_wrong_keeps_all_out(self, ledger: Ledger) -> None:
        before = tables(ledger)
        with pytest.raises(InvalidValueError):
            bulk.carry(ledger, [Product("PHONE", "Phone", 500), Product("TABLET", "", 500)])
        assert tables(ledger) == before


class TestAdjust:
    def test_what_comes_in_does_so_before_anything_leaves(self, ledger: Ledger) -> None:
        lines = [Line(2, "CABLE", -3, "damaged"), Line(3, "CABLE", 5, "received"), Line(4, "MOUSE", 1, "received")]
        receipt = bulk.adjust(ledger, lines, note="4711", origin=Origin("ana"))
        assert [(event.data["reason"], len(event.lines)) for event in written(ledger)[-2:]] == [
            ("received", 2),
            ("damaged", 1),
        ]
        assert written(ledger)[-1].data["note"] == "4711"
        assert receipt.seq == reads.head_seq(ledger) - 1
        assert level(ledger, "CABLE") == (2, 0, 2)

    def test_many_are_split_over_events_of_which_each_fits(self, ledger: Ledger) -> None:
        names = [f"{'N' * 50}-{number:04}" for number in range(700)]
        bulk.carry(ledger, [Product(name, name, None) for name in names])
        before = reads.head_seq(ledger)
        bulk.adjust(ledger, [Line(2, name, 3, "received") for name in names])
        bodies = [body for (body,) in ledger.rows("SELECT body FROM events WHERE seq > ?", (before,))]
        assert len(bodies) > 1
        assert max(len(body) for body in bodies) <= EVENT_BYTES_MAX
        assert {row.on_hand for row in reads.stock(ledger)[0] if row.sku in names} == {3}

    def test_a_request_of_several_events_is_carried_out_once(self, ledger: Ledger) -> None:
        lines = [Line(2, "CABLE", 5, "received"), Line(3, "MOUSE", -1, "damaged")]
        first = bulk.adjust(ledger, lines, origin=Origin(request_id="nightly"))
        # A ledger that is rebuilt from its events must know it by the first again, not by another.
        assert [event.request_id for event in written(ledger)[-2:]] == ["nightly", ""]
        before = tables(ledger)
        again = bulk.adjust(ledger, lines, origin=Origin(request_id="nightly"))
        assert (again.seq, again.replayed) == (first.seq, True)
        assert tables(ledger) == before
        with pytest.raises(RequestReusedError):
            bulk.adjust(ledger, lines[:1], origin=Origin(request_id="nightly"))

    @pytest.mark.parametrize(
        ("line", "error"),
        [
            (Line(3, "NONE", 1, "received"), NotFoundError),
            (Line(3, "LAPTOP", -9, "damaged"), NotEnoughStockError),
            (Line(3, "LAPTOP", -1, "received"), InvalidValueError),
        ],
    )
    def test_one_line_that_is_wrong_is_found_and_keeps_all_out(
        self, ledger: Ledger, line: Line, error: type[Exception]
    ) -> None:
        hold(ledger, LAPTOP=2)
        before = tables(ledger)
        lines = [Line(2, "MOUSE", 1, "received"), line]
        ((number, found),) = bulk.faults(ledger, lines)
        assert (number, type(found)) == (3, error)
        with pytest.raises(error):
            bulk.adjust(ledger, lines)
        assert tables(ledger) == before

    def test_lines_that_are_right_alone_may_be_too_much_together(self, ledger: Ledger) -> None:
        lines = [Line(2, "LAPTOP", -6, "damaged"), Line(3, "LAPTOP", -6, "shrinkage"), Line(4, "LAPTOP", 1, "received")]
        assert [number for number, _ in bulk.faults(ledger, lines)] == [3]

    def test_a_dry_run_writes_nothing_not_even_its_request(self, ledger: Ledger) -> None:
        before = tables(ledger)
        lines = [Line(2, "CABLE", 5, "received")]
        assert bulk.adjust(ledger, lines, origin=Origin(request_id="nightly"), dry_run=True).seq
        with pytest.raises(NotEnoughStockError):
            bulk.adjust(ledger, [Line(2, "CABLE", -5, "damaged")], origin=Origin(request_id="n"), dry_run=True)
        assert tables(ledger) == before
        assert not reads.requested(ledger, "n")

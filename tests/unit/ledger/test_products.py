from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from invctl.errors import InvalidValueError, NotFoundError, WrongStateError
from invctl.ledger import products, reads
from invctl.ledger.writing import Origin
from invctl.model import events
from invctl.model.stock import LEVEL_MAX
from tests.unit.ledger.support import head, level, tables, types, written

if TYPE_CHECKING:
    from invctl.ledger.ledger import Ledger

pytestmark = pytest.mark.business


def shown(ledger: Ledger, sku: str) -> tuple[str, int | None]:
    ((_, name, price, *_),), _ = reads.stock(ledger, sku)
    return name, price


def test_a_product_begins_with_nothing_on_hand(ledger: Ledger) -> None:
    receipt = products.add(ledger, "PHONE-1", "Téléphone 5″", 79900, Origin(clerk="ann"))
    assert receipt.event.type == events.PRODUCT_ADDED
    assert receipt.event.data == {"sku": "PHONE-1", "name": "Téléphone 5″", "price": 79900, "clerk": "ann"}
    assert shown(ledger, "PHONE-1") == ("Téléphone 5″", 79900)
    assert level(ledger, "PHONE-1") == (0, 0, 0)


def test_a_sku_is_kept_in_one_form(ledger: Ledger) -> None:
    assert products.add(ledger, " phone-1", "Phone").event.subject == "PHONE-1"
    with pytest.raises(WrongStateError):
        products.add(ledger, "Phone-1", "Another")


def test_a_product_is_added_once(ledger: Ledger) -> None:
    before = tables(ledger)
    with pytest.raises(WrongStateError, match="MOUSE is there already: Product MOUSE"):
        products.add(ledger, "MOUSE", "Mouse")
    assert tables(ledger) == before


@pytest.mark.parametrize(
    ("changes", "shows"),
    [
        ({"name": "Rat"}, ("Rat", 100)),
        ({"price": 250}, ("Mouse", 250)),
        ({"price": None}, ("Mouse", None)),
        ({"price": 0}, ("Mouse", 0)),
        ({"name": "Rat", "price": 1}, ("Rat", 1)),
    ],
)
def test_an_edit_changes_what_it_names_and_the_event_states_the_whole(
    ledger: Ledger, changes: dict[str, Any], shows: tuple[str, int | None]
) -> None:
    products.add(ledger, "PET", "Mouse", 100)
    receipt = products.edit(ledger, "PET", changes)
    assert shown(ledger, "PET") == shows
    assert receipt.event.type == events.PRODUCT_EDITED
    assert receipt.event.data == {"sku": "PET", "name": shows[0], "price": shows[1]}


def test_an_edit_that_changes_nothing_writes_nothing(ledger: Ledger) -> None:
    before = tables(ledger)
    receipt = products.edit(ledger, "MOUSE", {"name": "Product MOUSE", "price": None}, Origin(request_id="r-1"))
    assert receipt.seq == 0
    assert tables(ledger) == before


def test_an_unknown_product_is_not_edited(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match="no product PHONE"):
        products.edit(ledger, "PHONE", {"name": "Phone"})


@pytest.mark.parametrize("sku", ["", "-A", "A B", "A\0", "\ud800", "É", "\u0131", "X" * 65])
def test_what_is_no_sku_is_not_added(ledger: Ledger, sku: str) -> None:
    with pytest.raises(InvalidValueError):
        products.add(ledger, sku, "Name")


BAD: list[tuple[str, int | None]] = [
    ("", None),
    ("  ", None),
    ("a\0b", None),
    ("a\nb", None),
    ("\ud800", None),
    ("x" * 201, None),
    ("Name", -1),
    ("Name", LEVEL_MAX + 1),
    ("Name", 2**63),
]


@pytest.mark.parametrize(("name", "price"), BAD)
def test_no_name_or_price_out_of_range_is_written(ledger: Ledger, name: str, price: int | None) -> None:
    before = tables(ledger)
    with pytest.raises(InvalidValueError):
        products.add(ledger, "PHONE", name, price)
    with pytest.raises(InvalidValueError):
        products.edit(ledger, "MOUSE", {"name": name, "price": price})
    assert tables(ledger) == before


def test_the_longest_name_and_the_greatest_price(ledger: Ledger) -> None:
    products.add(ledger, "X" * 64, "\U0001f600" * 200, LEVEL_MAX)
    assert shown(ledger, "X" * 64) == ("\U0001f600" * 200, LEVEL_MAX)


def test_each_is_an_event_of_its_own(ledger: Ledger) -> None:
    before = head(ledger)
    products.add(ledger, "PHONE", "Phone")
    products.edit(ledger, "PHONE", {"price": 1})
    assert types(ledger, before) == ["product.added", "product.edited"]
    assert all(event.lines == [] for event in written(ledger, before))

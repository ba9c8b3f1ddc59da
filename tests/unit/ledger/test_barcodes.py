"""Barcodes are other names of SKUs: by events, and never by a code that was misread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from invctl.errors import InvalidValueError, NotFoundError, WrongStateError
from invctl.ledger import barcodes, products
from invctl.ledger.verify import verify
from invctl.ledger.writing import Origin
from invctl.model.barcodes import check_digit, parse_barcode

if TYPE_CHECKING:
    from invctl.ledger.ledger import Ledger

EAN = "4006381333931"


@pytest.fixture
def store(ledger: Ledger) -> Ledger:
    products.add(ledger, "MOUSE-001", "Mouse")
    products.add(ledger, "LAPTOP-001", "Laptop")
    return ledger


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        (EAN, EAN),
        (" 4006381333931 ", EAN),
        # A UPC is an EAN without the zero before it.
        ("036000291452", "0036000291452"),
        ("0036000291452", "0036000291452"),
        ("96385074", "96385074"),
        ("abc-123", "ABC-123"),
        ("12345", "12345"),
    ],
)
def test_a_code_has_one_form(typed: str, stored: str) -> None:
    assert parse_barcode(typed) == stored


@pytest.mark.parametrize("typed", ["4006381333930", "036000291453", "96385075", "a b", "é123", "12", "", "x" * 65])
def test_a_code_that_was_misread_is_refused(typed: str) -> None:
    with pytest.raises(InvalidValueError):
        parse_barcode(typed)


def test_every_single_wrong_digit_is_found() -> None:
    for place in range(12):
        for digit in set("0123456789") - {EAN[place]}:
            wrong = EAN[:place] + digit + EAN[place + 1 :]
            assert check_digit(wrong[:-1]) != wrong[-1]


def test_it_stands_for_its_item_in_every_form_that_a_scanner_types(store: Ledger) -> None:
    barcodes.assign(store, "MOUSE-001", "036000291452")
    barcodes.assign(store, "MOUSE-001", EAN)
    assert barcodes.meant(store, "0036000291452") == barcodes.meant(store, "036000291452") == "MOUSE-001"
    assert barcodes.meant(store, "NOBODY") == "NOBODY"
    assert barcodes.barcodes(store) == [("0036000291452", "MOUSE-001"), (EAN, "MOUSE-001")]
    assert verify(store).findings == []


def test_it_stands_for_one_item_alone(store: Ledger) -> None:
    barcodes.assign(store, "MOUSE-001", EAN)
    assert barcodes.assign(store, "MOUSE-001", EAN).seq == 0
    with pytest.raises(WrongStateError, match="stands for MOUSE-001"):
        barcodes.assign(store, "LAPTOP-001", EAN)
    with pytest.raises(WrongStateError, match="SKU itself"):
        barcodes.assign(store, "MOUSE-001", "LAPTOP-001")
    with pytest.raises(NotFoundError):
        barcodes.assign(store, "NOBODY", "ABC-123")
    barcodes.remove(store, EAN)
    assert barcodes.meant(store, EAN) == EAN
    barcodes.assign(store, "LAPTOP-001", EAN)
    assert barcodes.meant(store, EAN) == "LAPTOP-001"
    with pytest.raises(NotFoundError):
        barcodes.remove(store, "ABC-123")
    assert verify(store).findings == []


def test_the_same_request_is_carried_out_once(store: Ledger) -> None:
    first = barcodes.assign(store, "MOUSE-001", EAN, Origin(request_id="r1"))
    again = barcodes.assign(store, "MOUSE-001", EAN, Origin(request_id="r1"))
    assert (again.seq, again.replayed) == (first.seq, True)


def test_verify_sees_a_code_that_no_event_gave(store: Ledger) -> None:
    barcodes.assign(store, "MOUSE-001", EAN)
    store.connection.execute("UPDATE barcodes SET sku = 'LAPTOP-001'")
    store.connection.execute("INSERT INTO barcodes VALUES ('ABC-123', 'MOUSE-001')")
    said = verify(store).findings
    assert any(EAN in each and "LAPTOP-001" in each for each in said)
    assert any("ABC-123" in each for each in said)
    store.connection.execute("DELETE FROM barcodes WHERE barcode = 'ABC-123'")
    store.connection.execute("UPDATE barcodes SET sku = 'MOUSE-001'")

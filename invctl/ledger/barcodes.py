"""Barcodes as other names of SKUs: several of one SKU, and each of one SKU alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.errors import InvalidValueError, NotFoundError, WrongStateError
from invctl.language import _
from invctl.ledger.database import first
from invctl.ledger.writing import NOBODY, Origin, Receipt, Write
from invctl.model import events
from invctl.model.barcodes import parse_barcode

if TYPE_CHECKING:
    from invctl.ledger.ledger import Ledger


def assign(ledger: Ledger, sku: str, barcode: str, origin: Origin = NOBODY) -> Receipt:
    """Let a barcode stand for a SKU. Where it does already, nothing is done.

    Raises NotFoundError, WrongStateError where it stands for another SKU, or is one, and InvalidValueError.
    """
    barcode = parse_barcode(barcode)

    def body(write: Write, origin: Origin) -> Receipt:
        write.level(sku)
        found = first(write.connection, "SELECT sku FROM barcodes WHERE barcode = ?", (barcode,))
        if found and found[0] == sku:
            return Receipt(0, b"")
        if found:
            hint = _("`invctl barcode remove {barcode}` first, if that is wrong", barcode=barcode)
            raise WrongStateError(
                _("{barcode} stands for {sku}", barcode=barcode, sku=found[0]), hint=hint, sku=found[0]
            )
        if first(write.connection, "SELECT 1 FROM products WHERE sku = ?", (barcode,)):
            raise WrongStateError(
                _("{barcode} is a SKU itself", barcode=barcode), hint=_("a SKU needs no barcode that is the same")
            )
        write.connection.execute("INSERT INTO barcodes VALUES (?, ?)", (barcode, sku))
        return write.append(events.BARCODE_ASSIGNED, sku, _data(sku, barcode, origin), origin)

    return ledger.decide("barcode.assign", {"sku": sku, "barcode": barcode}, origin, (), body, grows=True)


def remove(ledger: Ledger, barcode: str, origin: Origin = NOBODY) -> Receipt:
    """Let a barcode stand for nothing any more. Raises NotFoundError, or InvalidValueError."""
    barcode = parse_barcode(barcode)

    def body(write: Write, origin: Origin) -> Receipt:
        found = first(write.connection, "SELECT sku FROM barcodes WHERE barcode = ?", (barcode,))
        if found is None:
            hint = _("`invctl barcode list` shows what there is")
            raise NotFoundError(_("no barcode {barcode}", barcode=barcode), hint=hint, barcode=barcode)
        write.connection.execute("DELETE FROM barcodes WHERE barcode = ?", (barcode,))
        return write.append(events.BARCODE_REMOVED, found[0], _data(found[0], barcode, origin), origin)

    return ledger.decide("barcode.remove", {"barcode": barcode}, origin, (), body)


def barcodes(ledger: Ledger, sku: str | None = None) -> list[tuple[str, str]]:
    """Return barcodes with their SKUs, by SKU: all, or those of one."""
    if sku:
        return ledger.rows("SELECT barcode, sku FROM barcodes WHERE sku = ? ORDER BY barcode", (sku,))
    return ledger.rows("SELECT barcode, sku FROM barcodes ORDER BY sku, barcode")


def meant(ledger: Ledger, text: str) -> str:
    """Return the SKU that is meant by a SKU or a barcode; what is neither, as it is."""
    if ledger.row("SELECT 1 FROM products WHERE sku = ?", (text,)):
        return text
    try:
        code = parse_barcode(text)
    except InvalidValueError:
        # It may still be a SKU that is not there.
        return text
    found = ledger.row("SELECT sku FROM barcodes WHERE barcode = ?", (code,))
    return str(found[0]) if found else text


def _data(sku: str, barcode: str, origin: Origin) -> dict[str, str]:
    return {"sku": sku, "barcode": barcode} | ({"clerk": origin.clerk} if origin.clerk else {})

"""Why there is not enough: for every short line what is there, and which open reservations hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.clock import format_time
from invctl.errors import NotEnoughStockError
from invctl.language import _, joined
from invctl.ledger.database import rows

if TYPE_CHECKING:
    from invctl.ledger.writing import Write
    from invctl.model.stock import StockLevel

HOLDERS_SHOWN = 5


class Shortage(NamedTuple):
    """A line that cannot be served."""

    sku: str
    requested: int
    level: StockLevel


def not_enough(write: Write, short: list[Shortage]) -> NotEnoughStockError:
    """Return the error that tells a clerk what to say to the customer."""
    lines = [_line(write, shortage) for shortage in short]
    said = joined(
        "; ",
        (
            _(
                "{sku}: {requested:,} wanted, {available:,} available ({on_hand:,} on hand, {reserved:,}"
                " reserved{holders})",
                sku=line["sku"],
                requested=line["requested"],
                available=line["available"],
                on_hand=line["on_hand"],
                reserved=line["reserved"],
                holders=_held_by(line),
            )
            for line in lines
        ),
    )
    return NotEnoughStockError(_("not enough stock of {said}", said=said), hint=_hint(lines), lines=lines)


def _line(write: Write, shortage: Shortage) -> dict[str, Any]:
    level = shortage.level
    found = rows(
        write.connection,
        "SELECT reservation, quantity, order_reference, clerk, expires_us"
        " FROM reservation_lines JOIN reservations USING (reservation)"
        " WHERE sku = ? AND due_us IS NOT NULL ORDER BY due_us LIMIT ?",
        (shortage.sku, HOLDERS_SHOWN + 1),
    )
    holders = [
        {
            "reservation": reservation,
            "quantity": quantity,
            "order": order or None,
            "clerk": clerk or None,
            "expires_at": format_time(expires_us),
        }
        for reservation, quantity, order, clerk, expires_us in found[:HOLDERS_SHOWN]
    ]
    return {
        "sku": shortage.sku,
        "requested": shortage.requested,
        "on_hand": level.on_hand,
        "reserved": level.reserved,
        "available": level.available,
        "held_by": holders,
        "held_by_more": len(found) > HOLDERS_SHOWN,
    }


def _held_by(line: dict[str, Any]) -> str:
    if not line["held_by"]:
        return ""
    names = [f"{holder['reservation']} ({holder['quantity']})" for holder in line["held_by"]]
    return _(" by {names}", names=", ".join(names)) + (_(" and more") if line["held_by_more"] else "")


def _hint(lines: list[dict[str, Any]]) -> str:
    holders = [holder for line in lines for holder in line["held_by"]]
    if not holders:
        return _("`invctl stock` shows what there is")
    first = min(holders, key=lambda holder: holder["expires_at"])
    return _(
        "{reservation} is the next to expire, at {time}Z; `invctl reservations` lists all",
        reservation=first["reservation"],
        time=first["expires_at"][:19],
    )

"""Refusals in words for a person: one line for each short item, times of the store's clock.

Programs get the same facts from the error's details.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invctl.cli.holding import store_time
from invctl.cli.words import called
from invctl.errors import InventoryError, NotEnoughStockError
from invctl.language import _, number

if TYPE_CHECKING:
    from invctl.cli.times import StoreTime
    from invctl.ledger.ledger import Ledger


def for_people(refusal: InventoryError, ledger: Ledger) -> InventoryError:
    """Return the same refusal with a message, and a hint, to be read at the counter."""
    when = store_time(ledger)
    details = refusal.details
    if isinstance(refusal, NotEnoughStockError):
        return NotEnoughStockError(_shortage(details["lines"]), hint=_shortage_hint(details["lines"], when), **details)
    if "ended_at" in details:
        ended_at = details["ended_at"]
        message = _(
            "{reservation} was {status} at {time}",
            reservation=details["reservation"],
            status=called(details["status"]),
            time=when.exact(ended_at),
        )
        if details["status"] == "expired":
            message = _(
                "{reservation} expired at {time}, {ago} ago",
                reservation=details["reservation"],
                time=when.exact(ended_at),
                ago=when.since(ended_at),
            )
        return type(refusal)(message, hint=refusal.hint, **details)
    return refusal


def _shortage(lines: list[dict[str, Any]]) -> str:
    width = max(len(line["sku"]) for line in lines)
    return _("not enough stock") + "".join(
        f"\n  {line['sku']:{width}}  "
        + _(
            "{requested:,} wanted, {available:,} available: {on_hand:,} on hand, {reserved:,} reserved{holders}",
            requested=line["requested"],
            available=line["available"],
            on_hand=line["on_hand"],
            reserved=line["reserved"],
            holders=_holders(line),
        )
        for line in lines
    )


def _holders(line: dict[str, Any]) -> str:
    names = [f"{holder['reservation']} ({number(holder['quantity'])})" for holder in line["held_by"]]
    if not names:
        return ""
    return _(" by {names}", names=", ".join(names)) + (_(", and more") if line["held_by_more"] else "")


def _shortage_hint(lines: list[dict[str, Any]], when: StoreTime) -> str:
    holders = [holder for line in lines for holder in line["held_by"]]
    if not holders:
        return _("`invctl stock` shows what there is")
    first = min(holders, key=lambda holder: holder["expires_at"])
    at = first["expires_at"]
    expiry = _("{time} (in {left})", time=when.short(at), left=when.until(at))
    return _(
        "{reservation} expires next, at {expiry}; `invctl reservations` has all",
        reservation=first["reservation"],
        expiry=expiry,
    )

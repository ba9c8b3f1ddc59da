"""Refusals in words for a person: one line for each short item, times of the store's clock.

Programs get the same facts from the error's details.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invctl.cli.holding import store_time
from invctl.errors import InventoryError, NotEnoughStockError

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
        message = f"{details['reservation']} was {details['status']} at {when.exact(ended_at)}"
        if details["status"] == "expired":
            message = f"{details['reservation']} expired at {when.exact(ended_at)}, {when.since(ended_at)} ago"
        return type(refusal)(message, hint=refusal.hint, **details)
    return refusal


def _shortage(lines: list[dict[str, Any]]) -> str:
    width = max(len(line["sku"]) for line in lines)
    return "not enough stock" + "".join(
        f"\n  {line['sku']:{width}}  {line['requested']} wanted, {line['available']} available:"
        f" {line['on_hand']} on hand, {line['reserved']} reserved{_holders(line)}"
        for line in lines
    )


def _holders(line: dict[str, Any]) -> str:
    names = [f"{holder['reservation']} ({holder['quantity']})" for holder in line["held_by"]]
    if not names:
        return ""
    return " by " + ", ".join(names) + (", and more" if line["held_by_more"] else "")


def _shortage_hint(lines: list[dict[str, Any]], when: StoreTime) -> str:
    holders = [holder for line in lines for holder in line["held_by"]]
    if not holders:
        return "`invctl stock` shows what there is"
    first = min(holders, key=lambda holder: holder["expires_at"])
    at = first["expires_at"]
    expiry = f"{when.short(at)} (in {when.until(at)})"
    return f"{first['reservation']} expires next, at {expiry}; `invctl reservations` has all"

"""Stock that comes, goes, or is found to differ. Corrections append; nothing is edited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invctl.errors import InvalidValueError
from invctl.language import _, marked
from invctl.ledger.checks import check_text
from invctl.ledger.shortage import Shortage, not_enough
from invctl.ledger.writing import NOBODY, Move, Origin, Receipt, Write
from invctl.model import events
from invctl.model.stock import LEVEL_MAX, QUANTITY_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from invctl.ledger.ledger import Ledger

NOTE_CHARS_MAX = 500
# Seed and reset are operations of their own: a store that merely stated them would seem not to have traded.
REASONS = tuple(reason for reason in events.REASONS if reason not in {"seed", "reset"})
ONLY_UP = frozenset({"received", "restock", "returned", "transfer_in"})
ONLY_DOWN = frozenset({"damaged", "shrinkage", "transfer_out"})


def adjust(
    ledger: Ledger,
    changes: Mapping[str, int],
    reason: str,
    *,
    note: str = "",
    document: str = "",
    origin: Origin = NOBODY,
) -> Receipt:
    """Change what is on hand, all lines or none.

    Args:
        ledger: the store's.
        changes: units by SKU, below zero for stock that leaves; 0 for a count that finds what is here.
        reason: one of `REASONS`.
        note: free text.
        document: the number of the paper that it goes by, such as a delivery note's or a receipt's.
        origin: who asks.

    Raises:
        NotFoundError: the store does not carry a SKU.
        NotEnoughStockError: a line would take more than is available.
        DiskLowError: stock is to come in, and the disk is low. A correction, or stock that leaves, is taken.
        InvalidValueError: a value is out of range, or the sign does not fit the reason.

    """
    check_note(note)
    check_text(document, marked("document's number"), NOTE_CHARS_MAX)
    if not changes:
        raise InvalidValueError(_("nothing to adjust"), hint=_("name a SKU, and how it changes"))
    for sku, change in changes.items():
        check_change(sku, change, reason)

    def body(write: Write, origin: Origin) -> Receipt:
        return append(write, moves_of(write, changes), reason, note, origin, document=document)

    arguments: dict[str, Any] = {"lines": sorted(changes.items()), "reason": reason, "note": note}
    if document:
        # Not where there is none: a request from before documents were known is the same one still.
        arguments["document"] = document
    return ledger.decide("stock.adjust", arguments, origin, changes, body, grows=reason in ONLY_UP)


def moves_of(write: Write, changes: Mapping[str, int]) -> list[Move]:
    """Return these changes as moves. Raises as `adjust` does where the levels do not allow them."""
    short = []
    for sku, change in changes.items():
        level = write.level(sku)
        if level.available + change < 0:
            short.append(Shortage(sku, -change, level))
        if level.on_hand + change > LEVEL_MAX:
            hint = _("{most:,} is the most", most=LEVEL_MAX)
            raise InvalidValueError(
                _("{sku} would come to {level:,}", sku=sku, level=level.on_hand + change), hint=hint
            )
    if short:
        raise not_enough(write, short)
    return [Move(sku, change, 0, {}) for sku, change in changes.items()]


def append(write: Write, moves: list[Move], reason: str, note: str, origin: Origin, *, document: str = "") -> Receipt:
    """Write one adjustment, within a transaction that has checked it."""
    data: dict[str, Any] = {"reason": reason}
    if note:
        data["note"] = note
    if document:
        data["document"] = document
    if origin.clerk:
        data["clerk"] = origin.clerk
    receipt = write.append(events.STOCK_ADJUSTED, moves[0].sku if len(moves) == 1 else reason, data, origin, moves)
    if reason in events.COUNTED_REASONS:
        write.connection.executemany("DELETE FROM recounts WHERE sku = ?", [(move.sku,) for move in moves])
    return receipt


def check_note(note: str) -> None:
    """Raise InvalidValueError where a note is too long, or not printable."""
    check_text(note, marked("note"), NOTE_CHARS_MAX)


def check_change(sku: str, change: int, reason: str) -> None:
    """Raise InvalidValueError where a level cannot change so for this reason."""
    if reason not in REASONS:
        raise InvalidValueError(
            _("{reason!r} is not a reason", reason=reason), hint=_("one of {names}", names=", ".join(REASONS))
        )
    # A count that finds what was expected is worth as much as any other.
    if (change == 0 and reason != "cycle_count") or abs(change) > QUANTITY_MAX:
        hint = _(
            "1 to {most:,} units, up or down; 0 with cycle_count, where a count finds what is here", most=QUANTITY_MAX
        )
        raise InvalidValueError(_("{sku} cannot change by {change}", sku=sku, change=change), hint=hint)
    if (reason in ONLY_UP and change < 0) or (reason in ONLY_DOWN and change > 0):
        raise InvalidValueError(
            _("{reason!r} does not go with a change of {change:+,}", reason=reason, change=change),
            hint=_("turn the sign, or give the reason that fits"),
        )

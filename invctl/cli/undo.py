"""`invctl undo`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# Typer reads the annotations of a command at run time.
from typer import Context  # noqa: TC002

from invctl.cli.command import open_ledger
from invctl.cli.holding import tell_asides
from invctl.cli.origin import origin
from invctl.cli.parameters import Clerk  # noqa: TC001
from invctl.cli.words import called, units
from invctl.console.command import output
from invctl.language import _
from invctl.ledger import undoing
from invctl.model import events

if TYPE_CHECKING:
    from invctl.ledger.undoing import Undone
    from invctl.model.events import Event


def undo(ctx: Context, clerk: Clerk = None) -> None:
    """Undo the last action, by an event that compensates it: nothing is edited.

    What was reserved is released, what was sold comes back, what was received or adjusted is taken back. Said again,
    it undoes the action before that. With --clerk it is the last action of that clerk.

    For example:

        invctl undo
    """
    with open_ledger(ctx) as ledger:
        done = undoing.undo(ledger, clerk=clerk, origin=origin(clerk, None))
        output(ctx).result(as_record(done), message=sentence(done), ident=str(done.receipt.seq))
        tell_asides(output(ctx), ledger, done.receipt)


def as_record(done: Undone) -> dict[str, Any]:
    """Return what was undone as a JSON value."""
    event = done.receipt.event
    return {
        "undid": done.event.type.removeprefix("inventory."),
        "undid_seq": done.seq,
        "reservation": done.event.data.get("reservation"),
        "lines": [
            {
                "sku": entry.sku,
                "on_hand_change": entry.on_hand_change,
                "reserved_change": entry.reserved_change,
                **entry.level._asdict(),
            }
            for entry in event.lines
        ],
        "seq": done.receipt.seq,
    }


def sentence(done: Undone) -> str:
    """Return what was undone, for a person: `undid event 7 (reservation R-7K4QMQ): 2 MOUSE-001 released`."""
    lines = done.receipt.event.lines
    if barcode := done.event.data.get("barcode"):
        return _(
            "undid event {seq}: {barcode} stands for {sku} no longer",
            seq=done.seq,
            barcode=barcode,
            sku=done.event.data["sku"],
        )
    if done.event.data.get("reservation") and not any(entry.on_hand_change for entry in lines):
        what = _("{items} released", items=units((entry.sku, -entry.reserved_change) for entry in lines))
    else:
        moved = [(entry.sku, entry.on_hand_change) for entry in lines]
        back, out = [each for each in moved if each[1] > 0], [(sku, -change) for sku, change in moved if change < 0]
        parts = [_("{items} back in stock", items=units(back))] * bool(back) + [
            _("{items} taken out again", items=units(out))
        ] * bool(out)
        what = ", ".join(parts)
    return _("undid event {seq} ({event}): {what}", seq=done.seq, event=_event(done.event), what=what)


def _event(event: Event) -> str:
    reservation = event.data.get("reservation")
    if event.type == events.RESERVATION_CREATED:
        return _("reservation {reservation}", reservation=reservation)
    if event.type == events.RESERVATION_CONFIRMED:
        return _("sale {reservation}", reservation=reservation)
    return called(event.data["reason"])

"""How a reservation is told: its record for programs, its sentence for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.cli.times import StoreTime
from invctl.cli.words import called, units
from invctl.clock import parse_time
from invctl.language import _
from invctl.model.events import RESERVATION_CREATED
from invctl.model.reservation import after_event

if TYPE_CHECKING:
    from invctl.console.output import Output
    from invctl.console.style import Part
    from invctl.ledger.ledger import Ledger
    from invctl.ledger.writing import Receipt
    from invctl.model.reservation import Reservation


def tell(out: Output, ledger: Ledger, receipt: Receipt) -> None:
    """Write what a command did to a reservation, from the event that it left, whatever happened since."""
    event = receipt.event
    opened = None
    if event.type != RESERVATION_CREATED:
        from invctl.ledger.reads import reservation as read  # noqa: PLC0415 - `reserve` does without

        # Who opened it stands in its first event alone.
        opened = read(ledger, event.data["reservation"])
    reservation = after_event(receipt.seq, event, opened)
    record = {**reservation.as_dict(), "replayed": receipt.replayed}
    # As of the event: who holds for 30 minutes is told 30 minutes.
    when = StoreTime(ledger.store.timezone, parse_time(event.time))
    out.result(record, message=sentence(reservation, when), ident=reservation.reservation)
    tell_asides(out, ledger, receipt)


def tell_asides(out: Output, ledger: Ledger, receipt: Receipt) -> None:
    """Say to a person what else there is to know of a change: that it was made before, that head office lacks it."""
    if out.quiet or out.fmt != "table":
        return
    if receipt.replayed:
        out.talk([(_("note:"), "bold"), _(" this request was carried out before; nothing was done again")])
    # Where it lacks what head office has, nothing was written, and that was said.
    reason = ledger.link_state()[1]
    if reason == "other_ledger":
        store = ledger.store.store
        told = _(" head office holds another history of {store}: see `invctl status`", store=store)
        out.talk([(_("warning:"), "bold yellow"), told])


def store_time(ledger: Ledger) -> StoreTime:
    """Return what writes instants for the people of this store."""
    return StoreTime(ledger.store.timezone, ledger.clock.now_us())


def sentence(reservation: Reservation, when: StoreTime) -> list[Part]:
    """Return `R-7K4QMQ holds 2 MOUSE-001 until 10:42 (30 min) for order A-17`, or what became of it."""
    key = (reservation.reservation, "bold cyan")
    order = _(" for order {order}", order=reservation.order) if reservation.order else ""
    if reservation.pending:
        until = f"{when.short(reservation.expires_at)} ({when.until(reservation.expires_at)})"
        return [
            key,
            _(
                " holds {items} until {until}{order}",
                items=units((entry.sku, entry.quantity) for entry in reservation.lines),
                until=until,
                order=order,
            ),
        ]
    sold = units((entry.sku, entry.confirmed) for entry in reservation.lines)
    released = units((entry.sku, entry.released) for entry in reservation.lines)
    outcome = "; ".join(
        [_("sold {sold}", sold=sold)] * bool(sold) + [_("released {released}", released=released)] * bool(released)
    )
    # When a clerk ended it, its story says; one that ended by itself did so when it was due.
    at = _(" at {time}", time=when.exact(reservation.ended_at)) if reservation.status == "expired" else ""
    return [key, f" {called(reservation.status)}{at}{order}: {outcome}"]

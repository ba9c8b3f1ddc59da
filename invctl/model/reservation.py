"""A reservation: some units of one or more SKUs, held for a customer until it ends, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.errors import InvalidValueError, NotFoundError
from invctl.language import _
from invctl.model.events import RESERVATION_CREATED, RESERVATION_EXTENDED, STATUS_AFTER

if TYPE_CHECKING:
    from invctl.model.events import Event


class ReservationLine(NamedTuple):
    """Units of one SKU. `confirmed` and `released` are both 0 while the reservation is pending."""

    sku: str
    quantity: int
    confirmed: int = 0
    released: int = 0


class Reservation(NamedTuple):
    """A reservation as of event `seq`. Instants are RFC 3339; `ended_at` is empty while it is pending."""

    reservation: str
    status: str
    order: str
    clerk: str
    created_at: str
    expires_at: str
    ended_at: str
    seq: int
    lines: tuple[ReservationLine, ...]

    @property
    def pending(self) -> bool:
        """Whether it still holds its stock."""
        return self.status == "pending"

    @property
    def quantities(self) -> dict[str, int]:
        """Units by SKU, as they were reserved."""
        return {entry.sku: entry.quantity for entry in self.lines}

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value, under the domain's names; what is not known is null."""
        return {
            "reservation": self.reservation,
            "status": self.status,
            "order": self.order or None,
            "clerk": self.clerk or None,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "ended_at": self.ended_at or None,
            "seq": self.seq,
            "lines": [entry._asdict() for entry in self.lines],
        }


def after_event(seq: int, event: Event, before: Reservation | None = None) -> Reservation:
    """Return the reservation as a reservation event leaves it.

    Each such event states the whole reservation, so `before` is needed by none; who opened it and when is taken
    from `before` where it is known. Raises KeyError, TypeError or AttributeError where the data lack a field, or it
    is of another type.
    """
    data = event.data
    status = STATUS_AFTER[event.type]
    ended_at = "" if event.type in (RESERVATION_CREATED, RESERVATION_EXTENDED) else event.time
    return Reservation(
        reservation=_text(data["reservation"]),
        status=status,
        order=_text(data.get("order", "")),
        clerk=before.clerk if before else _text(data.get("clerk", "")),
        created_at=_text(data["created_at"]),
        expires_at=_text(data["expires_at"]),
        ended_at=ended_at,
        seq=seq,
        lines=tuple([_line(entry) for entry in data["holds" if event.type == RESERVATION_EXTENDED else "lines"]]),
    )


def _line(entry: dict[str, Any]) -> ReservationLine:
    sku, quantity = entry["sku"], entry["quantity"]
    confirmed, released = entry.get("confirmed", 0), entry.get("released", 0)
    # Not isinstance: True is no number of units.
    if type(sku) is str and type(quantity) is type(confirmed) is type(released) is int:
        return ReservationLine(sku, quantity, confirmed, released)
    raise TypeError(_("{entry!r:.200} is no line of a reservation", entry=entry))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(_("{value!r:.80} is not text", value=value))
    return value


def shares(lines: tuple[ReservationLine, ...], confirmed: dict[str, int] | None) -> list[ReservationLine]:
    """Divide a reservation's lines into what is confirmed and what is released.

    Args:
        lines: the open lines.
        confirmed: units by SKU; None confirms all, an empty mapping releases all.

    Raises:
        NotFoundError: a SKU is not in the reservation.
        InvalidValueError: more would be confirmed than is held, or less than none.

    """
    if confirmed is None:
        return [entry._replace(confirmed=entry.quantity) for entry in lines]
    held = {entry.sku: entry.quantity for entry in lines}
    for sku, quantity in confirmed.items():
        if sku not in held:
            raise NotFoundError(
                _("{sku} is not in this reservation", sku=sku),
                hint=_("it holds {skus}", skus=", ".join(sorted(held))),
                sku=sku,
            )
        if not 0 <= quantity <= held[sku]:
            raise InvalidValueError(
                _(
                    "{quantity:,} of {sku} cannot be confirmed: {held:,} are held",
                    quantity=quantity,
                    sku=sku,
                    held=held[sku],
                ),
                hint=_("reserve the rest first"),
                sku=sku,
                held=held[sku],
            )
    return [
        entry._replace(confirmed=confirmed.get(entry.sku, 0), released=entry.quantity - confirmed.get(entry.sku, 0))
        for entry in lines
    ]

"""Events as msgspec decodes them: the bytes, held to their types in one go, in C.

That is most of what head office does with an event, and this way it costs a quarter. What is not taken here is told
apart by hand in `central.facts`. The types are those of `invctl.model.events`; a test holds the two readings together.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, DecodeError, Meta, Struct, UnsetType
from msgspec.json import Decoder

from invctl.model.events import Event, MalformedEventError, of_document
from invctl.model.stock import LEVEL_MAX

NOT_DECODED = (DecodeError, UnicodeDecodeError, RecursionError)
"""What `decode` raises for bytes that are no event."""

Level = Annotated[int, Meta(ge=-LEVEL_MAX, le=LEVEL_MAX)]


class Line(Struct, gc=False):
    """A line as it has to be in any event; what a reservation's has beside that is looked at where it is one."""

    sku: str
    on_hand_change: Level
    reserved_change: Level
    on_hand: Level
    reserved: Level
    version: Level
    quantity: Any = None
    confirmed: Any = 0
    released: Any = 0


class Data(Struct, gc=False):
    """What most events say: those of reservations, and adjustments."""

    lines: list[Line] | UnsetType = UNSET
    reason: Any = None
    reservation: Any = None
    order: Any = ""
    clerk: Any = ""
    created_at: Any = None
    expires_at: Any = None


class Document(Struct, gc=False):
    """An event as `invctl.model.events` takes it. To decode it and hold it to its types is most of the work."""

    source: str
    id: str
    type: str
    time: str
    data: Data
    subject: str = ""
    traceparent: str = ""
    requestid: str = ""
    requesthash: str = ""


decode = Decoder(Document).decode
_decode_freely = Decoder().decode


def event_of(body: bytes) -> Event:
    """Return the whole event, for whoever follows more of it than is applied. Raises MalformedEventError."""
    try:
        return of_document(_decode_freely(body))
    except NOT_DECODED as error:
        raise MalformedEventError(str(error)) from None

"""Which traces events belong to: the trace ids of their W3C traceparents, read without parsing the rest.

In canonical bytes the keys are sorted, so the last `traceparent` is the event's own, and no text holds a bare
quotation mark, so what looks like a key is one.

What befalls an event on its way are steps of its trace. Their span ids follow from the event alone, so whoever sees a
step knows the ids of those before it, and nothing more travels with the event.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from invctl.model.events import TRACE_VENDOR

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEY = b'"traceparent":"'
# Version, trace id, parent id, flags: https://www.w3.org/TR/trace-context/#traceparent-header
_VALUE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-")

_WHOLE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\"")
_STATE = f'"tracestate":"{TRACE_VENDOR}='.encode()
_PARENT = re.compile(rb"[0-9a-f]{16}")
_ZEROS = {b"0" * 32, b"0" * 16}


class Traced(NamedTuple):
    """An event's place in its trace, its ids in hexadecimal digits.

    `span` is the command's that made the event, `parent` the one that started the command; empty where nobody did, or
    where nobody knows. `sampled` is what the W3C flag says.
    """

    seq: int
    trace: str
    span: str
    parent: str
    sampled: bool

    def step(self, name: str) -> str:
        """Return the span id of a step on the event's way."""
        return blake2b(f"{self.trace}{self.span}{self.seq}{name}".encode(), digest_size=8).hexdigest()


def traced(seq: int, body: bytes) -> Traced | None:
    """Return where the event with this `seq` belongs; None where it has no trace."""
    at = body.rfind(_KEY)
    found = _WHOLE.match(body, at + len(_KEY)) if at >= 0 else None
    if not found or not _ZEROS.isdisjoint(found.groups()):
        return None
    state = body.find(_STATE, at)
    parent = _PARENT.match(body, state + len(_STATE)) if state >= 0 else None
    trace, span, flags = (each.decode() for each in found.groups())
    return Traced(seq, trace, span, parent[0].decode() if parent else "", bool(int(flags, 16) & 1))


def trace_id(body: bytes) -> str | None:
    """Return the trace id of an event, 32 hexadecimal digits; None where it has none."""
    return last_trace(body, _KEY)


def last_trace(text: bytes, key: bytes) -> str | None:
    """Return the trace id after the last `key` in any bytes; None where there is none."""
    at = text.rfind(key)
    found = _VALUE.match(text, at + len(key)) if at >= 0 else None
    return found[1].decode() if found else None


def trace_ids(bodies: Iterable[bytes]) -> list[str]:
    """Return the traces of a run of events, each once, in the order in which they begin."""
    return list(dict.fromkeys(trace for body in bodies if (trace := trace_id(body))))

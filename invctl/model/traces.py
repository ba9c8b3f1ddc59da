"""Which traces events belong to: the trace ids of their W3C traceparents, read without parsing the rest.

In canonical bytes the keys are sorted, so the last `traceparent` is the event's own, and no text holds a bare
quotation mark, so what looks like a key is one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEY = b'"traceparent":"'
# Version, trace id, parent id, flags: https://www.w3.org/TR/trace-context/#traceparent-header
_VALUE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-")


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

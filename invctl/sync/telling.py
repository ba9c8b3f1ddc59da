"""What there is to tell of a frame: for logs, which then name its trace wherever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invctl.model.traces import last_trace, trace_ids
from invctl.sync import frames

if TYPE_CHECKING:
    from collections.abc import Sequence

# Events travel as JSON strings, so their quotation marks are escaped, once.
_KEY = rb"\"traceparent\":\""


def trace_of(payload: bytes) -> str | None:
    """Return the trace of a frame's last event that has one, None where none has. Any bytes will do; cheap."""
    return last_trace(payload, _KEY)


def traces(bodies: Sequence[bytes]) -> dict[str, Any]:
    """Return what a log line says of the traces of events: `trace`, the last one, and `traces` where there are more."""
    found = trace_ids(bodies)
    return ({"trace": found[-1]} if found else {}) | ({"traces": found} if len(found) > 1 else {})


def describe(payload: bytes) -> dict[str, Any]:
    """Return what a log line says of a frame, in either direction. It reads the whole frame. Any bytes will do."""
    for decode in (frames.decode_up, frames.decode_down):
        try:
            return _facts(decode(payload))
        except frames.FrameError as error:
            unreadable = str(error)
    return {"unreadable": unreadable}


def _facts(frame: frames.UpFrame | frames.DownFrame) -> dict[str, Any]:
    known = {"store": frame.store}
    if isinstance(frame, frames.Events):
        told = {"kind": "events", "n": frame.n, "seq": frame.last_seq, "events": len(frame.events)}
        return known | told | traces(frame.events)
    if isinstance(frame, frames.Hello):
        return known | {"kind": "hello", "n": frame.n, "seq": frame.head_seq, "acked_seq": frame.acked_seq}
    if isinstance(frame, frames.Ack):
        wanted = {} if frame.want_from is None else {"want_from": frame.want_from}
        return known | {"kind": "ack", "n": frame.n, "seq": frame.applied_seq} | wanted
    if isinstance(frame, frames.Refused):
        return known | {"kind": "refused", "n": frame.n, "reason": frame.reason}
    return known | {"kind": "hello"}

"""Where a change comes from: who asks, under which request id, as part of which trace."""

from __future__ import annotations

import os
import re

from invctl.ledger.writing import Origin

# version, trace id, parent id, flags; neither id may be all zeros (https://www.w3.org/TR/trace-context/).
_TRACEPARENT = r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"


def origin(clerk: str | None, request_id: str | None) -> Origin:
    """Return the origin of a command's change, with a trace of its own, or as a step of `TRACEPARENT`'s."""
    trace, parent = new_trace(os.environ.get("TRACEPARENT", ""))
    return Origin(clerk or "", request_id or "", trace, parent=parent)


def new_trace(parent: str) -> tuple[str, str]:
    """Return a W3C traceparent, and the id of the span that it is a step of.

    Where `parent` is no traceparent, it begins a trace, and is a step of nothing.
    """
    known = re.fullmatch(_TRACEPARENT, parent)
    trace, span, flags = known.groups() if known else (os.urandom(16).hex(), "", "01")
    return f"00-{trace}-{os.urandom(8).hex()}-{flags}", span

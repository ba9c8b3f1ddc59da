"""Why a SKU's level may be in doubt. The words are stored and shown, so they do not change."""

from __future__ import annotations

from typing import NamedTuple

# Of an event's bytes: see central.facts.
UNREADABLE = "unreadable"
UNSTORABLE = "unstorable"
# Of a fact that should be impossible: see central.state.
DOES_NOT_FOLLOW = "does_not_follow"
IMPOSSIBLE_LEVEL = "impossible_level"
RESERVATION_TWICE = "reservation_twice"
RESERVATION_UNKNOWN = "reservation_unknown"
RESERVATION_ENDED = "reservation_ended"
# Of a checkpoint, which states another level than the store's own events come to: see central.agreement.
CHECKPOINT_DIFFERS = "checkpoint_differs"


class Doubt(NamedTuple):
    """A SKU that became suspect, by which event, and why."""

    sku: str
    seq: int
    reason: str

"""Whether a store's ledger has the event that central applied last. One without it was restored, or has a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.sync import frames

if TYPE_CHECKING:
    from invctl.sync.cursor import Cursor
    from invctl.sync.tokens import Echo

QUIET_AFTER_S = 6.0
"""Three heartbeats: after so long without a word, a boot no longer contradicts another."""


class Divergence:
    """What is known of one store, from its own words about the cursor as it stands."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._lacks_seq: int | None = None
        self._boot = ""
        self._said_us = 0

    def judge(self, frame: frames.UpFrame, echo: Echo, cursor: Cursor, now_us: int) -> int | None:
        """Take in a frame. Returns the first event that the ledger was seen to lack, 0 for none, None where unknown.

        Where a ledger and its copy both speak, the copy's agreement does not hide that the ledger disagrees: only the
        boot that disagreed takes that back, or, when it has fallen silent, another.
        """
        agrees = _agrees(frame, echo, cursor)
        if agrees is False:
            self._lacks_seq, self._boot, self._said_us = self._lacks_seq or cursor.applied_seq, frame.boot, now_us
        elif agrees:
            is_quiet = now_us - self._said_us > QUIET_AFTER_S * 1_000_000
            if not self._lacks_seq or frame.boot == self._boot or is_quiet:
                self._lacks_seq = 0
        return self._lacks_seq


def _agrees(frame: frames.UpFrame, echo: Echo, cursor: Cursor) -> bool | None:
    """Whether the sender's ledger has the cursor's event; None where the frame does not tell.

    Both of what is looked at stays true however late a frame comes: what a ledger has at a seq, and whether it knew an
    ack. A head that lies below the cursor may just be old, and tells nothing.
    """
    if frame.head_seq == cursor.applied_seq:
        return frame.head_hash == cursor.applied_hash
    if isinstance(frame, frames.Hello) and echo.applied_seq == cursor.applied_seq:
        # It echoes our ack of this very event, so it has looked for that hash; `acked_seq` says whether it found it.
        return frame.acked_seq >= cursor.applied_seq
    return None

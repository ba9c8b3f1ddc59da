"""Bugs such as one really makes, each in a side of its own, to prove that the simulation can see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invctl.sync import frames
from invctl.sync.peer import Peer
from invctl.sync.receiver import Receiver
from invctl.sync.shipper import Shipper

if TYPE_CHECKING:
    from invctl.model.chain import Head
    from invctl.sync.cursor import Cursor


class AcknowledgesBeforeCommit(Receiver):
    """It answers with what it has taken in, not with what is durable."""

    def _answer(self, peer: Any, boot: str, n: int, now_us: int) -> frames.DownFrame:
        cursor = peer.cursor
        peer.cursor = cursor._replace(applied_seq=peer.tip_seq, applied_hash=peer.tip_hash)
        answer = super()._answer(peer, boot, n, now_us)
        peer.cursor = cursor
        return answer

    def failed(self, store: str) -> None:
        """Keep what was taken in for the next round, and answer all the same."""


class AppliesTwice(Receiver):
    """It takes each frame that fits for new."""

    class Twice(Peer):
        def _append(self, frame: frames.Events, hashes: list[bytes]) -> None:
            self.bodies += frame.events
            self.hashes += hashes
            self.tip_seq, self.tip_hash = frame.last_seq, frame.last_hash

    def _begin(self, cursor: Cursor) -> Peer:
        return self.Twice(cursor, self.counts)


class OverlooksGaps(Receiver):
    """It takes what comes next for what follows."""

    class Overlooking(Peer):
        def take_in(self, frame: frames.UpFrame) -> str:
            if isinstance(frame, frames.Events) and frame.first_seq > self.tip_seq + 1:
                self.tip_seq, self.tip_hash = frame.first_seq - 1, frame.prev_hash
            return super().take_in(frame)

    def _begin(self, cursor: Cursor) -> Peer:
        return self.Overlooking(cursor, self.counts)


class BelievesEveryHead(Receiver):
    """It takes a store's numbers for fresh as soon as its token is back, whatever is still missing."""

    class Believing(Peer):
        def prove(self, frame: frames.UpFrame, issued_us: int) -> None:  # noqa: ARG002 - that is the bug
            self.fresh_us = max(self.fresh_us, issued_us)

    def _begin(self, cursor: Cursor) -> Peer:
        return self.Believing(cursor, self.counts)


class DatesByArrival(Receiver):
    """It takes a frame for as new as its arrival."""

    class Dating(Peer):
        def prove(self, frame: frames.UpFrame, issued_us: int) -> None:  # noqa: ARG002 - that is the bug
            assert self.heard
            super().prove(frame, self.heard.at_us)

    def _begin(self, cursor: Cursor) -> Peer:
        return self.Dating(cursor, self.counts)


class CountsProofsThatFailed(Receiver):
    """It counts a head as passed though the commit failed."""

    def failed(self, store: str) -> None:
        peer = self._peers[store]
        peer.fresh_us = max([peer.fresh_us, *(proof.issued_us for proof in peer.proofs)])
        super().failed(store)


class BelievesThatClocksOnlyRunOn(Receiver):
    """It keeps what was proved by moments that come again."""

    def _tell_time(self, now_us: int) -> None:
        """Take the time as it is."""


class HasNoHeartbeat(Shipper):
    """It says hello once."""

    def _hello(self, head: Head) -> bytes:
        payload = super()._hello(head)
        self._greeted = True
        return payload

    def poll(self, now_s: float) -> list[bytes]:
        out = super().poll(now_s)
        if getattr(self, "_greeted", False):
            self._hello_due_s = float("inf")
        return out


class NeverGoesBack(Shipper):
    """It takes what was acknowledged once for delivered for ever."""

    def _acknowledged(self, ack: frames.Ack, now_s: float) -> None:
        if ack.applied_seq >= self._acked_seq:
            super()._acknowledged(ack, now_s)


class TrustsThePublish(Shipper):
    """It takes what was published for delivered."""

    def _fill_window(self, head: Head, now_s: float) -> list[bytes]:
        out = super()._fill_window(head, now_s)
        self._flight.clear()
        self._acked_seq = self._sent_seq
        return out


class NeverTriesAgain(Shipper):
    """It waits for the ack of what it sent, and waits."""

    def _fill_window(self, head: Head, now_s: float) -> list[bytes]:
        out = super()._fill_window(head, now_s)
        self._retry_due_s = float("inf")
        return out


class SendsAgainAtOnce(Shipper):
    """It takes the first sign of a gap for a reason to send, whatever is under way."""

    def _acknowledged(self, ack: frames.Ack, now_s: float) -> None:
        super()._acknowledged(ack, now_s)
        if ack.want_from is not None:
            self._rewind("gap")
            self._window = 1000


class ReadsItsHeadTooEarly(Shipper):
    """It sends the head that it read before the token came."""

    def __init__(self, outbox: Any, **more: Any) -> None:
        super().__init__(_LateHead(outbox), **more)


class _LateHead:
    """Gives the head of the call before."""

    def __init__(self, outbox: Any) -> None:
        self._outbox = outbox
        self._head: Head = outbox.head()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outbox, name)

    def head(self) -> Head:
        head, self._head = self._head, self._outbox.head()
        return head

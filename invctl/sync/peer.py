"""One store, as the receiving side sees it between two commits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from invctl.model.chain import GENESIS, links
from invctl.sync import frames
from invctl.sync.boots import Boots
from invctl.sync.cursor import Cursor, Heard, Intake, Lost, Page
from invctl.sync.divergence import Divergence

if TYPE_CHECKING:
    from collections import Counter

    from invctl.sync.tokens import Echo

PROOFS_KEPT = 64


class _Proof(NamedTuple):
    """Once the chain holds this head, the numbers are as new as this moment."""

    issued_us: int
    head_seq: int
    head_hash: bytes


class Peer:
    """A store's cursor, what was taken in beyond it, and whom to answer what in this round."""

    def __init__(self, cursor: Cursor, counts: Counter[str]) -> None:
        """Begin at the database's word. `counts` is where the oddities of all stores are counted."""
        self.cursor = cursor
        self.heard: Heard | None = None
        self.fresh_us = 0
        self.other_ledger_us = 0
        self._divergence = Divergence()
        self.boots = Boots()
        self.asking: dict[str, frames.Hello] = {}
        """The last word, in this round, of each boot that wants to rejoin."""
        self.answers: dict[str, int] = {}
        self.refusals: dict[str, tuple[int, str]] = {}
        self._counts = counts
        self._gap_seq = 0
        self.proofs: list[_Proof] = []
        self.pages: dict[str, Page] = {}
        """What is sent, in this round, to each boot that may rejoin."""
        self.settle(cursor)

    def settle(self, cursor: Cursor) -> None:
        """Take the database's word; what was taken in beyond it is dropped, and comes again."""
        self.cursor = cursor
        self.tip_seq, self.tip_hash = cursor.applied_seq, cursor.applied_hash
        self.bodies: list[bytes] = []
        self.hashes: list[bytes] = []

    def hear(self, frame: frames.UpFrame, echo: Echo, now_us: int) -> Heard:
        """Note what the store says of itself."""
        known = self.heard
        first_hash = known.first_hash if known else GENESIS
        if isinstance(frame, frames.Hello):
            first_hash = frame.first_hash
        head_seq, head_hash = frame.head_seq, frame.head_hash
        if known and known.head_seq > head_seq and (known.epoch, known.first_hash) == (frame.epoch, first_hash):
            # A ledger's head never falls within an epoch: a frame that comes late does not hide what is missing.
            head_seq, head_hash = known.head_seq, known.head_hash
        asks = isinstance(frame, frames.Hello) and frame.held_seq is not None
        self.boots.hear(frame.boot, echo.issued_us, now_us, asks=asks)
        if isinstance(frame, frames.Hello) and asks:
            self.asking[frame.boot] = frame
        lacks_seq = self._divergence.judge(frame, echo, self.cursor, now_us)
        held_seq = frame.held_seq if isinstance(frame, frames.Hello) else None
        self.heard = Heard(
            *(frame.store, frame.boot, frame.epoch, head_seq, head_hash, first_hash, now_us, lacks_seq, held_seq)
        )
        return self.heard

    @property
    def are_copies(self) -> bool:
        """Whether two runs of the store's daemon were seen to live at once, by this central or another."""
        return self.cursor.are_copies or self.boots.are_copies

    def lost(self, now_us: int) -> list[Lost]:
        """Return which boots of this round may rejoin, and what they hold."""
        cursor = self.cursor
        if not cursor.admitted or not cursor.applied_seq:
            return []
        return [
            Lost(cursor.store, boot, hello.held_seq or 0, hello.held_hash or GENESIS)
            for boot, hello in self.asking.items()
            if boot == cursor.readmitted or (not cursor.are_copies and self.boots.may_rejoin(boot, now_us))
        ]

    def take_in(self, frame: frames.UpFrame) -> str:
        """Take what is new in a frame. Returns why it is refused, or nothing."""
        if isinstance(frame, frames.Hello):
            return frames.OTHER_LEDGER if self._is_other_ledger(frame.first_hash) else ""
        if frame.first_seq > self.tip_seq + 1:
            self._counts["gap"] += 1
            self._gap_seq = max(self._gap_seq, frame.first_seq)
            return ""
        hashes = links(frame.prev_hash, frame.first_seq, frame.events)
        if hashes[-1] != frame.last_hash:
            return frames.BYTES_DO_NOT_HASH
        if frame.first_seq == 1 and self._is_other_ledger(hashes[0]):
            return frames.OTHER_LEDGER
        self._append(frame, hashes)
        return ""

    def answer(self, boot: str, n: int) -> None:
        """Answer this boot, for the newest frame of the round."""
        self.answers[boot] = max(n, self.answers.get(boot, 0))

    def refuse(self, boot: str, n: int, reason: str) -> None:
        """Answer this boot with a refusal; the last reason of a round is the one that is given."""
        self.refusals[boot] = (max(n, self.refusals.get(boot, (0, ""))[0]), reason)

    def take(self) -> Intake | None:
        """Return what is to be applied now. What comes in later is not in it."""
        if not self.bodies:
            return None
        cursor = self.cursor
        return Intake(cursor.store, cursor.applied_seq, cursor.applied_hash, list(self.bodies), list(self.hashes))

    def committed(self, intake: Intake, *, epoch: int, suspects: int) -> None:
        """Note that an intake is durable. One that does not follow the cursor changes nothing."""
        cursor = self.cursor
        if (cursor.applied_seq, cursor.applied_hash) != (intake.prev_seq, intake.prev_hash):
            return
        for proof in self.proofs:
            index = proof.head_seq - intake.first_seq
            if 0 <= index < len(intake.hashes) and intake.hashes[index] == proof.head_hash:
                self.fresh_us = max(self.fresh_us, proof.issued_us)
        self.proofs = [proof for proof in self.proofs if proof.head_seq > intake.last_seq]
        self.settle(
            cursor._replace(
                first_hash=cursor.first_hash or intake.hashes[0],
                epoch=epoch,
                applied_seq=intake.last_seq,
                applied_hash=intake.hashes[-1],
                suspects=suspects,
            )
        )

    def failed(self) -> None:
        """Note that an intake could not be committed: no answer in this round."""
        self.settle(self.cursor)
        self.answers.clear()
        self.refusals.clear()

    def end_round(self) -> None:
        """Forget whom to answer."""
        self.answers.clear()
        self.refusals.clear()
        self.asking.clear()
        self.pages.clear()
        self._gap_seq = 0

    @property
    def want_from(self) -> int | None:
        """The seq to ask for where the round met a gap, even a closed one: what came after it was not kept."""
        return self.cursor.applied_seq + 1 if self._gap_seq > self.cursor.applied_seq else None

    def prove(self, frame: frames.UpFrame, issued_us: int) -> None:
        """Use an echoed token: the frame's head was read after it was issued."""
        if issued_us <= self.fresh_us:
            return
        if frame.head_seq == self.cursor.applied_seq:
            if frame.head_hash == self.cursor.applied_hash:
                self.fresh_us = issued_us
        elif frame.head_seq > self.cursor.applied_seq:
            if len(self.proofs) >= PROOFS_KEPT:
                # Thinned out, the list keeps near heads and far ones, and a place for the newest.
                del self.proofs[1::2]
            self.proofs.append(_Proof(issued_us, frame.head_seq, frame.head_hash))

    def void_proofs(self) -> None:
        """Forget how fresh it is."""
        self.fresh_us = 0
        self.proofs.clear()
        self.boots.interrupt()

    def _append(self, frame: frames.Events, hashes: list[bytes]) -> None:
        """Put what is new behind the tip, if the frame's history is the same up to there."""
        known = self.tip_seq - frame.first_seq + 1
        if known >= len(hashes):
            self._counts["duplicate"] += 1
        elif (hashes[known - 1] if known else frame.prev_hash) != self.tip_hash:
            self._counts["misfit"] += 1
        else:
            self.bodies += frame.events[known:]
            self.hashes += hashes[known:]
            self.tip_seq, self.tip_hash = frame.last_seq, frame.last_hash

    def _is_other_ledger(self, first_hash: bytes) -> bool:
        known = self.cursor.first_hash
        return known is not None and first_hash not in (known, GENESIS)

"""The receiving side: decides, frame by frame, what central may apply, and what it answers.

No I/O and no clock. A round goes: `receive` each frame that came; `take` what is to be committed; the caller
commits it and says `committed`, `failed` or, with what the database has, `load`; `replies` are then sent. So
nothing is acknowledged before it is durable, and however many frames came, each sender gets one answer a round.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from invctl.model.chain import GENESIS, links
from invctl.model.identifiers import is_store
from invctl.sync import frames

if TYPE_CHECKING:
    from invctl.model.identifiers import Bits

PROOFS_KEPT = 64
NEWCOMERS_MAX = 1000


class Cursor(NamedTuple):
    """How far central is with a store, as committed in its database.

    `first_hash` binds the store's id to a ledger; None until it is known. `suspects` counts SKUs in doubt.
    """

    store: str
    admitted: bool
    first_hash: bytes | None
    epoch: int
    applied_seq: int
    applied_hash: bytes
    suspects: int = 0


class Intake(NamedTuple):
    """Events to apply in one transaction: they follow `prev_seq` and `prev_hash`, which the cursor must still show."""

    store: str
    prev_seq: int
    prev_hash: bytes
    bodies: list[bytes]
    hashes: list[bytes]

    @property
    def first_seq(self) -> int:
        """The seq of the first event."""
        return self.prev_seq + 1

    @property
    def last_seq(self) -> int:
        """The seq of the last event."""
        return self.prev_seq + len(self.bodies)


class Heard(NamedTuple):
    """What a store last said of itself."""

    store: str
    boot: str
    epoch: int
    head_seq: int
    head_hash: bytes
    first_hash: bytes
    at_us: int


class _Proof(NamedTuple):
    """Once the chain holds this head, the numbers are as new as this moment."""

    issued_us: int
    head_seq: int
    head_hash: bytes


class _Peer:
    """One store, as the receiver sees it."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.tip_seq = cursor.applied_seq
        self.tip_hash = cursor.applied_hash
        self.bodies: list[bytes] = []
        self.hashes: list[bytes] = []
        self.answers: dict[str, int] = {}
        self.refusals: dict[str, tuple[int, str]] = {}
        self.gap_seq = 0
        self.heard: Heard | None = None
        self.proofs: list[_Proof] = []
        self.fresh_us = 0

    def refuse(self, boot: str, n: int, reason: str) -> None:
        """Answer this boot with a refusal; the last reason of a round is the one that is given."""
        self.refusals[boot] = (max(n, self.refusals.get(boot, (0, ""))[0]), reason)

    def settle(self, cursor: Cursor) -> None:
        """Take the database's word; what was taken in beyond it is dropped, and comes again."""
        self.cursor = cursor
        self.tip_seq, self.tip_hash = cursor.applied_seq, cursor.applied_hash
        self.bodies, self.hashes = [], []


class Receiver:
    """The receiving side for the stores of one central."""

    def __init__(self, *, chance: Bits) -> None:
        """Begin with no store known; `load` those that the database knows."""
        self._chance = chance
        self._issuer = f"{chance.getrandbits(64):016x}"
        self._tokens_issued = 0
        self._clock_us = 0
        self._peers: dict[str, _Peer] = {}
        self._due: dict[str, _Peer] = {}
        self._strangers: set[str] = set()
        self._newcomers: dict[str, Heard] = {}
        self.counts: Counter[str] = Counter()

    def load(self, cursor: Cursor) -> None:
        """Take in a store's cursor as the database has it: at start, after an admission, after a conflict."""
        self._strangers.discard(cursor.store)
        peer = self._peers.get(cursor.store)
        if peer is None or cursor.applied_seq < peer.cursor.applied_seq:
            # What was proved of a cursor that is gone (a database restored) is not true of this one.
            self._due.pop(cursor.store, None)
            self._peers[cursor.store] = _Peer(cursor)
        else:
            peer.settle(cursor)

    def clear(self) -> None:
        """Forget every store: the shard went to another central."""
        self._peers.clear()
        self._due.clear()
        self._strangers.clear()
        self._newcomers.clear()

    @property
    def stores(self) -> list[str]:
        """The stores that are known."""
        return list(self._peers)

    def cursor(self, store: str) -> Cursor | None:
        """Return the committed cursor of a store, None where it is not known."""
        peer = self._peers.get(store)
        return peer.cursor if peer else None

    def receive(self, store: str, payload: bytes, now_us: int) -> None:
        """Take in a frame that came on the channel of `store`, at `now_us` of the database's clock."""
        self._tell_time(now_us)
        try:
            frame = frames.decode_up(payload)
        except frames.FrameError as error:
            self.counts["damaged" if error.reason == frames.UNREADABLE else error.reason] += 1
            if error.boot and (peer := self._peer(store)):
                peer.refuse(error.boot, error.n, error.reason)
            return
        if frame.store != store:
            self.counts["foreign"] += 1
            return
        peer = self._peer(store)
        if peer is None:
            return
        if peer.cursor.admitted and (reason := self._take_in(peer, frame)):
            self.counts[reason] += 1
            peer.refuse(frame.boot, frame.n, reason)
            if reason == frames.OTHER_LEDGER:
                return
        self._hear(peer, frame, now_us)
        peer.answers[frame.boot] = max(frame.n, peer.answers.get(frame.boot, 0))
        self._note_proof(peer, frame, now_us)

    def _peer(self, store: str) -> _Peer | None:
        """Return the store that is to be answered, also a stranger, unless there are too many of those."""
        peer = self._peers.get(store)
        if peer is None:
            if not is_store(store):
                self.counts["foreign"] += 1
                return None
            if len(self._strangers) >= NEWCOMERS_MAX:
                self.counts["too_many_newcomers"] += 1
                return None
            self._strangers.add(store)
            peer = self._peers[store] = _Peer(Cursor(store, False, None, 1, 0, GENESIS))
        self._due[store] = peer
        return peer

    def newcomers(self) -> list[Heard]:
        """Return, once, the stores that spoke and are not admitted."""
        heard = list(self._newcomers.values())
        self._newcomers.clear()
        return heard

    def take(self) -> list[Intake]:
        """Return what is to be applied now, at most one run of events a store. The caller must answer for each.

        Events that come in before it has done so are not among them; they are dropped, and sent again.
        """
        return [
            Intake(
                store=peer.cursor.store,
                prev_seq=peer.cursor.applied_seq,
                prev_hash=peer.cursor.applied_hash,
                bodies=list(peer.bodies),
                hashes=list(peer.hashes),
            )
            for peer in self._due.values()
            if peer.bodies
        ]

    def committed(self, intake: Intake, *, epoch: int, suspects: int) -> None:
        """Note that an intake is durable.

        One that no longer follows the cursor, as the store was loaded anew meanwhile, changes nothing.
        """
        peer = self._peers.get(intake.store)
        if peer is None or (peer.cursor.applied_seq, peer.cursor.applied_hash) != (intake.prev_seq, intake.prev_hash):
            return
        for proof in peer.proofs:
            index = proof.head_seq - intake.first_seq
            if 0 <= index < len(intake.hashes) and intake.hashes[index] == proof.head_hash:
                peer.fresh_us = max(peer.fresh_us, proof.issued_us)
        peer.proofs = [proof for proof in peer.proofs if proof.head_seq > intake.last_seq]
        first_hash = peer.cursor.first_hash or intake.hashes[0]
        peer.settle(
            peer.cursor._replace(
                first_hash=first_hash,
                epoch=epoch,
                applied_seq=intake.last_seq,
                applied_hash=intake.hashes[-1],
                suspects=suspects,
            )
        )

    def failed(self, store: str) -> None:
        """Note that an intake could not be committed: no answer, so that it is sent again."""
        if peer := self._peers.get(store):
            peer.settle(peer.cursor)
            peer.answers.clear()
            peer.refusals.clear()

    def heard(self) -> list[Heard]:
        """Return what each store that spoke in this round last said of itself."""
        return [peer.heard for peer in self._due.values() if peer.heard]

    def fresh_us(self, store: str) -> int:
        """Return the moment, on the database's clock, up to which a store's numbers are proved complete; 0 if none."""
        peer = self._peers.get(store)
        return peer.fresh_us if peer else 0

    def replies(self, now_us: int) -> list[tuple[str, bytes]]:
        """End the round: return each answer with the store that it is for."""
        self._tell_time(now_us)
        out = []
        for store, peer in self._due.items():
            for boot, n in peer.answers.items():
                if boot not in peer.refusals:
                    out.append((store, frames.encode(self._answer(peer, boot, n, now_us))))
            for boot, (n, reason) in peer.refusals.items():
                newest = max(n, peer.answers.get(boot, 0))
                out.append((store, frames.encode(self._refusal(peer, boot, newest, reason, now_us))))
            peer.answers.clear()
            peer.refusals.clear()
            peer.gap_seq = 0
        self._due.clear()
        return out

    def greetings(self) -> list[tuple[str, bytes]]:
        """Return the frames that tell every known store that a central took over."""
        return [
            (store, frames.encode(frames.CentralHello(store, peer.cursor.epoch))) for store, peer in self._peers.items()
        ]

    def _tell_time(self, now_us: int) -> None:
        """Notice a clock that was set back: its moments come again, so what was proved by them is void."""
        if now_us < self._clock_us:
            self.counts["clock_set_back"] += 1
            self._issuer = f"{self._chance.getrandbits(64):016x}"
            for peer in self._peers.values():
                peer.fresh_us = 0
                peer.proofs.clear()
        self._clock_us = now_us

    def _hear(self, peer: _Peer, frame: frames.UpFrame, now_us: int) -> None:
        known = peer.heard
        first_hash = known.first_hash if known else GENESIS
        if isinstance(frame, frames.Hello):
            first_hash = frame.first_hash
        head_seq, head_hash = frame.head_seq, frame.head_hash
        if known and known.head_seq > head_seq and (known.epoch, known.first_hash) == (frame.epoch, first_hash):
            # A ledger's head never falls within an epoch: a frame that comes late does not hide what is missing.
            head_seq, head_hash = known.head_seq, known.head_hash
        peer.heard = Heard(frame.store, frame.boot, frame.epoch, head_seq, head_hash, first_hash, now_us)
        if not peer.cursor.admitted:
            self._newcomers[frame.store] = peer.heard

    def _take_in(self, peer: _Peer, frame: frames.UpFrame) -> str:
        """Take what is new in a frame. Returns why it is refused, or nothing."""
        if isinstance(frame, frames.Hello):
            return frames.OTHER_LEDGER if _is_other_ledger(peer.cursor, frame.first_hash) else ""
        if frame.first_seq > peer.tip_seq + 1:
            self.counts["gap"] += 1
            peer.gap_seq = max(peer.gap_seq, frame.first_seq)
            return ""
        hashes = links(frame.prev_hash, frame.first_seq, frame.events)
        if hashes[-1] != frame.last_hash:
            return frames.BYTES_DO_NOT_HASH
        if frame.first_seq == 1 and _is_other_ledger(peer.cursor, hashes[0]):
            return frames.OTHER_LEDGER
        self._append(peer, frame, hashes)
        return ""

    def _append(self, peer: _Peer, frame: frames.Events, hashes: list[bytes]) -> None:
        """Put what is new behind the tip, if the frame's history is the same up to there."""
        known = peer.tip_seq - frame.first_seq + 1
        if known >= len(hashes):
            self.counts["duplicate"] += 1
        elif (hashes[known - 1] if known else frame.prev_hash) != peer.tip_hash:
            self.counts["misfit"] += 1
        else:
            peer.bodies += frame.events[known:]
            peer.hashes += hashes[known:]
            peer.tip_seq, peer.tip_hash = frame.last_seq, frame.last_hash

    def _note_proof(self, peer: _Peer, frame: frames.UpFrame, now_us: int) -> None:
        """Use the echoed token: the frame's head was read after that token was issued."""
        issued_us = self._issued_us(frame.echo)
        if not peer.fresh_us < issued_us <= now_us:
            return
        if frame.head_seq == peer.cursor.applied_seq:
            if frame.head_hash == peer.cursor.applied_hash:
                peer.fresh_us = issued_us
        elif frame.head_seq > peer.cursor.applied_seq:
            if len(peer.proofs) >= PROOFS_KEPT:
                # Thinned out, the list keeps near heads and far ones, and a place for the newest.
                del peer.proofs[1::2]
            peer.proofs.append(_Proof(issued_us, frame.head_seq, frame.head_hash))

    def _token(self, now_us: int) -> str:
        """Draw a token that tells its issuer, on return, when it was issued: nothing has to be kept for it."""
        self._tokens_issued += 1
        return f"{self._issuer}.{now_us:x}.{self._tokens_issued:x}"

    def _issued_us(self, token: str) -> int:
        """Return when this very receiver issued a token, 0 where it did not."""
        issuer, _, rest = token.partition(".")
        if issuer != self._issuer:
            return 0
        try:
            return int(rest.partition(".")[0], 16)
        except ValueError:
            return 0

    def _answer(self, peer: _Peer, boot: str, n: int, now_us: int) -> frames.DownFrame:
        cursor = peer.cursor
        if not cursor.admitted:
            return self._refusal(peer, boot, n, frames.NOT_ADMITTED, now_us)
        return frames.Ack(
            store=cursor.store,
            epoch=cursor.epoch,
            boot=boot,
            n=n,
            token=self._token(now_us),
            applied_seq=cursor.applied_seq,
            applied_hash=cursor.applied_hash,
            # Also where the gap was closed within the round: what came after it was not kept.
            want_from=cursor.applied_seq + 1 if peer.gap_seq > cursor.applied_seq else None,
            suspects=cursor.suspects,
        )

    def _refusal(self, peer: _Peer, boot: str, n: int, reason: str, now_us: int) -> frames.DownFrame:
        return frames.Refused(peer.cursor.store, peer.cursor.epoch, boot, n, self._token(now_us), reason)


def _is_other_ledger(cursor: Cursor, first_hash: bytes) -> bool:
    return cursor.first_hash is not None and first_hash not in (cursor.first_hash, GENESIS)

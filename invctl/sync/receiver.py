"""The receiving side: decides, frame by frame, what central may apply, and what it answers.

No I/O and no clock. A round goes: `receive` each frame that came; `take` what is to be committed; the caller
commits it and says `committed`, `failed` or, with what the database has, `load`; `replies` are then sent. So
nothing is acknowledged before it is durable, and however many frames came, each sender gets one answer a round.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from invctl.model.chain import GENESIS
from invctl.model.identifiers import is_store
from invctl.sync import frames
from invctl.sync.cursor import Cursor
from invctl.sync.peer import Peer
from invctl.sync.tokens import Tokens

if TYPE_CHECKING:
    from invctl.model.identifiers import Bits
    from invctl.sync.cursor import Heard, Intake, Lost, Page

NEWCOMERS_MAX = 1000


class Receiver:
    """The receiving side for the stores of one central."""

    def __init__(self, *, chance: Bits) -> None:
        """Begin with no store known; `load` those that the database knows."""
        self._tokens = Tokens(chance)
        self._clock_us = 0
        self._peers: dict[str, Peer] = {}
        self._due: dict[str, Peer] = {}
        self._strangers: set[str] = set()
        self._newcomers: dict[str, Heard] = {}
        self.counts: Counter[str] = Counter()
        """What was odd, by what it was."""
        self.kinds: Counter[str] = Counter()
        """The frames that came, by kind."""

    def load(self, cursor: Cursor) -> None:
        """Take in a store's cursor as the database has it: at start, after an admission, after a conflict."""
        self._strangers.discard(cursor.store)
        peer = self._peers.get(cursor.store)
        if peer is None or cursor.applied_seq < peer.cursor.applied_seq:
            # What was proved of a cursor that is gone (a database restored) is not true of this one.
            self._due.pop(cursor.store, None)
            self._peers[cursor.store] = self._begin(cursor)
        else:
            peer.settle(cursor)

    def forget(self, store: str) -> None:
        """Forget a store that the database no longer has: when it speaks, it is a stranger again."""
        self._peers.pop(store, None)
        self._due.pop(store, None)
        self._strangers.discard(store)

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
            self.kinds["unreadable"] += 1
            self.counts["damaged" if error.reason == frames.UNREADABLE else error.reason] += 1
            if error.boot and (peer := self._peer(store)):
                peer.refuse(error.boot, error.n, error.reason)
            return
        self.kinds["events" if isinstance(frame, frames.Events) else "hello"] += 1
        if frame.store != store:
            self.counts["foreign"] += 1
            return
        peer = self._peer(store)
        if peer is None:
            return
        if peer.cursor.admitted and (reason := peer.take_in(frame)):
            self.counts[reason] += 1
            peer.refuse(frame.boot, frame.n, reason)
            if reason == frames.OTHER_LEDGER:
                peer.other_ledger_us = now_us
                return
        echo = self._tokens.read(frame.echo)
        heard = peer.hear(frame, echo, now_us)
        if not peer.cursor.admitted:
            self._newcomers[store] = heard
        peer.answer(frame.boot, frame.n)
        if echo.issued_us <= now_us:
            peer.prove(frame, echo.issued_us)

    def newcomers(self) -> list[Heard]:
        """Return, once, the stores that spoke and are not admitted."""
        heard = list(self._newcomers.values())
        self._newcomers.clear()
        return heard

    def take(self) -> list[Intake]:
        """Return what is to be applied now, at most one run of events a store. The caller must answer for each.

        Events that come in before it has done so are not among them; they are dropped, and sent again.
        """
        return [intake for peer in self._due.values() if (intake := peer.take())]

    def committed(self, intake: Intake, *, epoch: int, suspects: int) -> None:
        """Note that an intake is durable.

        One that no longer follows the cursor, as the store was loaded anew meanwhile, changes nothing.
        """
        if peer := self._peers.get(intake.store):
            peer.committed(intake, epoch=epoch, suspects=suspects)

    def failed(self, store: str) -> None:
        """Note that an intake could not be committed: no answer, so that it is sent again."""
        if peer := self._peers.get(store):
            peer.failed()

    def heard(self) -> list[Heard]:
        """Return what each store that spoke in this round last said of itself."""
        return [peer.heard for peer in self._due.values() if peer.heard]

    def other_ledgers(self) -> dict[str, int]:
        """Return, for each store of this round under whose id another ledger was refused, when that was last."""
        return {store: peer.other_ledger_us for store, peer in self._due.items() if peer.other_ledger_us}

    def lost(self, now_us: int) -> list[Lost]:
        """Return which stores of this round lost history and may rejoin: give each what it lacks, by `send`."""
        return [lost for peer in self._due.values() for lost in peer.lost(now_us)]

    def send(self, lost: Lost, page: Page) -> None:
        """Answer a store that lost history with a run of what central has."""
        if peer := self._due.get(lost.store):
            peer.pages[lost.boot] = page

    def copies(self) -> list[str]:
        """Return the stores of this round of which two daemons live, where the database does not say so yet."""
        return [store for store, peer in self._due.items() if peer.boots.are_copies and not peer.cursor.are_copies]

    def interrupted(self) -> None:
        """Note that frames may have been missed: the subscription is a new one."""
        for peer in self._peers.values():
            peer.boots.interrupt()

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
                if boot in peer.pages:
                    out.append((store, frames.encode(self._history(peer, boot, n, now_us))))
                elif boot not in peer.refusals:
                    out.append((store, frames.encode(self._answer(peer, boot, n, now_us))))
            for boot, (n, reason) in peer.refusals.items():
                if boot in peer.pages:
                    continue
                newest = max(n, peer.answers.get(boot, 0))
                out.append((store, frames.encode(self._refusal(peer, boot, newest, reason, now_us))))
            peer.end_round()
        self._due.clear()
        return out

    def greetings(self) -> list[tuple[str, bytes]]:
        """Return the frames that tell every known store that a central took over."""
        return [
            (store, frames.encode(frames.CentralHello(store, peer.cursor.epoch))) for store, peer in self._peers.items()
        ]

    def _begin(self, cursor: Cursor) -> Peer:
        return Peer(cursor, self.counts)

    def _peer(self, store: str) -> Peer | None:
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
            peer = self._peers[store] = self._begin(Cursor(store, False, None, 1, 0, GENESIS))
        self._due[store] = peer
        return peer

    def _tell_time(self, now_us: int) -> None:
        """Notice a clock that was set back: its moments come again, so what was proved by them is void."""
        if now_us < self._clock_us:
            self.counts["clock_set_back"] += 1
            self._tokens.renew()
            for peer in self._peers.values():
                peer.void_proofs()
        self._clock_us = now_us

    def _answer(self, peer: Peer, boot: str, n: int, now_us: int) -> frames.DownFrame:
        cursor = peer.cursor
        if not cursor.admitted:
            return self._refusal(peer, boot, n, frames.NOT_ADMITTED, now_us)
        return frames.Ack(
            store=cursor.store,
            epoch=cursor.epoch,
            boot=boot,
            n=n,
            token=self._tokens.issue(now_us, cursor.applied_seq),
            applied_seq=cursor.applied_seq,
            applied_hash=cursor.applied_hash,
            want_from=peer.want_from,
            suspects=cursor.suspects,
            copies=1 if peer.are_copies else None,
        )

    def _history(self, peer: Peer, boot: str, n: int, now_us: int) -> frames.DownFrame:
        cursor, page = peer.cursor, peer.pages[boot]
        return frames.History(
            store=cursor.store,
            epoch=cursor.epoch,
            boot=boot,
            n=n,
            token=self._tokens.issue(now_us),
            granted=max(cursor.epoch, peer.asking[boot].epoch) + 1,
            applied_seq=cursor.applied_seq,
            applied_hash=cursor.applied_hash,
            first_seq=page.first_seq,
            prev_hash=page.prev_hash,
            last_hash=page.last_hash,
            events=page.bodies,
        )

    def _refusal(self, peer: Peer, boot: str, n: int, reason: str, now_us: int) -> frames.DownFrame:
        return frames.Refused(peer.cursor.store, peer.cursor.epoch, boot, n, self._tokens.issue(now_us), reason)

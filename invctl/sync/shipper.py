"""The sending side: carries a ledger's events to central, over a bus that may do anything to them.

No I/O and no clock: frames, moments and a view of the ledger go in, frames and a state to remember come out.
Nothing counts as delivered but what an `ack` proves by a hash that the ledger has, too.

Where central has what the ledger does not (it was restored from a backup, or is a copy), it asks for that instead of
sending: what comes is to be kept, and the ledger to be rebased on it once all of it is there (`take_effects`).
"""

from __future__ import annotations

from collections import Counter, deque
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from invctl.model.chain import GENESIS, Head, links
from invctl.sync import frames

if TYPE_CHECKING:
    from random import Random

    from invctl.model.chain import Run

HEARTBEAT_S = 2.0
SILENCE_S = 3 * HEARTBEAT_S
WINDOW_FRAMES_MAX = 8
RETRY_FIRST_S = 0.5
RETRY_MAX_S = 30.0
GREETING_ANSWER_S = 1.0
RETRIES = ("unanswered", "gap", "link", "subscribed")
"""Why frames are sent again: no answer in time; they are asked for; the link is not up; the subscription is new."""


class Outbox(Protocol):
    """A ledger, as far as the Shipper needs it."""

    @property
    def store(self) -> str:
        """The store's id."""
        ...

    @property
    def epoch(self) -> int:
        """The ledger's epoch, from 1."""
        ...

    @property
    def first_hash(self) -> bytes:
        """The hash of the first event: the ledger's identity."""
        ...

    def head(self) -> Head:
        """Return the last committed event, as of now."""
        ...

    def hash_at(self, seq: int) -> bytes | None:
        """Return the hash at `seq`, zeros at 0, None where the ledger does not reach."""
        ...

    def held(self) -> Head | None:
        """Return the last event of central's that was kept beside the ledger, None where there is none."""
        ...

    def read(self, after_seq: int, events_max: int, bytes_max: int) -> Run:
        """Return what follows `after_seq`, up to both limits but at least one event; no bodies where there is none."""
        ...


class Kept(NamedTuple):
    """An effect: keep this run of central's history."""

    first_seq: int
    prev_hash: bytes
    bodies: list[bytes]


class Rejoin(NamedTuple):
    """An effect: all of central's history is kept, up to `upto`; go on from there under this epoch."""

    upto: Head
    epoch: int


class Link(StrEnum):
    """What the store knows of central."""

    UNKNOWN = "unknown"
    UP = "up"
    REFUSED = "refused"
    DIVERGED = "diverged"


class ShipperState(NamedTuple):
    """What is worth remembering and showing. `acked_seq` is a hint; the next `ack` may lower it."""

    acked_seq: int
    link: Link
    reason: str
    suspects: int


class Shipper:
    """One store's sending side, for one run of its daemon."""

    def __init__(self, outbox: Outbox, *, acked_seq: int, chance: Random, now_s: float) -> None:
        """Begin a new boot, from the `acked_seq` that an earlier one remembered."""
        self._outbox = outbox
        self._chance = chance
        self.boot = f"{chance.getrandbits(64):016x}"
        self._n = 0
        self._echo = ""
        self._acked_seq = acked_seq
        self._link = Link.UNKNOWN
        self._reason = ""
        self._suspects = 0
        self._newest_answered = 1
        self._heard_s = now_s
        self._acked_s: float | None = None
        self._hello_due_s = now_s
        self._flight: deque[int] = deque()
        self._sent_seq = acked_seq
        self._window = WINDOW_FRAMES_MAX
        self._rewound_at_n = 0
        self._retry_s = RETRY_FIRST_S
        self._retry_due_s = now_s
        self._doubted_at_n = 0
        self._held: Head | None = None
        self._effects: list[Kept | Rejoin] = []
        self._is_keeping = False
        self.retries = Counter(dict.fromkeys(RETRIES, 0))
        """How many frames with events were under way when they were given up, to be sent again, by why."""

    @property
    def state(self) -> ShipperState:
        """What is worth remembering and showing."""
        return ShipperState(self._acked_seq, self._link, self._reason, self._suspects)

    @property
    def acked_s(self) -> float | None:
        """The moment at which the last `ack` came that the ledger agrees with; None before the first of this boot."""
        return self._acked_s

    def subscribed(self, now_s: float) -> None:
        """Note that the broker confirmed the subscription: whatever was under way may be gone."""
        self._rewind("subscribed")
        self._hello_due_s = now_s

    def publish_failed(self) -> None:
        """Note that a frame could not be handed to the bus: it will be sent again once there is an answer."""
        self._set_link(Link.UNKNOWN)

    def receive(self, payload: bytes, now_s: float) -> None:
        """Take in a frame from central. What is damaged, foreign, or an old answer changes nothing."""
        try:
            frame = frames.decode_down(payload)
        except frames.FrameError:
            return
        if frame.store != self._outbox.store:
            return
        if isinstance(frame, frames.CentralHello):
            self._hello_due_s = min(self._hello_due_s, now_s + self._chance.random() * GREETING_ANSWER_S)
            return
        if frame.boot != self.boot or not self._newest_answered <= frame.n <= self._n:
            return
        self._newest_answered = frame.n
        self._echo = frame.token
        self._heard_s = now_s
        if isinstance(frame, frames.History):
            self._history(frame)
        elif isinstance(frame, frames.Refused):
            # It may be the events that are refused, while each hello is acknowledged: no window full each time.
            self._window = 1
            self._set_link(Link.REFUSED, frame.reason)
        else:
            self._acknowledged(frame, now_s)

    def poll(self, now_s: float) -> list[bytes]:
        """Return the frames to publish now, in order. Bounded by the window."""
        if self._link is Link.UP and now_s - self._heard_s > SILENCE_S:
            self._set_link(Link.UNKNOWN)
        head = self._outbox.head()
        out = []
        if now_s >= self._hello_due_s:
            out.append(self._hello(head))
            self._hello_due_s = now_s + HEARTBEAT_S * (0.9 + 0.2 * self._chance.random())
        if self._link is Link.UP:
            if self._flight and now_s >= self._retry_due_s:
                self._back_off()
            out += self._fill_window(head, now_s)
        return out

    def due_s(self) -> float:
        """Return the moment at which `poll` wants to be called again, if nothing happens before."""
        if self._flight:
            return min(self._hello_due_s, self._retry_due_s)
        return self._hello_due_s

    def take_effects(self) -> list[Kept | Rejoin]:
        """Return, once, what is to be done with what came, in this order.

        Until the caller says that it was done, by `kept`, `not_kept` or `rejoined`, nothing more is taken in: so one
        run at a time is in memory, however slow the ledger.
        """
        effects, self._effects = self._effects, []
        return effects

    def kept(self, now_s: float) -> None:
        """Note that what came is kept: what follows it is asked for at once."""
        self._is_keeping = False
        self._hello_due_s = now_s

    def not_kept(self) -> None:
        """Note that an effect could not be carried out: it is asked for again, from what the ledger has."""
        self._is_keeping = False
        self._effects.clear()
        self._held = None

    def rejoined(self, now_s: float) -> None:
        """Note that the ledger was rebased: it is another one now, of a new epoch."""
        self._acked_seq = min(self._acked_seq, self._outbox.head().seq)
        self._doubted_at_n = 0
        self._held = None
        self._is_keeping = False
        self._set_link(Link.UNKNOWN)
        self._hello_due_s = now_s

    def _acknowledged(self, ack: frames.Ack, now_s: float) -> None:
        self._suspects = ack.suspects
        if self._outbox.hash_at(ack.applied_seq) != ack.applied_hash:
            self._disagree(ack, now_s)
            return
        self._doubted_at_n = 0
        self._held = None
        self._set_link(Link.UP)
        self._acked_s = now_s
        if ack.applied_seq < self._acked_seq:
            # Central was restored from a backup, or reset: it is served from where it is.
            self._acked_seq = ack.applied_seq
            self._rewind("gap")
        elif ack.applied_seq > self._acked_seq:
            self._progress(ack.applied_seq, now_s)
        if ack.want_from is not None and ack.n >= self._rewound_at_n:
            # Answers to what was sent before the rewind still complain of the same gap. One frame closes it; were
            # that one to get lost each time, the frames behind it would have the gap asked for without a pause.
            self._rewind("gap")
            self._window = 1

    def _disagree(self, ack: frames.Ack, now_s: float) -> None:
        """Central has what this ledger does not. It counts once a second `ack`, to a later frame, says the same."""
        if not self._doubted_at_n:
            self._doubted_at_n = self._n + 1
            self._hello_due_s = now_s
        if ack.n < self._doubted_at_n:
            # What it would send does not fit there.
            self._set_link(self._link if self._link is Link.DIVERGED else Link.UNKNOWN, self._reason)
            return
        reason = f"head office holds an event {ack.applied_seq} that this ledger does not have"
        if ack.copies:
            reason += ", and another machine speaks for this store"
        self._set_link(Link.DIVERGED, reason)

    def _history(self, page: frames.History) -> None:
        """Take in what central has after what is held."""
        held = self._holds()
        follows = (page.first_seq - 1, page.prev_hash) == held
        if self._link is not Link.DIVERGED or self._is_keeping or not (follows or page.first_seq == 1):
            return
        if (links(page.prev_hash, page.first_seq, page.events) or [page.prev_hash])[-1] != page.last_hash:
            return
        if page.events:
            self._effects.append(Kept(page.first_seq, page.prev_hash, page.events))
        self._held = held = Head(page.last_seq, page.last_hash)
        if held == (page.applied_seq, page.applied_hash):
            self._effects.append(Rejoin(held, page.granted))
        self._is_keeping = bool(self._effects)

    def _holds(self) -> Head:
        """Return the last event of central's that is known here, as far as that goes."""
        if self._held is None:
            seq = min(self._acked_seq, self._outbox.head().seq)
            self._held = self._outbox.held() or Head(seq, self._outbox.hash_at(seq) or GENESIS)
        return self._held

    def _progress(self, applied_seq: int, now_s: float) -> None:
        self._acked_seq = applied_seq
        self._sent_seq = max(self._sent_seq, applied_seq)
        while self._flight and self._flight[0] <= applied_seq:
            self._flight.popleft()
        self._window = min(2 * self._window, WINDOW_FRAMES_MAX)
        self._retry_s = RETRY_FIRST_S
        self._retry_due_s = now_s + self._jittered(self._retry_s)

    def _set_link(self, link: Link, reason: str = "") -> None:
        self._link = link
        self._reason = reason
        if link is not Link.UP:
            self._rewind("link")

    def _rewind(self, why: str) -> None:
        """Go back to what is acknowledged; the next frames begin there."""
        self.retries[why] += len(self._flight)
        self._flight.clear()
        self._sent_seq = self._acked_seq
        self._rewound_at_n = self._n + 1

    def _back_off(self) -> None:
        self._rewind("unanswered")
        self._window = 1
        self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)

    def _jittered(self, seconds: float) -> float:
        return seconds * (0.75 + 0.5 * self._chance.random())

    def _fill_window(self, head: Head, now_s: float) -> list[bytes]:
        out = []
        while len(self._flight) < self._window and self._sent_seq < head.seq:
            run = self._outbox.read(self._sent_seq, frames.BATCH_EVENTS_MAX, frames.BATCH_BYTES_MAX)
            if not run.bodies:
                break
            if not self._flight:
                self._retry_due_s = now_s + self._jittered(self._retry_s)
            first_seq = self._sent_seq + 1
            self._sent_seq += len(run.bodies)
            self._flight.append(self._sent_seq)
            out.append(
                frames.encode(
                    frames.Events(
                        **self._header(head),
                        first_seq=first_seq,
                        prev_hash=run.prev_hash,
                        last_hash=run.last_hash,
                        events=run.bodies,
                    )
                )
            )
        return out

    def _hello(self, head: Head) -> bytes:
        hello = frames.Hello(**self._header(head), acked_seq=self._acked_seq, first_hash=self._outbox.first_hash)
        if self._link is Link.DIVERGED:
            held = self._holds()
            hello = hello._replace(held_seq=held.seq, held_hash=held.hash)
        return frames.encode(hello)

    def _header(self, head: Head) -> dict[str, Any]:
        """Return what every frame up carries. It is the next frame's: each call counts one on."""
        self._n += 1
        return {
            "store": self._outbox.store,
            "epoch": self._outbox.epoch,
            "boot": self.boot,
            "n": self._n,
            "echo": self._echo,
            "head_seq": head.seq,
            "head_hash": head.hash,
        }

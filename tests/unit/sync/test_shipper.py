from __future__ import annotations

from random import Random
from typing import Any

import pytest

from invctl.model.chain import GENESIS, Head
from invctl.sync import frames, shipper
from invctl.sync.shipper import Kept, Link, Rejoin, Shipper
from tests.simulation.outbox import MemoryOutbox
from tests.unit.sync.parties import bodies

BATCH = frames.BATCH_EVENTS_MAX
WINDOW = shipper.WINDOW_FRAMES_MAX


class Store:
    """A Shipper under test, its ledger and its clock; central's answers are made by hand."""

    def __init__(self, events: int = 0, *, acked_seq: int = 0, seed: int = 1) -> None:
        self.outbox = MemoryOutbox("downtown")
        self.outbox.append(*bodies(1, events))
        self.now_s = 100.0
        self.tokens = 0
        self.shipper = Shipper(self.outbox, acked_seq=acked_seq, chance=Random(seed), now_s=self.now_s)

    @property
    def state(self) -> shipper.ShipperState:
        return self.shipper.state

    def more(self, events: int) -> None:
        seq = self.outbox.head().seq
        self.outbox.append(*bodies(seq + 1, seq + events))

    def poll(self, after_s: float = 0.0) -> list[frames.UpFrame]:
        self.now_s += after_s
        return [frames.decode_up(payload) for payload in self.shipper.poll(self.now_s)]

    def hello(self, after_s: float = 0.0) -> frames.Hello:
        (frame,) = self.poll(after_s)
        assert isinstance(frame, frames.Hello)
        return frame

    def events(self, after_s: float = 0.0) -> list[frames.Events]:
        return [frame for frame in self.poll(after_s) if isinstance(frame, frames.Events)]

    def receive(self, frame: frames.DownFrame) -> None:
        self.shipper.receive(frames.encode(frame), self.now_s)

    def ack(self, to: frames.UpFrame, seq: int, **changes: Any) -> frames.Ack:
        """Acknowledge up to `seq`, in answer to a frame."""
        self.tokens += 1
        hash_ = self.outbox.hash_at(seq) or b"?" * 32
        ack = frames.Ack("downtown", 1, self.shipper.boot, to.n, f"token-{self.tokens}", seq, hash_, None, 0)
        ack = ack._replace(**changes)
        self.receive(ack)
        return ack

    def refuse(self, to: frames.UpFrame, reason: str = frames.NOT_ADMITTED) -> None:
        self.tokens += 1
        self.receive(frames.Refused("downtown", 1, self.shipper.boot, to.n, f"token-{self.tokens}", reason))

    def up(self, seq: int = 0) -> frames.Hello:
        """Say hello and be acknowledged up to `seq`."""
        hello = self.hello()
        self.ack(hello, seq)
        return hello

    def diverge(self, seq: int) -> frames.Hello:
        """Be told twice that central has an event which is not here."""
        self.ack(self.hello(2.5), seq)
        hello = self.hello()
        self.ack(hello, seq)
        return hello

    def history(self, to: frames.UpFrame, whole: MemoryOutbox, first: int, last: int, **changes: Any) -> None:
        """Send a run of what central has, in answer to a frame."""
        self.tokens += 1
        page = frames.History(
            store="downtown",
            epoch=1,
            boot=self.shipper.boot,
            n=to.n,
            token=f"token-{self.tokens}",
            granted=2,
            applied_seq=len(whole.bodies),
            applied_hash=whole.hashes[-1],
            first_seq=first,
            prev_hash=whole.hashes[first - 1],
            last_hash=whole.hashes[last],
            events=whole.bodies[first - 1 : last],
        )
        self.receive(page._replace(**changes))


def runs(sent: list[frames.Events]) -> list[tuple[int, int]]:
    return [(frame.first_seq, frame.last_seq) for frame in sent]


# Hello.


def test_it_begins_with_a_hello_and_no_events() -> None:
    store = Store(3, acked_seq=2)
    hello = store.hello()
    assert (hello.store, hello.epoch, hello.n, hello.echo, hello.acked_seq) == ("downtown", 1, 1, "", 2)
    assert (hello.head_seq, hello.head_hash, hello.first_hash) == (3, *store.outbox.hashes[3:0:-2])
    assert store.state == (2, Link.UNKNOWN, "", 0)
    assert store.poll() == []


def test_each_run_of_a_daemon_is_another_boot() -> None:
    boots = {Store(seed=seed).shipper.boot for seed in range(50)}
    assert len(boots) == 50
    assert Store(seed=1).shipper.boot in boots


def test_an_empty_ledger_says_hello_too() -> None:
    hello = Store().hello()
    assert (hello.head_seq, hello.head_hash, hello.first_hash) == (0, GENESIS, GENESIS)


def test_heartbeats_go_on_whatever_central_says_and_their_n_rises() -> None:
    store = Store(1)
    sent = [store.hello()]
    for _ in range(20):
        store.now_s = max(store.now_s, store.shipper.due_s())
        sent.append(store.hello())
    assert [frame.n for frame in sent] == list(range(1, 22))
    assert store.now_s - 100.0 == pytest.approx(20 * shipper.HEARTBEAT_S, rel=0.1)


def test_heartbeats_of_different_stores_drift_apart() -> None:
    dues = set()
    for seed in range(20):
        store = Store(seed=seed)
        store.hello()
        dues.add(store.shipper.due_s())
    assert len(dues) == 20
    assert all(0.9 * shipper.HEARTBEAT_S <= due - 100.0 <= 1.1 * shipper.HEARTBEAT_S for due in dues)


def test_a_confirmed_subscription_says_hello_at_once_and_sends_again_what_may_be_gone() -> None:
    store = Store(3)
    store.up()
    assert runs(store.events()) == [(1, 3)]
    store.shipper.subscribed(store.now_s)
    hello, events = store.poll()
    assert isinstance(hello, frames.Hello)
    assert isinstance(events, frames.Events)
    assert events.first_seq == 1


def test_a_greeting_is_answered_within_a_second_at_a_random_moment() -> None:
    waits = []
    for seed in range(200):
        store = Store(seed=seed)
        store.hello()
        store.receive(frames.CentralHello("downtown", 1))
        waits.append(store.shipper.due_s() - store.now_s)
        store.hello(waits[-1])
    assert 0.0 <= min(waits) < 0.1
    assert 0.9 < max(waits) <= shipper.GREETING_ANSWER_S
    assert len(set(waits)) == 200


def test_a_greeting_does_not_put_off_a_hello_that_is_due() -> None:
    store = Store()
    store.receive(frames.CentralHello("downtown", 1))
    store.hello()


def test_many_greetings_are_answered_once() -> None:
    store = Store()
    store.hello()
    for _ in range(100):
        store.receive(frames.CentralHello("downtown", 1))
    store.hello(1.0)
    assert store.poll() == []


# Sending.


def test_events_follow_an_ack_from_where_central_is() -> None:
    store = Store(5, acked_seq=3)
    store.up(1)
    (frame,) = store.poll()
    assert isinstance(frame, frames.Events)
    assert (frame.n, frame.echo, frame.first_seq, frame.events) == (2, "token-1", 2, bodies(2, 5))
    assert (frame.prev_hash, frame.last_hash) == (store.outbox.hashes[1], store.outbox.hashes[5])
    assert (frame.head_seq, frame.head_hash) == (5, store.outbox.hashes[5])
    assert store.poll() == []


def test_a_new_event_is_sent_at_the_next_poll_and_a_single_time() -> None:
    store = Store(1)
    store.up(1)
    assert store.poll() == []
    store.more(1)
    assert runs(store.events()) == [(2, 2)]
    store.more(2)
    assert runs(store.events()) == [(3, 4)]
    assert store.events() == []


def test_every_frame_carries_the_same_header_and_counts_on() -> None:
    store = Store(2 * BATCH)
    store.outbox.epoch = 3
    ack = store.ack(store.up(), 0)
    before_n = store.events()[-1].n
    store.shipper.subscribed(store.now_s)
    sent = store.poll()

    assert [type(frame) for frame in sent] == [frames.Hello, frames.Events, frames.Events]
    assert [frame.n for frame in sent] == [before_n + 1, before_n + 2, before_n + 3]
    head = store.outbox.head()
    for frame in sent:
        said = frame.store, frame.epoch, frame.boot, frame.echo, frame.head_seq, frame.head_hash
        assert said == ("downtown", 3, store.shipper.boot, ack.token, head.seq, head.hash)


def test_the_head_is_read_after_the_token_came() -> None:
    store = Store(2)
    hello = store.hello()
    store.more(3)
    ack = store.ack(hello, 2)
    (frame,) = store.events()
    assert (frame.echo, frame.head_seq) == (ack.token, 5)
    store.more(1)
    store.ack(frame, 5)
    again = store.poll(2.5)
    assert [(frame.echo, frame.head_seq) for frame in again] == [("token-2", 6)] * 2


def test_never_more_than_a_window_is_under_way() -> None:
    store = Store(20 * BATCH)
    store.up()
    sent = store.events()
    assert runs(sent) == [(1 + BATCH * place, BATCH * (place + 1)) for place in range(WINDOW)]
    assert store.events() == []
    store.ack(sent[2], sent[2].last_seq)
    assert runs(store.events()) == [(1 + BATCH * place, BATCH * (place + 1)) for place in range(WINDOW, WINDOW + 3)]


def test_large_events_are_batched_by_bytes() -> None:
    store = Store()
    store.outbox.append(*[b"x" * 100_000] * 5, b"y" * (2 * frames.BATCH_BYTES_MAX // 3), b"z")
    store.up()
    assert runs(store.events()) == [(1, 2), (3, 4), (5, 5), (6, 7)]


def test_an_ack_within_a_frame_leaves_it_under_way() -> None:
    store = Store(4)
    store.up()
    (frame,) = store.events()
    store.ack(frame, 2)
    assert store.state.acked_seq == 2
    assert store.events() == []
    assert runs(store.events(1.0)) == [(3, 4)]


# Losses.


@pytest.mark.fault_tolerance
def test_what_is_not_acknowledged_is_sent_again_ever_later_and_alone() -> None:
    store = Store(4 * BATCH)
    store.up()
    assert len(store.events()) == 4
    waits = []
    for _ in range(12):
        before_s = store.now_s
        while not (sent := store.events(max(0.0, store.shipper.due_s() - store.now_s))):
            store.receive(acknowledged(store, 0))
        store.receive(acknowledged(store, 0))
        assert runs(sent) == [(1, BATCH)]
        waits.append(store.now_s - before_s)
    whole_s = [min(shipper.RETRY_FIRST_S * 2**place, shipper.RETRY_MAX_S) for place in range(12)]
    assert all(0.74 * whole <= wait <= 1.26 * whole for wait, whole in zip(waits, whole_s, strict=True)), waits
    assert whole_s[-1] == shipper.RETRY_MAX_S


def acknowledged(store: Store, seq: int) -> frames.Ack:
    """Answer the newest frame that was sent."""
    n = store.shipper._n
    hash_ = store.outbox.hashes[seq]
    return frames.Ack("downtown", 1, store.shipper.boot, n, "token", seq, hash_, None, 0)


@pytest.mark.fault_tolerance
def test_stores_do_not_try_again_in_step() -> None:
    dues = set()
    for seed in range(20):
        store = Store(1, seed=seed)
        store.up()
        store.events()
        dues.add(store.shipper.due_s())
    assert len(dues) == 20


@pytest.mark.fault_tolerance
def test_after_a_loss_the_window_opens_as_acks_come() -> None:
    store = Store(40 * BATCH)
    store.up()
    store.events()
    sizes = []
    sent = store.events(1.0)
    for _ in range(5):
        sizes.append(len(sent))
        store.ack(sent[-1], sent[-1].last_seq)
        sent = store.events()
    assert sizes == [1, 2, 4, 8, 8]


@pytest.mark.fault_tolerance
def test_an_ack_starts_the_timer_anew() -> None:
    store = Store(2 * BATCH)
    store.up()
    first, _ = store.events()
    store.now_s += 0.3
    store.ack(first, BATCH)
    assert store.events(0.3) == []
    assert runs(store.events(0.5)) == [(BATCH + 1, 2 * BATCH)]


@pytest.mark.fault_tolerance
def test_after_progress_it_tries_again_as_soon_as_at_first() -> None:
    store = Store(3 * BATCH)
    store.up()
    store.events()
    for _ in range(4):
        sent = store.events(5.0)
        store.receive(acknowledged(store, 0))
    store.ack(sent[0], BATCH)
    store.events()
    assert store.events(0.7 * shipper.RETRY_FIRST_S) == []
    assert runs(store.events(0.6 * shipper.RETRY_FIRST_S)) == [(BATCH + 1, 2 * BATCH)]


@pytest.mark.fault_tolerance
def test_a_gap_is_sent_again_at_once_and_once_a_round_trip() -> None:
    store = Store(5 * BATCH)
    store.up()
    sent = store.events()
    for late in sent[1:4]:
        store.ack(late, 0, want_from=1)
        assert runs(store.events()) == ([(1, BATCH)] if late is sent[1] else [])
    assert store.events() == []


@pytest.mark.fault_tolerance
@pytest.mark.metrics
def test_what_is_sent_again_is_counted_by_why() -> None:
    store = Store(5 * BATCH)
    store.up()
    sent = store.events()
    store.ack(sent[1], 0, want_from=1)
    store.events()
    store.events(5.0)
    store.shipper.subscribed(store.now_s)
    store.events()
    store.shipper.publish_failed()
    assert store.shipper.retries == {"gap": 5, "unanswered": 1, "subscribed": 1, "link": 1}


@pytest.mark.fault_tolerance
def test_a_gap_that_remains_after_a_round_trip_is_sent_once_more() -> None:
    store = Store(3 * BATCH)
    store.up()
    sent = store.events()
    store.ack(sent[1], 0, want_from=1)
    (again,) = store.events()
    store.ack(again, 0, want_from=1)
    assert runs(store.events()) == [(1, BATCH)]


@pytest.mark.fault_tolerance
def test_a_frame_that_is_lost_each_time_is_not_sent_in_a_hot_loop() -> None:
    # As a broker does that takes no message of its size: what is behind it arrives, and shows the gap.
    store = Store(WINDOW * BATCH)
    store.up()
    sent = store.events()
    count = 0
    while sent and count < 100:
        count += len(sent)
        for frame in sent:
            if frame.first_seq > 1:
                store.ack(frame, 0, want_from=1)
        sent = store.events()
    assert count == WINDOW + 1
    assert store.shipper.due_s() > store.now_s


@pytest.mark.fault_tolerance
def test_only_a_hash_that_the_ledger_has_moves_what_is_acknowledged() -> None:
    store = Store(5)
    store.up()
    (frame,) = store.events()
    store.ack(frame, 3, applied_hash=store.outbox.hashes[2])
    assert (store.state.acked_seq, store.state.link) == (0, Link.UNKNOWN)
    store.ack(frame, 3)
    assert (store.state.acked_seq, store.state.link) == (3, Link.UP)


@pytest.mark.fault_tolerance
def test_what_is_acknowledged_moves_down_too_and_is_sent_again_from_there() -> None:
    store = Store(6, acked_seq=6)
    hello = store.up(6)
    assert store.events() == []
    store.ack(hello, 2)
    assert store.state.acked_seq == 2
    assert runs(store.events()) == [(3, 6)]


@pytest.mark.fault_tolerance
def test_a_central_that_begins_again_is_sent_everything() -> None:
    store = Store(6, acked_seq=6)
    store.ack(store.hello(), 0)
    assert store.state.acked_seq == 0
    assert runs(store.events()) == [(1, 6)]


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("acked_seq", [0, 3, 5, 400])
def test_a_remembered_seq_is_but_a_hint(acked_seq: int) -> None:
    store = Store(5, acked_seq=acked_seq)
    store.up(2)
    assert store.state.acked_seq == 2
    assert runs(store.events()) == [(3, 5)]


@pytest.mark.fault_tolerance
def test_the_loss_of_a_last_event_is_found_after_a_restart_too() -> None:
    store = Store(5, acked_seq=5)
    store.ack(store.hello(2.0), 4)
    assert runs(store.events()) == [(5, 5)]


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("ahead", [5, 400])
def test_central_may_be_ahead_of_what_this_boot_sent(ahead: int) -> None:
    store = Store(5)
    store.up(ahead)
    if ahead == 5:
        assert (store.state.acked_seq, store.state.link) == (5, Link.UP)
    else:
        store.ack(store.hello(), ahead)
        assert (store.state.acked_seq, store.state.link) == (0, Link.DIVERGED)
    assert store.events() == []


# Answers that are not for this.


@pytest.mark.fault_tolerance
def test_answers_for_another_boot_or_store_or_n_change_nothing() -> None:
    store = Store(5)
    hello = store.hello()
    before = store.state
    for changes in ({"boot": "another"}, {"store": "midtown"}, {"n": hello.n + 1}, {"n": 0}):
        ack = frames.Ack("downtown", 1, store.shipper.boot, hello.n, "token", 5, store.outbox.hashes[5], None, 0)
        store.receive(ack._replace(**changes))
        refused = frames.Refused("downtown", 1, store.shipper.boot, hello.n, "token", frames.NOT_ADMITTED)
        store.receive(refused._replace(**changes))
        assert store.state == before
    assert store.hello(2.5).echo == ""


@pytest.mark.fault_tolerance
def test_a_greeting_for_another_store_is_none() -> None:
    store = Store()
    store.hello()
    due_s = store.shipper.due_s()
    store.receive(frames.CentralHello("midtown", 1))
    assert store.shipper.due_s() == due_s


@pytest.mark.fault_tolerance
def test_an_answer_older_than_the_newest_is_ignored_and_the_same_again_is_not() -> None:
    store = Store(5)
    first = store.up(0)
    (second,) = store.events()
    newest = store.ack(second, 5)
    store.ack(first, 0)
    assert store.state.acked_seq == 5
    store.refuse(first)
    assert store.state.link is Link.UP
    assert store.hello(2.5).echo == newest.token
    store.ack(second, 5, token="again")
    assert store.hello(2.5).echo == "again"


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff" * 50, b"x" * 10_000_000])
def test_damaged_answers_change_nothing(payload: bytes) -> None:
    store = Store(5)
    store.hello()
    before = store.state
    store.shipper.receive(payload, store.now_s)
    assert store.state == before


# The link.


@pytest.mark.fault_tolerance
def test_a_publish_that_succeeds_proves_nothing() -> None:
    store = Store(5)
    store.up()
    store.events()
    assert store.state.acked_seq == 0
    store.now_s += 3600.0
    store.poll()
    assert store.state == (0, Link.UNKNOWN, "", 0)


@pytest.mark.fault_tolerance
def test_a_publish_that_fails_stops_events_until_there_is_an_answer() -> None:
    store = Store(5)
    store.up()
    assert runs(store.events()) == [(1, 5)]
    store.shipper.publish_failed()
    assert store.state.link is Link.UNKNOWN
    assert store.events(1.0) == []
    hello = store.hello(1.5)
    store.ack(hello, 0)
    assert runs(store.events()) == [(1, 5)]


@pytest.mark.fault_tolerance
def test_silence_stops_events_and_an_answer_brings_them_back() -> None:
    store = Store(5)
    store.up()
    store.events()
    store.now_s += shipper.SILENCE_S + 0.1
    hello = store.hello()
    assert store.state.link is Link.UNKNOWN
    assert store.events(1.0) == []
    store.ack(hello, 0)
    assert store.state == (0, Link.UP, "", 0)
    assert runs(store.events()) == [(1, 5)]


@pytest.mark.fault_tolerance
def test_just_short_of_silence_events_go_on() -> None:
    store = Store(5)
    store.up()
    store.events()
    assert runs(store.events(shipper.SILENCE_S)) == [(1, 5)]
    assert store.state.link is Link.UP


@pytest.mark.business
@pytest.mark.parametrize("reason", [frames.NOT_ADMITTED, frames.OTHER_LEDGER, frames.UNKNOWN_VERSION])
def test_a_refusal_stops_events_but_not_heartbeats_and_ends_with_an_ack(reason: str) -> None:
    store = Store(5)
    hello = store.hello()
    for _ in range(30):
        store.refuse(hello, reason)
        assert (store.state.link, store.state.reason) == (Link.REFUSED, reason)
        hello = store.hello(2.5)
    store.ack(hello, 0)
    assert (store.state.link, store.state.reason) == (Link.UP, "")
    assert runs(store.events()) == [(1, 5)]


@pytest.mark.fault_tolerance
def test_a_refusal_takes_back_what_is_under_way() -> None:
    store = Store(5)
    store.up()
    (frame,) = store.events()
    store.refuse(frame)
    assert store.events(1.0) == []
    store.ack(store.hello(1.5), 0)
    assert runs(store.events()) == [(1, 5)]


@pytest.mark.fault_tolerance
def test_while_only_events_are_refused_one_frame_is_tried_each_time() -> None:
    store = Store(WINDOW * BATCH)
    store.up()
    sent = store.events()
    tried = []
    for _ in range(5):
        store.refuse(sent[-1], frames.BYTES_DO_NOT_HASH)
        store.ack(store.hello(2.5), 0)
        sent = store.events()
        tried += runs(sent)
    assert tried == [(1, BATCH)] * 5


@pytest.mark.fault_tolerance
def test_a_history_that_the_ledger_does_not_have_stops_events_but_not_heartbeats() -> None:
    store = Store(5, acked_seq=3)
    hello = store.diverge(9)
    for _ in range(10):
        store.ack(hello, 9)
        assert store.state.link is Link.DIVERGED
        assert "9" in store.state.reason
        hello = store.hello(2.5)
    assert store.state.acked_seq == 3
    store.ack(hello, 4)
    assert (store.state.link, store.state.reason, store.state.acked_seq) == (Link.UP, "", 4)
    assert runs(store.events()) == [(5, 5)]


@pytest.mark.business
def test_what_central_said_last_is_remembered_through_its_silence() -> None:
    refused, diverged = Store(1), Store(1)
    refused.refuse(refused.hello())
    diverged.diverge(9)
    for store in (refused, diverged):
        before = store.state
        store.hello(10 * shipper.SILENCE_S)
        assert store.state == before


def test_doubts_are_passed_on() -> None:
    store = Store(1)
    store.ack(store.hello(), 0, suspects=7)
    assert store.state.suspects == 7


# When to be called again.


@pytest.mark.fault_tolerance
def test_it_never_asks_to_be_called_in_the_past() -> None:
    for link in ("up", "refused", "diverged", "silent"):
        store = Store(3 * BATCH)
        hello = store.hello()
        if link == "refused":
            store.refuse(hello)
        elif link != "silent":
            store.ack(hello, 0 if link == "up" else 9999)
        for _ in range(50):
            store.poll()
            assert store.shipper.due_s() > store.now_s
            store.now_s = store.shipper.due_s()


def test_while_something_is_under_way_it_asks_for_the_moment_of_trying_again() -> None:
    store = Store(1)
    store.up()
    heartbeat_s = store.shipper.due_s()
    store.events()
    assert 0.75 * shipper.RETRY_FIRST_S <= store.shipper.due_s() - store.now_s <= 1.25 * shipper.RETRY_FIRST_S
    assert store.shipper.due_s() < heartbeat_s


@pytest.mark.fault_tolerance
def test_a_ledger_that_cannot_be_read_yet_is_asked_again() -> None:
    store = Store(2)
    store.up()
    head = store.outbox.head()
    store.outbox.cut_back(0)
    store.outbox.head = lambda: head  # type: ignore[method-assign]
    assert store.events() == []
    assert store.shipper.due_s() > store.now_s


# Lost history.


def elsewhere(store: Store, common: int, more: int) -> MemoryOutbox:
    """Return what central has of a store: the first events are the same, then it went on otherwise."""
    whole = MemoryOutbox("downtown")
    whole.append(*store.outbox.bodies[:common], *(b'{"elsewhere":%d}' % number for number in range(more)))
    return whole


@pytest.mark.fault_tolerance
def test_it_takes_two_answers_the_second_to_a_later_frame_to_believe_that_history_is_lost() -> None:
    store = Store(5)
    hello = store.hello()
    for _ in range(3):
        store.ack(hello, 9)
    assert (store.state.link, store.state.reason) == (Link.UNKNOWN, "")
    later = store.hello()
    assert (later.n, later.held_seq) == (hello.n + 1, None)
    store.ack(later, 5)
    assert store.state.link is Link.UP
    store.diverge(9)
    assert "event 9" in store.state.reason


@pytest.mark.fault_tolerance
def test_that_another_machine_speaks_is_told() -> None:
    store = Store(5)
    store.ack(store.diverge(9), 9, copies=1)
    assert store.state.reason.endswith("another machine speaks for this store")


@pytest.mark.fault_tolerance
def test_it_asks_from_what_it_was_acknowledged_page_by_page_until_all_is_there() -> None:
    store = Store(5, acked_seq=3)
    whole = elsewhere(store, 4, 6)
    store.diverge(10)
    hello = store.hello(2.5)
    assert (hello.held_seq, hello.held_hash) == (3, store.outbox.hashes[3])
    store.history(hello, whole, 4, 7)
    assert store.shipper.take_effects() == [Kept(4, whole.hashes[3], whole.bodies[3:7])]
    # Until that is kept no more is taken in, whoever sends it.
    store.history(store.hello(2.5), whole, 8, 10)
    assert store.shipper.take_effects() == []
    store.shipper.kept(store.now_s)
    hello = store.hello()
    assert (hello.held_seq, hello.held_hash) == (7, whole.hashes[7])
    store.history(hello, whole, 8, 10)
    upto = Head(10, whole.hashes[10])
    assert store.shipper.take_effects() == [Kept(8, whole.hashes[7], whole.bodies[7:]), Rejoin(upto, 2)]
    # The ledger was rebased.
    store.outbox.cut_back(4)
    store.outbox.append(*whole.bodies[4:], b"{}")
    store.shipper.rejoined(store.now_s)
    assert store.state.link is Link.UNKNOWN
    hello = store.hello()
    assert (hello.held_seq, hello.head_seq) == (None, 11)
    store.ack(hello, 10)
    assert runs(store.events()) == [(11, 11)]


@pytest.mark.fault_tolerance
def test_what_was_kept_before_a_restart_is_not_asked_for_again() -> None:
    store = Store(5, acked_seq=3)
    whole = elsewhere(store, 4, 6)
    store.outbox.kept = Head(7, whole.hashes[7])
    store.diverge(10)
    assert store.hello(2.5).held_seq == 7
    # It could not be carried out: from what the ledger has.
    store.history(store.hello(2.5), whole, 8, 10)
    store.shipper.not_kept()
    assert store.shipper.take_effects() == []
    # With the next heartbeat: a ledger that cannot be written is not asked for all the time.
    assert store.poll() == []
    assert store.hello(2.5).held_seq == 7


@pytest.mark.fault_tolerance
@pytest.mark.parametrize(
    "changes",
    [
        {"prev_hash": b"?" * 32},
        {"last_hash": b"?" * 32},
        {"first_seq": 5},
        {"events": []},
        {"boot": "another"},
        {"n": 1},
        {"store": "midtown"},
    ],
)
def test_a_history_that_does_not_follow_is_not_kept(changes: dict[str, Any]) -> None:
    store = Store(5, acked_seq=3)
    whole = elsewhere(store, 4, 6)
    store.diverge(10)
    store.history(store.hello(2.5), whole, 4, 7, **changes)
    assert store.shipper.take_effects() == []
    assert store.hello(2.5).held_seq == 3


@pytest.mark.fault_tolerance
def test_a_central_that_knows_nothing_of_what_is_held_begins_at_the_start() -> None:
    store = Store(5, acked_seq=5)
    whole = elsewhere(store, 2, 6)
    store.diverge(8)
    store.history(store.hello(2.5), whole, 1, 8)
    assert store.shipper.take_effects()[-1] == Rejoin(Head(8, whole.hashes[8]), 2)


@pytest.mark.fault_tolerance
def test_nobody_who_agrees_is_given_a_history() -> None:
    store = Store(5)
    whole = elsewhere(store, 4, 6)
    hello = store.up(3)
    store.history(hello, whole, 4, 7)
    assert store.shipper.take_effects() == []
    assert store.state.link is Link.UP

"""When central says that a store's ledger lacks what central has of it."""

from __future__ import annotations

import pytest

from invctl.sync.cursor import Cursor
from invctl.sync.divergence import QUIET_AFTER_S
from tests.unit.sync.parties import HeadOffice, Sender, bodies

pytestmark = pytest.mark.fault_tolerance


def lacks(office: HeadOffice, *payloads: bytes) -> int | None:
    """What is known after a round of these frames."""
    office.hear(*payloads)
    (heard,) = office.receiver.heard()
    office.commit()
    office.answers()
    return heard.lacks_seq


class Copied:
    """A store at event 4 that is acknowledged, and a copy of it, of which central has applied event 5."""

    def __init__(self) -> None:
        self.office = HeadOffice("downtown")
        self.store, self.copy = Sender(4), Sender(4, boot="boot-copy")
        self.office.round(self.store.events(1, 4))
        self.copy.more(1, "copy-")
        self.office.round(self.copy.events(5, 5))

    def token(self) -> str:
        return self.office.ack(self.store.hello(acked_seq=4)).token


@pytest.fixture
def copied() -> Copied:
    return Copied()


@pytest.mark.business
def test_a_store_that_saw_our_ack_and_did_not_accept_it_lacks_that_event(copied: Copied) -> None:
    assert lacks(copied.office, copied.store.hello(copied.token(), acked_seq=4)) == 5


def test_a_store_that_has_not_seen_that_ack_yet_is_not_judged(copied: Copied) -> None:
    earlier = HeadOffice("downtown").ack(Sender(4).hello()).token
    for echo in ("", earlier, "x", "x.1.1.5"):
        assert not lacks(copied.office, copied.store.hello(echo, acked_seq=4))


def test_the_ack_of_an_earlier_cursor_tells_nothing_of_this_one() -> None:
    office, store = HeadOffice("downtown"), Sender(4)
    token = office.ack(store.events(1, 4)).token
    store.more(2)
    office.round(store.events(5, 6))
    assert lacks(office, store.hello(token, acked_seq=4)) == 0


def test_a_refusal_is_no_ack() -> None:
    office, store = HeadOffice("downtown"), Sender(3)
    office.round(store.events(1, 2))
    token = office.refusal(store.events(3, 3, events=bodies(3, 3, "x"))).token
    assert not lacks(office, store.hello(token, acked_seq=0))


def test_another_hash_at_the_same_seq_is_another_history_and_the_same_hash_ends_it(copied: Copied) -> None:
    copied.store.more(1)
    assert lacks(copied.office, copied.store.events(5, 5)) == 5
    copied.store.outbox = copied.copy.outbox
    assert lacks(copied.office, copied.store.hello()) == 0


def test_a_head_below_the_cursor_may_be_old() -> None:
    office, store = HeadOffice("downtown"), Sender(3)
    late = store.hello()
    store.more(2)
    office.round(store.events(1, 5))
    assert not lacks(office, late)


@pytest.mark.business
def test_the_agreement_of_a_copy_does_not_hide_the_store_s_disagreement(copied: Copied) -> None:
    assert lacks(copied.office, copied.store.hello(copied.token(), acked_seq=4)) == 5
    assert lacks(copied.office, copied.copy.hello(acked_seq=5)) == 5
    copied.copy.more(2)
    assert lacks(copied.office, copied.copy.events(6, 7)) == 5
    assert lacks(copied.office, copied.copy.hello(acked_seq=7)) == 5


def test_once_the_store_is_silent_its_copy_is_believed(copied: Copied) -> None:
    assert lacks(copied.office, copied.store.hello(copied.token(), acked_seq=4)) == 5
    copied.office.now_us += round(QUIET_AFTER_S * 1_000_000)
    assert lacks(copied.office, copied.copy.hello(acked_seq=5)) == 0


def test_it_ends_with_an_ack_that_was_accepted(copied: Copied) -> None:
    assert lacks(copied.office, copied.store.hello(copied.token(), acked_seq=4)) == 5
    copied.store.outbox = copied.copy.outbox
    copied.store.more(1)
    assert lacks(copied.office, copied.store.hello(copied.token(), acked_seq=5)) == 0


def test_a_central_that_lost_events_does_not_call_the_store_diverged() -> None:
    office, store = HeadOffice("downtown"), Sender(4)
    office.round(store.events(1, 4))
    office.receiver.load(Cursor("downtown", True, store.outbox.first_hash, 1, 2, store.outbox.hashes[2]))
    token = office.ack(store.hello(acked_seq=4)).token
    assert lacks(office, store.hello(token, acked_seq=2)) == 0


def test_when_another_ledger_was_refused_is_kept() -> None:
    office, store = HeadOffice("downtown"), Sender(2)
    office.round(store.events(1, 2))
    office.hear(store.hello())
    assert office.receiver.other_ledgers() == {}
    office.hear(Sender(2, boot="boot-b", mark="other-").hello())
    assert office.receiver.other_ledgers() == {"downtown": office.now_us}

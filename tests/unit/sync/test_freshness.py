"""When central may say that a store's numbers are complete up to a moment. All moments are central's."""

from __future__ import annotations

import pytest

from invctl.model.chain import GENESIS
from invctl.sync.cursor import Cursor
from invctl.sync.peer import PROOFS_KEPT
from tests.unit.sync.parties import HeadOffice, Sender, bent
from tests.unit.sync.test_receiver import decoded

pytestmark = pytest.mark.business


@pytest.fixture
def office() -> HeadOffice:
    return HeadOffice("downtown")


def fresh(office: HeadOffice) -> int:
    return office.receiver.fresh_us("downtown")


def test_nothing_is_fresh_before_a_token_has_come_back(office: HeadOffice) -> None:
    store = Sender(3)
    office.round(store.hello())
    office.round(store.events(1, 3))
    office.round(store.hello())
    assert fresh(office) == 0
    assert office.receiver.fresh_us("unheard-of") == 0


def test_a_token_that_comes_back_with_the_head_that_is_applied_proves_the_moment_it_was_issued(
    office: HeadOffice,
) -> None:
    store = Sender(3)
    token = office.ack(store.events(1, 3)).token
    issued_us = office.now_us
    office.now_us += 60_000_000
    office.round(store.hello(token))
    assert fresh(office) == issued_us


def test_a_head_beyond_the_cursor_counts_once_the_cursor_has_passed_it(office: HeadOffice) -> None:
    store = Sender(6)
    token = office.ack(store.hello()).token
    issued_us = office.now_us
    office.round(store.hello(token))
    assert fresh(office) == 0
    office.round(store.events(1, 4))
    assert fresh(office) == 0
    office.hear(store.events(5, 6))
    assert fresh(office) == 0
    office.commit()
    assert fresh(office) == issued_us
    assert office.receiver._peers["downtown"].proofs == []


def test_events_bring_their_own_proof(office: HeadOffice) -> None:
    store = Sender(6)
    token = office.ack(store.hello()).token
    issued_us = office.now_us
    office.round(store.events(1, 6, token))
    assert fresh(office) == issued_us


def test_a_head_within_a_run_counts_though_the_run_goes_on(office: HeadOffice) -> None:
    store = Sender(4)
    token = office.ack(store.hello()).token
    issued_us = office.now_us
    hello = store.hello(token)
    store.more(4)
    office.round(hello, store.events(1, 8))
    assert fresh(office) == issued_us


@pytest.mark.parametrize(("head_seq", "counts"), [(3, True), (4, True), (5, False)])
def test_a_head_counts_from_the_first_event_of_a_run_to_its_last(head_seq: int, *, counts: bool) -> None:
    office = HeadOffice("downtown")
    store = Sender(6)
    office.round(store.events(1, 2))
    hello = store.hello(office.ack(store.hello()).token, head_seq=head_seq, head_hash=store.outbox.hashes[head_seq])
    office.round(hello)
    office.round(store.events(3, 4))
    assert (fresh(office) > 0) is counts


def test_several_heads_count_one_after_the_other(office: HeadOffice) -> None:
    store = Sender(0)
    issued = []
    for _ in range(3):
        store.more(2)
        token = office.ack(store.hello()).token
        issued.append(office.now_us)
        office.round(store.hello(token))
    seen = []
    for first_seq in (1, 3, 5):
        office.round(store.events(first_seq, first_seq + 1))
        seen.append(fresh(office))
    assert seen == issued


@pytest.mark.fault_tolerance
def test_a_head_counts_only_in_the_same_chain(office: HeadOffice) -> None:
    store = Sender(4)
    twin = Sender(2, boot="boot-b")
    twin.more(2, "twin-")
    token = office.ack(twin.hello()).token
    office.round(twin.hello(token))
    office.round(store.events(1, 4))
    assert fresh(office) == 0
    office.round(twin.hello(office.ack(twin.hello()).token))
    assert fresh(office) == 0
    token = office.ack(store.hello()).token
    issued_us = office.now_us
    office.round(store.hello(token))
    assert fresh(office) == issued_us


@pytest.mark.fault_tolerance
def test_a_head_that_lies_behind_the_cursor_proves_nothing(office: HeadOffice) -> None:
    store = Sender(2)
    token = office.ack(store.hello()).token
    late = store.hello(token)
    store.more(2)
    office.round(store.events(1, 4))
    office.round(late)
    assert fresh(office) == 0


@pytest.mark.fault_tolerance
def test_an_old_frame_that_comes_late_proves_no_more_than_when_it_was_sent(office: HeadOffice) -> None:
    store = Sender(2)
    token = office.ack(store.events(1, 2)).token
    old_us = office.now_us
    late = store.hello(token)
    token = office.ack(store.hello()).token
    new_us = office.now_us
    office.round(late)
    assert fresh(office) == old_us
    office.round(store.hello(token))
    assert fresh(office) == new_us
    office.round(late)
    assert fresh(office) == new_us


@pytest.mark.fault_tolerance
def test_only_its_issuer_judges_a_token(office: HeadOffice) -> None:
    store = Sender(2)
    other = HeadOffice("downtown", seed=2)
    other.now_us = office.now_us - 500_000
    foreign = other.ack(store.events(1, 2)).token
    office.round(store.events(1, 2))
    office.round(store.hello(foreign))
    assert fresh(office) == 0


@pytest.mark.fault_tolerance
@pytest.mark.parametrize(
    "token", ["", ".", "x", "{issuer}", "{issuer}.", "{issuer}.x.1", "{issuer}.-5.1", "{issuer}.0.1"]
)
def test_a_token_that_says_no_moment_proves_nothing(office: HeadOffice, token: str) -> None:
    store = Sender(2)
    issuer = office.ack(store.events(1, 2)).token.partition(".")[0]
    office.round(store.hello(token.format(issuer=issuer)))
    assert fresh(office) == 0


@pytest.mark.fault_tolerance
def test_a_token_from_the_future_proves_nothing(office: HeadOffice) -> None:
    store = Sender(2)
    issuer = office.ack(store.events(1, 2)).token.partition(".")[0]
    office.round(store.hello(f"{issuer}.{office.now_us + 60_000_000:x}.1"))
    assert fresh(office) == 0


@pytest.mark.fault_tolerance
def test_a_clock_that_is_set_back_takes_back_what_its_moments_proved(office: HeadOffice) -> None:
    store = Sender(2)
    token = office.ack(store.events(1, 2)).token
    later = office.ack(store.hello(token)).token
    before_us = fresh(office)
    assert before_us > 0
    office.now_us -= 60_000_000
    office.hear(store.hello(later))
    assert fresh(office) == 0
    office.answers()
    # The same moments come again, and nobody has said anything of those.
    office.now_us = before_us + 3_000_000
    office.round(store.hello(later))
    assert fresh(office) == 0
    token = office.ack(store.hello()).token
    issued_us = office.now_us
    office.round(store.hello(token))
    assert fresh(office) == issued_us
    assert office.receiver.counts["clock_set_back"] == 1


@pytest.mark.fault_tolerance
def test_a_clock_that_is_set_back_between_frames_and_answers_is_noticed(office: HeadOffice) -> None:
    store = Sender(2)
    office.round(store.hello(office.ack(store.events(1, 2)).token))
    assert fresh(office) > 0
    office.hear(store.hello())
    office.now_us -= 60_000_000
    office.answers()
    assert fresh(office) == 0


def test_a_clock_that_stands_still_voids_nothing(office: HeadOffice) -> None:
    store = Sender(2)
    office.round(store.hello(office.ack(store.events(1, 2)).token))
    before_us = fresh(office)
    for _ in range(3):
        office.receiver.receive("downtown", store.hello(), office.now_us)
        office.receiver.replies(office.now_us)
    assert fresh(office) == before_us > 0


@pytest.mark.fault_tolerance
def test_a_clock_that_is_set_back_voids_heads_that_are_still_to_be_reached(office: HeadOffice) -> None:
    store = Sender(4)
    office.round(store.hello(office.ack(store.hello()).token))
    office.now_us -= 60_000_000
    office.round(store.events(1, 4))
    assert fresh(office) == 0


@pytest.mark.fault_tolerance
def test_what_is_proved_is_taken_back_with_a_cursor_that_went_back(office: HeadOffice) -> None:
    store = Sender(4)
    token = office.ack(store.events(1, 4)).token
    office.round(store.hello(token))
    assert fresh(office) > 0
    store.more(2)
    office.round(store.hello(office.ack(store.hello()).token))
    office.receiver.load(Cursor("downtown", True, store.outbox.first_hash, 1, 2, store.outbox.hashes[2]))
    assert fresh(office) == 0
    del office.archive["downtown"][2:]
    office.round(store.events(3, 6))
    assert fresh(office) == 0


@pytest.mark.fault_tolerance
def test_a_cursor_that_another_central_moved_keeps_what_is_proved(office: HeadOffice) -> None:
    store = Sender(4)
    office.round(store.hello(office.ack(store.events(1, 4)).token))
    before_us = fresh(office)
    store.more(2)
    for seq in (4, 6):
        office.receiver.load(Cursor("downtown", True, store.outbox.first_hash, 1, seq, store.outbox.hashes[seq]))
        assert fresh(office) == before_us > 0


def test_a_failed_commit_proves_nothing_until_it_is_made_up_for(office: HeadOffice) -> None:
    store = Sender(2)
    token = office.ack(store.hello()).token
    issued_us = office.now_us
    office.hear(store.events(1, 2, token))
    office.receiver.take()
    office.receiver.failed("downtown")
    office.answers()
    assert fresh(office) == 0
    office.round(store.events(1, 2))
    assert fresh(office) == issued_us


def test_a_store_that_is_not_admitted_is_not_fresh() -> None:
    office = HeadOffice()
    store = Sender(2)
    office.round(store.hello(office.refusal(store.hello()).token))
    assert fresh(office) == 0


@pytest.mark.fault_tolerance
def test_heads_that_are_never_reached_do_not_keep_the_others_out(office: HeadOffice) -> None:
    store = Sender(2)
    office.round(store.events(1, 2))
    token = office.ack(store.hello()).token
    for number in range(5 * PROOFS_KEPT):
        office.round(bent(decoded(store.hello(token)), head_seq=1_000_000 + number))
        token = office.ack(store.hello()).token
    issued_us = office.now_us
    store.more(2)
    office.round(store.hello(token))
    office.round(store.events(3, 4))
    assert fresh(office) == issued_us


@pytest.mark.fault_tolerance
def test_a_long_backlog_proves_near_heads_before_far_ones(office: HeadOffice) -> None:
    store = Sender(10)
    token = office.ack(store.hello()).token
    first_us = office.now_us
    office.round(store.hello(token))
    for _ in range(5 * PROOFS_KEPT):
        store.more(1)
        office.round(store.hello(office.ack(store.hello()).token))
    last_us = office.now_us - 2000
    office.round(store.events(1, 10))
    assert fresh(office) == first_us
    office.round(store.events(11, 200))
    assert first_us < fresh(office) < last_us
    office.round(store.events(201, 330))
    assert fresh(office) == last_us


def test_what_is_remembered_of_heads_is_bounded(office: HeadOffice) -> None:
    store = Sender(2)
    for number in range(500):
        token = office.ack(store.hello()).token
        office.round(bent(decoded(store.hello(token)), head_seq=3 + number))
    assert len(office.receiver._peers["downtown"].proofs) <= PROOFS_KEPT


def test_an_empty_ledger_is_fresh_as_it_is(office: HeadOffice) -> None:
    store = Sender(0)
    token = office.ack(store.hello()).token
    issued_us = office.now_us
    office.round(store.hello(token))
    assert store.outbox.head().hash == GENESIS
    assert fresh(office) == issued_us

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invctl.model.chain import GENESIS, link
from invctl.sync import frames
from invctl.sync import receiver as receiver_module
from invctl.sync.cursor import Cursor
from tests.unit.sync.parties import HeadOffice, Sender, bent, bodies, sealed


def decoded(payload: bytes) -> frames.UpFrame:
    return frames.decode_up(payload)


@pytest.fixture
def office() -> HeadOffice:
    return HeadOffice("downtown")


# It starts at or before the next seq, and fits.


def test_events_that_follow_are_applied_and_acknowledged(office: HeadOffice) -> None:
    store = Sender(5)
    ack = office.ack(store.events(1, 3))
    assert (ack.applied_seq, ack.applied_hash, ack.want_from) == (3, store.outbox.hashes[3], None)
    assert (ack.store, ack.boot, ack.n, ack.epoch, ack.suspects) == ("downtown", "boot-a", 1, 1, 0)
    assert office.ack(store.events(4, 5)).applied_seq == 5
    assert office.archive["downtown"] == bodies(1, 5)


def test_an_intake_says_what_it_follows_and_carries_each_hash(office: HeadOffice) -> None:
    store = Sender(5)
    office.round(store.events(1, 2))
    office.hear(store.events(3, 5))
    (intake,) = office.receiver.take()
    assert (intake.prev_seq, intake.prev_hash) == (2, store.outbox.hashes[2])
    assert (intake.first_seq, intake.last_seq) == (3, 5)
    assert (intake.bodies, intake.hashes) == (bodies(3, 5), store.outbox.hashes[3:])


def test_frames_of_one_round_are_one_intake_and_one_answer(office: HeadOffice) -> None:
    store = Sender(6)
    office.hear(store.events(1, 2), store.events(3, 4), store.events(5, 6))
    assert [intake.bodies for intake in office.commit()] == [bodies(1, 6)]
    (answer,) = office.answers()
    assert isinstance(answer, frames.Ack)
    assert (answer.n, answer.applied_seq) == (3, 6)


@pytest.mark.fault_tolerance
def test_what_came_before_is_acknowledged_again_and_not_applied_again(office: HeadOffice) -> None:
    store = Sender(4)
    office.round(store.events(1, 4))
    for again in (store.events(1, 4), store.events(2, 3), store.events(4, 4)):
        office.hear(again)
        assert office.commit() == []
        (answer,) = office.answers()
        assert isinstance(answer, frames.Ack)
        assert (answer.applied_seq, answer.want_from) == (4, None)
    assert office.receiver.counts["duplicate"] == 3


@pytest.mark.fault_tolerance
def test_of_a_frame_that_overlaps_only_what_is_new_is_applied(office: HeadOffice) -> None:
    store = Sender(6)
    office.round(store.events(1, 4))
    office.hear(store.events(2, 5), store.events(3, 6), store.events(2, 5))
    assert [intake.bodies for intake in office.commit()] == [bodies(5, 6)]


@pytest.mark.fault_tolerance
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=12), st.data())
def test_any_runs_in_any_order_and_rounds_leave_a_beginning_of_the_ledger(
    runs: list[tuple[int, int]], data: st.DataObject
) -> None:
    office = HeadOffice("downtown")
    store = Sender(12)
    for start, end in runs:
        office.hear(store.events(min(start, end), max(start, end)))
        if data.draw(st.booleans()):
            office.commit()
            office.answers()
    office.commit()
    archive = office.archive.get("downtown", [])
    assert archive == store.outbox.bodies[: len(archive)]
    reached = 0
    for start, end in ((min(run), max(run)) for run in runs):
        if start <= reached + 1:
            reached = max(reached, end)
    assert len(archive) == reached


def test_a_hello_is_acknowledged_with_what_is_committed(office: HeadOffice) -> None:
    store = Sender(2)
    ack = office.ack(store.hello())
    assert (ack.applied_seq, ack.applied_hash, ack.want_from, ack.suspects) == (0, GENESIS, None, 0)
    office.round(store.events(1, 2))
    ack = office.ack(store.hello())
    assert (ack.n, ack.applied_seq, ack.applied_hash, ack.want_from) == (3, 2, store.outbox.hashes[2], None)


def test_an_ack_says_how_many_skus_are_in_doubt(office: HeadOffice) -> None:
    store = Sender(1)
    office.hear(store.events(1, 1))
    office.commit(suspects=3)
    assert [answer.suspects for answer in office.answers() if isinstance(answer, frames.Ack)] == [3]
    assert office.ack(store.hello()).suspects == 3


def test_a_committed_epoch_is_told() -> None:
    office = HeadOffice("downtown")
    store = Sender(1)
    office.hear(store.events(1, 1))
    (intake,) = office.receiver.take()
    office.receiver.committed(intake, epoch=4, suspects=0)
    assert [answer.epoch for answer in office.answers()] == [4]


# Checksum wrong, unreadable.


@pytest.mark.fault_tolerance
def test_a_damaged_frame_is_counted_and_not_answered_as_its_sender_is_not_known(office: HeadOffice) -> None:
    store = Sender(1)
    payload = store.events(1, 1)
    damaged = [payload[:-5], payload.replace(b'"n":1', b'"n":2'), b"", b"\xff" * 100]
    assert office.round(*damaged) == []
    assert office.receiver.counts == {"damaged": 4}
    assert office.archive == {}


@pytest.mark.fault_tolerance
def test_a_frame_that_is_whole_but_unreadable_is_refused_to_its_sender(office: HeadOffice) -> None:
    answer = office.refusal(bent(decoded(Sender(1).hello()), head_hash="?"))
    assert (answer.reason, answer.boot, answer.n) == (frames.UNREADABLE, "boot-a", 1)
    assert office.receiver.counts == {"damaged": 1}


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("admitted", [True, False])
def test_another_version_is_answered_and_not_left_in_silence(*, admitted: bool) -> None:
    office = HeadOffice(*["downtown"] * admitted)
    answer = office.refusal(bent(decoded(Sender(1).hello()), v=2, head_seq="in a form of its own"))
    assert (answer.store, answer.reason, answer.boot, answer.n) == ("downtown", frames.UNKNOWN_VERSION, "boot-a", 1)
    assert office.receiver.counts == {frames.UNKNOWN_VERSION: 1}
    assert office.receiver.newcomers() == []


@pytest.mark.fault_tolerance
def test_any_frame_whatever_leaves_a_receiver_that_answers(office: HeadOffice) -> None:
    hostile = [
        sealed(b'{"v":2,"boot":"\\ud800","n":1'),
        sealed(b'{"v":2,"boot":"a","n":1e400'),
        sealed(b'{"v":1,"kind":"hello","boot":"\\u0000","n":1'),
        bent(decoded(Sender(1).hello()), boot="\ud800"),
        bent(decoded(Sender(1).hello()), echo="\ud800"),
        bent(decoded(Sender(1).hello()), echo=f"{'f' * 63}."),
        bent(decoded(Sender(1).hello()), n=2**63 - 1, head_seq=2**63 - 1),
        bent(decoded(Sender(1).events(1, 1)), first_seq=2**63 - 1),
    ]
    for payload in hostile:
        office.round(payload)
        assert office.round(payload, store="\ud800") == []
    # Whoever may be read is dropped as foreign; of the others nobody knows where they come from.
    assert office.receiver.counts["foreign"] == 3
    assert office.ack(Sender(1, boot="boot-b").hello()).boot == "boot-b"


@pytest.mark.fault_tolerance
def test_a_frame_of_another_store_than_its_channels_is_dropped(office: HeadOffice) -> None:
    office.receiver.load(Cursor("midtown", True, None, 1, 0, GENESIS))
    assert office.round(Sender(1, store="midtown").events(1, 1)) == []
    assert office.receiver.counts == {"foreign": 1}
    assert office.archive == {}


# Never admitted.


@pytest.mark.business
def test_a_store_that_was_not_admitted_is_listed_and_nothing_of_it_is_applied() -> None:
    office = HeadOffice()
    store = Sender(2)
    office.hear(store.hello(), store.events(1, 2))
    assert office.commit() == []
    (newcomer,) = office.receiver.newcomers()
    assert (newcomer.store, newcomer.boot, newcomer.head_seq, newcomer.epoch) == ("downtown", "boot-a", 2, 1)
    assert newcomer.first_hash == store.outbox.hashes[1]
    assert newcomer.at_us == office.now_us
    (answer,) = office.answers()
    assert isinstance(answer, frames.Refused)
    assert (answer.reason, answer.n, answer.epoch) == (frames.NOT_ADMITTED, 2, 1)
    assert office.receiver.newcomers() == []
    office.round(store.hello())
    assert len(office.receiver.newcomers()) == 1


@pytest.mark.business
def test_an_admitted_store_is_served_from_where_the_database_is() -> None:
    office = HeadOffice()
    store = Sender(3)
    office.refusal(store.hello())
    office.receiver.newcomers()
    office.receiver.load(Cursor("downtown", True, store.outbox.first_hash, 1, 2, store.outbox.hashes[2]))
    assert office.ack(store.hello()).applied_seq == 2
    assert office.receiver.newcomers() == []
    cursor = office.receiver.cursor("downtown")
    assert cursor is not None
    assert cursor.admitted


@pytest.mark.fault_tolerance
def test_newcomers_beyond_a_limit_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_module, "NEWCOMERS_MAX", 3)
    office = HeadOffice("downtown")
    for number in range(5):
        office.hear(Sender(1, store=f"store-{number}").hello(), store=f"store-{number}")
        office.hear(bent(decoded(Sender(1).hello()), v=2), store=f"newer-{number}")
    assert len(office.receiver.stores) == 4
    assert office.receiver.counts["too_many_newcomers"] == 7
    assert len(office.answers()) == 3
    assert office.ack(Sender(1).hello()).store == "downtown"


def test_a_newcomer_that_the_database_knows_makes_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_module, "NEWCOMERS_MAX", 1)
    office = HeadOffice()
    office.refusal(Sender(1).hello())
    office.receiver.load(Cursor("downtown", False, None, 1, 0, GENESIS))
    assert office.refusal(Sender(1, store="midtown").hello(), store="midtown").reason == frames.NOT_ADMITTED


@pytest.mark.business
def test_another_ledger_under_an_admitted_id_is_refused() -> None:
    office = HeadOffice("downtown")
    store, other = Sender(2), Sender(2, boot="boot-b", mark="other-")
    office.round(store.events(1, 2))
    store.more(1)
    office.round(store.events(3, 3))
    for payload in (other.hello(), other.events(1, 1), other.events(1, 2)):
        assert office.refusal(payload).reason == frames.OTHER_LEDGER
    assert office.receiver.counts[frames.OTHER_LEDGER] == 3
    assert office.archive["downtown"] == bodies(1, 3)
    assert office.ack(store.hello()).boot == "boot-a"


@pytest.mark.business
def test_an_admission_binds_before_the_first_event_is_applied() -> None:
    office = HeadOffice()
    store, other = Sender(1), Sender(1, boot="boot-b", mark="other-")
    office.receiver.load(Cursor("downtown", True, store.outbox.first_hash, 1, 0, GENESIS))
    assert office.refusal(other.events(1, 1)).reason == frames.OTHER_LEDGER
    assert office.ack(store.events(1, 1)).applied_seq == 1


@pytest.mark.business
def test_what_another_ledger_says_of_itself_is_not_heard(office: HeadOffice) -> None:
    store, other = Sender(2), Sender(9, boot="boot-b", mark="other-")
    office.round(store.hello())
    office.round(store.events(1, 2))
    office.hear(other.hello(), other.events(1, 9))
    (heard,) = office.receiver.heard()
    assert (heard.boot, heard.head_seq, heard.first_hash) == ("boot-a", 2, store.outbox.first_hash)


def test_an_empty_ledger_under_a_bound_id_is_acknowledged_so_that_it_finds_out(office: HeadOffice) -> None:
    office.round(Sender(2).events(1, 2))
    ack = office.ack(Sender(0, boot="boot-b").hello())
    assert (ack.boot, ack.applied_seq) == ("boot-b", 2)


# It starts beyond the next.


@pytest.mark.fault_tolerance
def test_a_gap_is_asked_for_and_nothing_is_applied(office: HeadOffice) -> None:
    store = Sender(6)
    office.round(store.events(1, 2))
    ack = office.ack(store.events(4, 6))
    assert (ack.applied_seq, ack.want_from) == (2, 3)
    assert office.archive["downtown"] == bodies(1, 2)
    assert office.receiver.counts["gap"] == 1


@pytest.mark.fault_tolerance
def test_a_gap_is_not_asked_for_again_by_a_later_round(office: HeadOffice) -> None:
    store = Sender(6)
    assert office.ack(store.events(4, 6)).want_from == 1
    assert office.ack(store.hello()).want_from is None


@pytest.mark.fault_tolerance
def test_what_came_before_the_gap_was_closed_is_asked_for_in_the_same_round(office: HeadOffice) -> None:
    store = Sender(6)
    ack = office.ack(store.events(4, 6), store.events(1, 3))
    assert (ack.applied_seq, ack.want_from) == (3, 4)


@pytest.mark.fault_tolerance
def test_a_gap_that_was_closed_and_filled_is_not_asked_for(office: HeadOffice) -> None:
    store = Sender(6)
    ack = office.ack(store.events(4, 6), store.events(1, 3), store.events(4, 6))
    assert (ack.applied_seq, ack.want_from) == (6, None)


# Its hash does not fit at or below the cursor.


@pytest.mark.fault_tolerance
def test_a_history_that_does_not_fit_is_acknowledged_and_not_applied(office: HeadOffice) -> None:
    store = Sender(4)
    twin = Sender(2, boot="boot-b")
    twin.more(4, "twin-")
    office.round(store.events(1, 4))
    for payload in (twin.events(5, 6), twin.events(3, 6), twin.events(4, 5), twin.events(1, 6), twin.events(2, 3)):
        ack = office.ack(payload)
        assert (ack.applied_seq, ack.applied_hash) == (4, store.outbox.hashes[4])
    assert office.archive["downtown"] == bodies(1, 4)
    assert office.receiver.counts["misfit"] == 4


@pytest.mark.fault_tolerance
def test_a_twin_that_is_ahead_does_not_join_what_came_in_the_same_round(office: HeadOffice) -> None:
    store = Sender(4)
    twin = Sender(2, boot="boot-b")
    twin.more(4, "twin-")
    office.hear(store.events(1, 4), twin.events(3, 6), twin.events(5, 6))
    assert [intake.bodies for intake in office.commit()] == [bodies(1, 4)]
    assert [(answer.boot, answer.n) for answer in office.answers() if isinstance(answer, frames.Ack)] == [
        ("boot-a", 1),
        ("boot-b", 2),
    ]


@pytest.mark.fault_tolerance
def test_a_first_event_with_something_before_it_does_not_fit(office: HeadOffice) -> None:
    store = Sender(1)
    payload = store.events(1, 1)
    before = bytes(31) + b"\1"
    moved = store.events(1, 1, prev_hash=before, last_hash=link(before, 1, store.outbox.bodies[0]))
    assert office.ack(moved).applied_seq == 0
    assert office.ack(payload).applied_seq == 1


# Recomputed, the bytes do not lead to last_hash.


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("place", [0, 1, 2])
def test_bytes_that_do_not_hash_are_refused_and_nothing_of_them_is_applied(office: HeadOffice, place: int) -> None:
    store = Sender(4)
    office.round(store.events(1, 1))
    events = bodies(2, 4)
    events[place] = events[place].replace(b'"id"', b'"iD"')
    answer = office.refusal(store.events(2, 4, events=events))
    assert (answer.reason, answer.boot, answer.n) == (frames.BYTES_DO_NOT_HASH, "boot-a", 2)
    assert office.archive["downtown"] == bodies(1, 1)
    assert office.receiver.counts[frames.BYTES_DO_NOT_HASH] == 1
    assert office.ack(store.events(2, 4)).applied_seq == 4


@pytest.mark.fault_tolerance
def test_a_damaged_first_event_is_no_other_ledger(office: HeadOffice) -> None:
    store = Sender(2)
    office.round(store.events(1, 1))
    assert office.refusal(store.events(1, 2, events=bodies(1, 2, "x"))).reason == frames.BYTES_DO_NOT_HASH


@pytest.mark.fault_tolerance
def test_a_refusal_answers_the_newest_of_a_round_and_what_fits_is_applied(office: HeadOffice) -> None:
    store = Sender(4)
    answer = office.refusal(store.events(1, 2), store.events(3, 4, events=bodies(3, 4, "x")), store.hello())
    assert (answer.reason, answer.n) == (frames.BYTES_DO_NOT_HASH, 3)
    assert office.archive["downtown"] == bodies(1, 2)


@pytest.mark.fault_tolerance
def test_a_refusal_of_one_boot_leaves_the_others_acknowledged(office: HeadOffice) -> None:
    store, other = Sender(2), Sender(2, boot="boot-b")
    answers = office.round(store.events(1, 2, events=bodies(1, 2, "x")), other.hello())
    assert {answer.boot: type(answer) for answer in answers if not isinstance(answer, frames.CentralHello)} == {
        "boot-a": frames.Refused,
        "boot-b": frames.Ack,
    }


# The database fails, or has other ideas.


@pytest.mark.fault_tolerance
def test_nothing_is_acknowledged_that_was_not_committed(office: HeadOffice) -> None:
    store = Sender(3)
    office.hear(store.events(1, 3))
    office.receiver.take()
    (answer,) = office.answers()
    assert isinstance(answer, frames.Ack)
    assert answer.applied_seq == 0


@pytest.mark.fault_tolerance
def test_a_commit_that_fails_is_not_answered_and_what_is_sent_again_is_applied(office: HeadOffice) -> None:
    office.receiver.load(Cursor("midtown", True, None, 1, 0, GENESIS))
    store, other = Sender(3), Sender(1, store="midtown")
    office.hear(store.events(1, 3), bent(decoded(store.hello()), head_hash="?"))
    office.hear(other.events(1, 1), store="midtown")
    mine, theirs = office.receiver.take()
    office.receiver.failed(mine.store)
    office.receiver.committed(theirs, epoch=1, suspects=0)
    assert [answer.store for answer in office.answers()] == ["midtown"]
    assert office.ack(store.hello()).applied_seq == 0
    assert office.ack(store.events(1, 3)).applied_seq == 3
    assert office.archive["downtown"] == bodies(1, 3)


@pytest.mark.fault_tolerance
def test_after_a_conflict_the_databases_word_is_taken(office: HeadOffice) -> None:
    store = Sender(5)
    office.hear(store.events(1, 3))
    office.receiver.take()
    office.receiver.load(Cursor("downtown", True, store.outbox.first_hash, 1, 4, store.outbox.hashes[4]))
    assert office.receiver.take() == []
    (answer,) = office.answers()
    assert isinstance(answer, frames.Ack)
    assert answer.applied_seq == 4


@pytest.mark.fault_tolerance
def test_nothing_is_answered_from_a_cursor_that_the_database_lost(office: HeadOffice) -> None:
    store = Sender(5)
    office.round(store.events(1, 5))
    office.hear(store.hello())
    office.receiver.load(Cursor("downtown", True, store.outbox.first_hash, 1, 2, store.outbox.hashes[2]))
    assert office.answers() == []
    assert office.ack(store.hello()).applied_seq == 2


@pytest.mark.fault_tolerance
def test_what_comes_in_during_a_commit_is_not_taken_for_committed(office: HeadOffice) -> None:
    store = Sender(5)
    office.hear(store.events(1, 2))
    (intake,) = office.receiver.take()
    office.hear(store.events(3, 5))
    assert intake.bodies == bodies(1, 2)
    office.receiver.committed(intake, epoch=1, suspects=0)
    (answer,) = office.answers()
    assert isinstance(answer, frames.Ack)
    assert (answer.n, answer.applied_seq, answer.applied_hash) == (2, 2, store.outbox.hashes[2])
    office.archive["downtown"] = intake.bodies
    assert office.ack(store.events(3, 5)).applied_seq == 5


@pytest.mark.fault_tolerance
def test_a_commit_that_ends_after_the_shard_was_given_away_changes_nothing(office: HeadOffice) -> None:
    store = Sender(5)
    office.hear(store.events(1, 2))
    (intake,) = office.receiver.take()
    office.receiver.clear()
    office.receiver.committed(intake, epoch=1, suspects=0)
    office.receiver.failed("downtown")
    assert office.receiver.stores == []
    office.receiver.load(Cursor("downtown", True, store.outbox.first_hash, 1, 4, store.outbox.hashes[4]))
    office.receiver.committed(intake, epoch=1, suspects=0)
    assert office.ack(store.hello()).applied_seq == 4


@pytest.mark.fault_tolerance
def test_a_store_is_only_taken_from_where_something_came(office: HeadOffice) -> None:
    office.receiver.load(Cursor("midtown", True, None, 1, 0, GENESIS))
    office.hear(Sender(1, store="midtown").events(1, 1), store="midtown")
    assert [intake.store for intake in office.receiver.take()] == ["midtown"]
    assert [heard.store for heard in office.receiver.heard()] == ["midtown"]
    office.receiver.failed("midtown")
    office.answers()
    assert office.receiver.take() == []
    assert office.receiver.heard() == []
    assert office.answers() == []


# What a store last said of itself.


@pytest.mark.business
def test_a_late_frame_does_not_hide_what_is_missing(office: HeadOffice) -> None:
    store = Sender(2)
    late = [store.hello(), store.events(1, 2), Sender(1, boot="boot-0").hello()]
    store.more(7)
    office.hear(store.hello())
    (heard,) = office.receiver.heard()
    assert (heard.head_seq, heard.head_hash, heard.at_us) == (9, store.outbox.hashes[9], office.now_us)
    office.hear(*late)
    (heard,) = office.receiver.heard()
    assert (heard.head_seq, heard.head_hash) == (9, store.outbox.hashes[9])
    store.more(1)
    office.hear(store.hello())
    (heard,) = office.receiver.heard()
    assert (heard.head_seq, heard.head_hash) == (10, store.outbox.hashes[10])


def test_a_head_falls_with_a_new_epoch(office: HeadOffice) -> None:
    store = Sender(9)
    office.hear(store.hello())
    store.outbox.cut_back(4)
    store.outbox.epoch = 2
    office.hear(store.hello())
    (heard,) = office.receiver.heard()
    assert (heard.epoch, heard.head_seq) == (2, 4)


def test_of_two_ledgers_under_a_new_id_the_last_to_speak_is_listed() -> None:
    office = HeadOffice()
    other = Sender(2, boot="boot-b", mark="other-")
    office.hear(Sender(9).hello(), other.hello())
    (newcomer,) = office.receiver.newcomers()
    assert (newcomer.boot, newcomer.head_seq, newcomer.first_hash) == ("boot-b", 2, other.outbox.first_hash)


def test_events_keep_what_the_hello_said_of_the_first_hash(office: HeadOffice) -> None:
    store = Sender(2)
    office.hear(store.hello(), store.events(1, 2))
    assert [heard.first_hash for heard in office.receiver.heard()] == [store.outbox.first_hash]


# Answers.


def test_each_answer_has_a_token_of_its_own(office: HeadOffice) -> None:
    store = Sender(1)
    tokens = [office.ack(store.hello()).token for _ in range(5)]
    office.receiver.load(Cursor("downtown", False, None, 1, 0, GENESIS))
    tokens.append(office.refusal(store.hello()).token)
    tokens += [
        answer.token
        for answer in office.round(store.hello(), Sender(1, boot="boot-b").hello())
        if isinstance(answer, frames.Refused)
    ]
    assert len(set(tokens)) == 8
    assert HeadOffice("downtown", seed=2).ack(Sender(1).hello()).token not in tokens


def test_each_boot_of_a_round_is_answered_with_its_newest_n(office: HeadOffice) -> None:
    first, second = Sender(1), Sender(1, boot="boot-b")
    old = first.hello()
    answers = office.round(first.hello(), old, second.hello())
    assert sorted((answer.boot, answer.n) for answer in answers if isinstance(answer, frames.Ack)) == [
        ("boot-a", 2),
        ("boot-b", 1),
    ]
    assert office.answers() == []


def test_a_central_that_took_over_greets_every_store_that_it_knows() -> None:
    office = HeadOffice("downtown")
    office.receiver.load(Cursor("midtown", True, None, 3, 0, GENESIS))
    assert {store: frames.decode_down(payload) for store, payload in office.receiver.greetings()} == {
        "downtown": frames.CentralHello("downtown", 1),
        "midtown": frames.CentralHello("midtown", 3),
    }


def test_a_shard_that_was_given_away_is_forgotten(office: HeadOffice) -> None:
    office.hear(Sender(1).events(1, 1), Sender(1, store="midtown").hello())
    office.hear(Sender(1, store="midtown").hello(), store="midtown")
    office.receiver.clear()
    assert office.receiver.stores == []
    assert office.receiver.take() == []
    assert office.receiver.newcomers() == []
    assert office.receiver.cursor("downtown") is None
    assert office.answers() == []
    assert office.receiver.greetings() == []


def test_a_shard_that_was_given_away_leaves_room_for_newcomers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_module, "NEWCOMERS_MAX", 1)
    office = HeadOffice()
    office.refusal(Sender(1).hello())
    office.receiver.clear()
    assert office.refusal(Sender(1, store="midtown").hello(), store="midtown").store == "midtown"


def test_a_frame_of_the_longest_words_is_answered(office: HeadOffice) -> None:
    payload = bent(decoded(Sender(1).hello()), boot="~" * 64, echo="!" * 64)
    assert office.ack(payload).boot == "~" * 64
    assert json.loads(payload)["boot"] == "~" * 64

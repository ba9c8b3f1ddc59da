"""Who may rejoin: one boot that asks alone. Two that live are told apart from one that was restarted."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from invctl.model.chain import GENESIS
from invctl.sync import frames
from invctl.sync.boots import ALONE_S, Boots
from invctl.sync.cursor import Cursor, Lost, Page
from invctl.sync.receiver import Receiver
from tests.simulation.outbox import MemoryOutbox

pytestmark = pytest.mark.fault_tolerance

SECOND_US = 1_000_000
BEAT_US = 2 * SECOND_US


def ask(boots: Boots, boot: str, *, beats: int, from_us: int = 1) -> int:
    """Let a boot ask with each heartbeat, and return the moment of the last."""
    for beat in range(beats):
        boots.hear(boot, 0, from_us + beat * BEAT_US, asks=True)
    return from_us + (beats - 1) * BEAT_US


def test_who_asks_alone_through_three_heartbeats_may_rejoin() -> None:
    boots = Boots()
    asked_us = ask(boots, "b", beats=4)
    assert asked_us - 1 == ALONE_S * SECOND_US
    assert not boots.may_rejoin("b", asked_us - 1)
    assert boots.may_rejoin("b", asked_us)
    assert not boots.may_rejoin("a", asked_us)


def test_who_asks_often_waits_as_long() -> None:
    boots = Boots()
    for number in range(100):
        boots.hear("b", 0, number * 1000, asks=True)
    assert not boots.may_rejoin("b", 100_000)


@pytest.mark.parametrize("other", ["another that speaks", "itself without asking", "an interruption"])
def test_whatever_comes_between_it_begins_anew(other: str) -> None:
    boots = Boots()
    asked_us = ask(boots, "b", beats=4)
    if other == "an interruption":
        boots.interrupt()
    else:
        boots.hear("a" if other == "another that speaks" else "b", 0, asked_us, asks=False)
    assert not boots.may_rejoin("b", asked_us)
    later_us = ask(boots, "b", beats=4, from_us=asked_us + BEAT_US)
    assert boots.may_rejoin("b", later_us)


def test_two_that_echo_what_is_younger_than_the_others_first_word_are_copies() -> None:
    boots = Boots()
    boots.hear("a", 0, 10, asks=False)
    boots.hear("b", 0, 20, asks=True)
    boots.hear("b", 21, 30, asks=True)
    seen = [boots.are_copies]
    boots.hear("a", 25, 40, asks=False)
    seen.append(boots.are_copies)
    assert seen == [False, True]
    later_us = ask(boots, "b", beats=9, from_us=50)
    assert not boots.may_rejoin("b", later_us)


def test_a_restart_is_no_copy_however_late_the_frames_of_the_dead_come() -> None:
    boots = Boots()
    boots.hear("a", 0, 10, asks=False)
    boots.hear("a", 11, 20, asks=False)
    boots.hear("b", 0, 30, asks=False)
    boots.hear("b", 31, 40, asks=False)
    # It was under way all the time: its token is from before the other's first word.
    boots.hear("a", 21, 50, asks=False)
    assert not boots.are_copies


def test_what_is_kept_of_boots_is_bounded() -> None:
    boots = Boots()
    for number in range(1000):
        boots.hear(f"boot-{number}", 0, number, asks=False)
    assert len(boots._heard) == 8


class Office:
    """A central that has applied eight events of a store, of which a ledger has the first five."""

    def __init__(self, **cursor: Any) -> None:
        self.whole = MemoryOutbox("downtown")
        self.whole.append(*(b'{"n":%d}' % number for number in range(8)))
        self.receiver = Receiver(chance=Random(1))
        self.now_us = 1
        self.n = 0
        self.cursor = Cursor("downtown", True, self.whole.first_hash, 1, 8, self.whole.hashes[8])._replace(**cursor)
        self.receiver.load(self.cursor)

    def hear(self, boot: str = "b00t", *, held_seq: int | None = 5, echo: str = "", epoch: int = 1) -> None:
        self.n += 1
        held_hash = None if held_seq is None else self.whole.hashes[held_seq]
        hello = frames.Hello(
            store="downtown",
            epoch=epoch,
            boot=boot,
            n=self.n,
            echo=echo,
            head_seq=5,
            head_hash=self.whole.hashes[5],
            acked_seq=5,
            first_hash=self.whole.first_hash,
            held_seq=held_seq,
            held_hash=held_hash,
        )
        self.receiver.receive("downtown", frames.encode(hello), self.now_us)

    def answer(self) -> frames.DownFrame:
        for lost in self.receiver.lost(self.now_us):
            run = self.whole.read(lost.held_seq, 2, 1_000)
            self.receiver.send(lost, Page(lost.held_seq + 1, run.prev_hash, run.bodies, run.last_hash))
        ((_, payload),) = self.receiver.replies(self.now_us)
        self.now_us += BEAT_US
        return frames.decode_down(payload)

    def ask(self, times: int, **how: Any) -> frames.DownFrame:
        for _ in range(times):
            self.hear(**how)
            answer = self.answer()
        return answer


def test_a_store_that_may_rejoin_is_sent_what_follows_what_it_holds() -> None:
    office = Office()
    assert isinstance(office.ask(3), frames.Ack)
    answer = office.ask(1)
    assert isinstance(answer, frames.History)
    assert (answer.granted, answer.applied_seq, answer.first_seq) == (2, 8, 6)
    assert answer.events == office.whole.bodies[5:7]
    office.hear(held_seq=7)
    assert office.receiver.lost(office.now_us) == [Lost("downtown", "b00t", 7, office.whole.hashes[7])]
    # The round ends, and nothing of it is left.
    office.answer()
    assert office.receiver.lost(office.now_us) == []


def test_the_epoch_is_above_both() -> None:
    for of_central, of_store, granted in ((1, 1, 2), (3, 1, 4), (1, 6, 7)):
        answer = Office(epoch=of_central).ask(4, epoch=of_store)
        assert isinstance(answer, frames.History)
        assert answer.granted == granted


def test_a_subscription_that_was_lost_begins_the_wait_anew() -> None:
    office = Office()
    office.ask(3)
    office.receiver.interrupted()
    assert isinstance(office.ask(3), frames.Ack)
    assert isinstance(office.ask(1), frames.History)


def test_copies_are_told_and_wait_for_an_operator() -> None:
    office = Office()
    tokens = {"one": "", "two": ""}
    for _ in range(3):
        for boot, token in tokens.items():
            office.hear(boot, held_seq=5 if boot == "two" else None, echo=token)
            answer = office.answer()
            assert isinstance(answer, frames.Ack)
            tokens[boot] = answer.token
    told = office.ask(1, boot="two")
    assert isinstance(told, frames.Ack)
    assert told.copies == 1
    office.hear("two")
    assert office.receiver.copies() == ["downtown"]
    office.answer()
    assert isinstance(office.ask(9, boot="two"), frames.Ack)
    office.receiver.load(office.cursor._replace(are_copies=True))
    office.hear("two")
    assert office.receiver.copies() == []
    office.answer()
    office.receiver.load(office.cursor._replace(are_copies=True, readmitted="two"))
    assert isinstance(office.ask(1, boot="two"), frames.History)
    assert isinstance(office.ask(1, boot="one"), frames.Ack)


def test_that_two_machines_speak_is_known_from_the_database_too() -> None:
    answer = Office(are_copies=True).ask(9)
    assert isinstance(answer, frames.Ack)
    assert answer.copies == 1


def test_nobody_rejoins_where_nothing_is_applied_or_admitted() -> None:
    for cursor in ({"applied_seq": 0, "applied_hash": GENESIS}, {"admitted": False}):
        assert not isinstance(Office(**cursor).ask(9), frames.History)

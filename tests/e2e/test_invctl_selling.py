"""What a clerk relies on at the counter."""

from __future__ import annotations

import itertools
import random
import re
from typing import TYPE_CHECKING

import pytest

from invctl.ledger import adjustments, reservations
from invctl.ledger.ledger import Ledger
from tests.e2e.clerk import hold_in_the_past

if TYPE_CHECKING:
    from tests.e2e.clerk import Clerk

pytestmark = [pytest.mark.business, pytest.mark.cli]

ID = r"R-[0-9A-HJKMNP-TV-Z]{6}"
# With the date where it is another day; the store's zone is UTC.
TIME = r"(?:\d{4}-\d\d-\d\d )?\d\d:\d\d(?::\d\d)? UTC"


def reserve(clerk: Clerk, *argv: str) -> str:
    done = clerk("reserve", *argv, "-q")
    assert done.code == 0
    return done.out.strip()


def test_a_sale_as_a_person_reads_it(clerk: Clerk) -> None:
    done = clerk("reserve", "mouse-001=2", "LAPTOP-001", "--order", "A-17", "--clerk", "ana")
    told = re.fullmatch(rf"({ID}) holds 1 LAPTOP-001, 2 MOUSE-001 until {TIME} \(30 min\) for order A-17\n", done.out)
    assert told
    assert (done.code, done.err) == (0, "")
    key = told[1]
    assert re.fullmatch(
        rf"{key} holds .* until {TIME} \(1 day 1 h\) for order A-17\n", clerk("extend", key, "--for", "25h").out
    )
    done = clerk("confirm", key)
    assert (done.code, done.out, done.err) == (
        0,
        f"{key} confirmed for order A-17: sold 1 LAPTOP-001, 2 MOUSE-001\n",
        "",
    )
    story = clerk("show", key).out.splitlines()
    assert story[0] == f"{key} confirmed for order A-17: sold 1 LAPTOP-001, 2 MOUSE-001"
    assert [re.sub(TIME, "TIME", line).removeprefix("TIME  ") for line in story[1:]] == [
        (
            "reserved by ana until TIME: 1 LAPTOP-001 (then 3 on hand, 2 available), "
            "2 MOUSE-001 (then 10 on hand, 8 available)  (event 7)"
        ),
        "extended until TIME  (event 8)",
        (
            "confirmed: 1 LAPTOP-001 sold (then 2 on hand, 2 available), "
            "2 MOUSE-001 sold (then 8 on hand, 8 available)  (event 9)"
        ),
    ]
    assert clerk.stock("MOUSE-001") == (8, 0, 8)


def test_what_came_back_of_a_sale_is_in_its_story(clerk: Clerk) -> None:
    key, other = (clerk("sell", "MOUSE-001=2", "-q").out.strip() for _ in range(2))
    assert clerk("undo").out == f"undid event 10 (sale {other}): 2 MOUSE-001 back in stock\n"
    clerk("return", "MOUSE-001", "--reason", "wrong colour", "--document", key, "--clerk", "ana")
    assert (
        clerk("show", key)
        .out.splitlines()[-1]
        .endswith("returned by ana: 1 MOUSE-001 back in stock (then 9 on hand, 9 available), wrong colour  (event 12)")
    )
    assert "  correction (undo): 2 MOUSE-001 back in stock (then 8" in clerk("show", other).out
    assert "wrong colour" not in clerk("show", other).out
    assert "correction (undo)" in clerk("history", "MOUSE-001").out


def test_the_same_sku_twice_is_summed(clerk: Clerk) -> None:
    lines = clerk("reserve", "MOUSE-001", "mouse-001=3", "-o", "json").json["lines"]
    assert [(line["sku"], line["quantity"]) for line in lines] == [("MOUSE-001", 4)]


def test_all_lines_or_none(clerk: Clerk) -> None:
    done = clerk("reserve", "MOUSE-001=2", "LAPTOP-001=4")
    assert done.code == 4
    assert clerk.stock("MOUSE-001") == (10, 0, 10)
    assert clerk("reservations", "--all", "-o", "json").json == []


def test_every_short_line_says_what_there_is_and_who_holds_it(clerk: Clerk) -> None:
    first = reserve(clerk, "MOUSE-001=6", "--order", "A-17", "--clerk", "ana", "--for", "10m")
    second = reserve(clerk, "MOUSE-001=2", "LAPTOP-001=2")
    wanted = ("reserve", "MOUSE-001=3", "KEYBOARD-001", "LAPTOP-001=9")
    done = clerk(*wanted)
    assert (done.code, done.out) == (4, "")
    *told, hint = done.err.splitlines()
    assert told == [
        "error: not enough stock",
        "  KEYBOARD-001  1 wanted, 0 available: 0 on hand, 0 reserved",
        f"  LAPTOP-001    9 wanted, 1 available: 3 on hand, 2 reserved by {second} (2)",
        f"  MOUSE-001     3 wanted, 2 available: 10 on hand, 8 reserved by {first} (6), {second} (2)",
    ]
    assert re.fullmatch(rf"hint: {first} expires next, at {TIME} \(in 9 min\); `invctl reservations` has all", hint)

    said = clerk(*wanted, "-o", "json").error
    assert said["error"] == "not_enough_stock"
    keyboard, laptop, mouse = said["lines"]
    assert keyboard == {
        "sku": "KEYBOARD-001",
        "requested": 1,
        "on_hand": 0,
        "reserved": 0,
        "available": 0,
        "held_by": [],
        "held_by_more": False,
    }
    assert [holder["reservation"] for holder in laptop["held_by"]] == [second]
    first_holder, second_holder = mouse["held_by"]
    assert first_holder.pop("expires_at") < second_holder.pop("expires_at")
    assert first_holder == {"reservation": first, "quantity": 6, "order": "A-17", "clerk": "ana"}
    assert second_holder == {"reservation": second, "quantity": 2, "order": None, "clerk": None}


def test_of_many_holders_the_next_to_expire_are_named(clerk: Clerk) -> None:
    holders = [reserve(clerk, "MOUSE-001", "--for", f"{minutes}m") for minutes in range(10, 16)]
    done = clerk("reserve", "MOUSE-001=5")
    named = ", ".join(f"{key} (1)" for key in holders[:5])
    assert f"10 on hand, 6 reserved by {named}, and more\n" in done.err


def test_stock_that_is_reserved_cannot_be_adjusted_away(clerk: Clerk) -> None:
    reserve(clerk, "MOUSE-001=9")
    done = clerk("adjust", "MOUSE-001", "-2", "--reason", "damaged")
    assert done.code == 4
    assert "2 wanted, 1 available: 10 on hand, 9 reserved" in done.err


def test_part_of_a_reservation_is_sold_and_the_rest_released(clerk: Clerk) -> None:
    key = reserve(clerk, "MOUSE-001=5", "LAPTOP-001=2")
    done = clerk("confirm", key, "MOUSE-001=1", "MOUSE-001=2")
    assert done.out == f"{key} confirmed: sold 3 MOUSE-001; released 2 LAPTOP-001, 2 MOUSE-001\n"
    assert clerk.stock("MOUSE-001") == (7, 0, 7)
    assert clerk.stock("LAPTOP-001") == (3, 0, 3)
    (line,) = [line for line in clerk("show", key, "-o", "json").json["lines"] if line["sku"] == "MOUSE-001"]
    assert line == {"sku": "MOUSE-001", "quantity": 5, "confirmed": 3, "released": 2}


@pytest.mark.parametrize(
    ("parts", "code"), [(["MOUSE-001=6"], 2), (["KEYBOARD-001=1"], 3), (["MOUSE-001"], 2), (["MOUSE-001=0"], 2)]
)
def test_a_part_that_is_not_one_confirms_nothing(clerk: Clerk, parts: list[str], code: int) -> None:
    key = reserve(clerk, "MOUSE-001=5")
    assert clerk("confirm", key, *parts).code == code
    assert clerk.stock("MOUSE-001") == (10, 5, 5)


def test_cancel_releases_all(clerk: Clerk) -> None:
    key = reserve(clerk, "MOUSE-001=5")
    assert clerk("cancel", key).out == f"{key} cancelled: released 5 MOUSE-001\n"
    assert clerk.stock("MOUSE-001") == (10, 0, 10)


@pytest.mark.parametrize("again", ["confirm", "cancel", "extend"])
def test_a_second_end_is_told_which_was_first(clerk: Clerk, again: str) -> None:
    key = reserve(clerk, "MOUSE-001")
    clerk("cancel", key)
    done = clerk(again, key)
    assert done.code == 5
    told = rf"error: {key} was cancelled at {TIME}\nhint: `invctl show {key}` tells its story\n"
    assert re.fullmatch(told, done.err)
    said = clerk(again, key, "-o", "json").error
    assert (said["error"], said["reservation"], said["status"]) == ("wrong_state", key, "cancelled")


def test_what_is_due_counts_as_ended_before_anybody_swept_it(clerk: Clerk) -> None:
    key = hold_in_the_past(clerk.home, MOUSE=7)
    assert clerk.stock("MOUSE-001") == (10, 0, 10)
    assert clerk("reservations").err == "no open reservations\n"
    assert clerk("reservations", "--status", "expired", "-q").out == f"{key}\n"
    assert re.match(rf"{key} expired at {TIME}: released 7 MOUSE-001\n", clerk("show", key).out)
    # All of that wrote nothing; the refusal of a sale records the expiry.
    assert "reservation.expired" not in clerk("history", "-o", "csv").out
    done = clerk("confirm", key)
    assert done.code == 5
    assert re.fullmatch(rf"error: {key} expired at {TIME}, 59 min ago\nhint: reserve again\n", done.err)
    assert "reservation.expired" in clerk("history", "-o", "csv").out
    assert clerk.stock("MOUSE-001") == (10, 0, 10)


@pytest.mark.parametrize("command", ["confirm", "cancel", "extend"])
def test_an_expiry_is_told_alike_by_every_command_swept_or_not(clerk: Clerk, command: str) -> None:
    key = hold_in_the_past(clerk.home, MOUSE=7)
    listed = ("reservations", "--status", "expired")
    before = [clerk("show", key).out, clerk(*listed).out, clerk(*listed, "-o", "json").json]
    refused = clerk(command, key)
    again = clerk(command, key)
    assert (refused.code, again.code, again.err) == (5, 5, refused.err)
    assert clerk(command, key, "-o", "json").error["ended_at"] == before[2][0]["expires_at"]
    after = [clerk("show", key).out, clerk(*listed).out, clerk(*listed, "-o", "json").json]
    # All that has come is the event.
    assert before[0].endswith("  expired: 7 MOUSE-001 released  (its event is to come)\n")
    left = "(then 10 on hand, 10 available)"
    assert after[0] == before[0].replace("  (its event is to come)", f" {left}  (event 8)")
    assert after[1] == before[1]
    assert after[2] == [{**before[2][0], "seq": 8}]
    at = re.match(rf"{key} expired at ({TIME}): released", after[0])
    assert at
    assert f"error: {key} expired at {at[1]}, 59 min ago\n" in refused.err
    about = clerk("history", "MOUSE-001").out.splitlines()[-1]
    assert at[1].removesuffix(" UTC") in about
    assert "ben" not in about


def test_what_was_held_too_long_is_there_for_the_next_customer(clerk: Clerk) -> None:
    hold_in_the_past(clerk.home, MOUSE=7)
    assert clerk("reserve", "MOUSE-001=10").code == 0


class TestRequestIds:
    def test_the_same_request_again_gives_the_first_outcome_again(self, clerk: Clerk) -> None:
        request = ("reserve", "MOUSE-001=2", "--request-id", "till-3/0815")
        first, again = clerk(*request, "-o", "json").json, clerk(*request, "-o", "json").json
        assert (first.pop("replayed"), again.pop("replayed")) == (False, True)
        assert first == again
        assert clerk.stock("MOUSE-001") == (10, 2, 8)

    def test_a_person_is_told(self, clerk: Clerk) -> None:
        request = ("receive", "MOUSE-001", "2", "--request-id", "r1")
        assert clerk(*request).err == ""
        done = clerk(*request)
        assert done.out == "MOUSE-001 +2 received: 12 on hand, 12 available\n"
        assert done.err == "note: this request was carried out before; nothing was done again\n"
        assert clerk(*request, "-q").err == ""

    def test_what_became_of_a_reservation_since_does_not_change_the_first_outcome(self, clerk: Clerk) -> None:
        request = ("reserve", "MOUSE-001=2", "--clerk", "ana", "--request-id", "r1", "-o", "json")
        first = clerk(*request).json
        clerk("cancel", first["reservation"])
        assert clerk(*request).json == {**first, "replayed": True}

    def test_a_refusal_is_the_first_outcome_too(self, clerk: Clerk) -> None:
        request = ("reserve", "LAPTOP-001=4", "--request-id", "r1", "-o", "json")
        first = clerk(*request)
        clerk("receive", "LAPTOP-001", "10")
        again = clerk(*request)
        assert (again.code, again.error) == (first.code, {**first.error, "replayed": True})
        told = clerk("reserve", "LAPTOP-001=4", "--request-id", "r1")
        assert told.err.startswith("note: this request was refused before")

    def test_another_request_under_the_same_id_is_refused(self, clerk: Clerk) -> None:
        clerk("reserve", "MOUSE-001=2", "--request-id", "r1")
        done = clerk("reserve", "MOUSE-001=3", "--request-id", "r1", "-o", "json")
        assert (done.code, done.error["error"], done.error["request_id"]) == (9, "request_reused", "r1")
        assert clerk.stock("MOUSE-001") == (10, 2, 8)


class TestPrefixes:
    def test_the_beginning_of_an_open_one(self, clerk: Clerk) -> None:
        key = reserve(clerk, "MOUSE-001")
        for typed in (key[2:6], key[:5].lower()):
            assert clerk("show", typed, "-q").out == f"{key}\n"
        assert clerk("confirm", key[:6]).code == 0
        # Once it has ended, its beginning no longer finds it.
        assert clerk("cancel", key[:6]).code == 3
        assert clerk("cancel", key).code == 5

    def test_one_that_fits_several_ends_none(self, clerk: Clerk) -> None:
        # All ids begin alike.
        chance = Draws([1, 2, 3, 4, 5, 1, 2, 3, 4, 6])
        with Ledger.open(clerk.home, chance=chance) as ledger:
            keys = [reservations.reserve(ledger, {"MOUSE-001": 1}).event.data["reservation"] for _ in range(2)]
        done = clerk("cancel", keys[0][:6])
        assert done.code == 2
        assert all(key in done.err for key in keys)
        assert clerk("reservations", "-q").out.split() == keys

    def test_a_mistyped_character_is_told(self, clerk: Clerk) -> None:
        key = reserve(clerk, "MOUSE-001")
        wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
        done = clerk("confirm", wrong)
        assert done.code == 3
        assert "a character was mistyped" in done.err


class Draws:
    """Chance that is known where a reservation's id is drawn."""

    def __init__(self, fives: list[int]) -> None:
        self._fives = itertools.cycle(fives)
        self._others = random.Random(1)

    def getrandbits(self, k: int, /) -> int:
        return next(self._fives) if k == 5 else self._others.getrandbits(k)


def test_the_clerk_of_the_environment_and_the_one_that_is_named(clerk: Clerk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVCTL_CLERK", "ana")
    assert clerk("reserve", "MOUSE-001", "-o", "json").json["clerk"] == "ana"
    key = clerk("reserve", "MOUSE-001", "--clerk", "ben", "-o", "json").json["reservation"]
    # A reservation is that of the clerk who opened it, whoever ends it.
    assert clerk("confirm", key, "-o", "json").json["clerk"] == "ben"
    assert [row["clerk"] for row in clerk("show", key, "-o", "json").json["history"]] == ["ben", "ana"]


def test_reservations_are_found_by_status_item_and_order(clerk: Clerk) -> None:
    later = reserve(clerk, "MOUSE-001", "--order", "A-1")
    sooner = reserve(clerk, "LAPTOP-001", "--for", "10m")
    sold = reserve(clerk, "MOUSE-001", "LAPTOP-001", "--order", "A-1")
    clerk("confirm", sold)
    found = {
        argv: clerk("reservations", *argv.split(), "-q").out.split()
        for argv in ("", "--all", "--status confirmed", "--sku LAPTOP-001", "--order A-1", "--all --order A-1")
    }
    assert found == {
        "": [sooner, later],
        "--all": [sold, sooner, later],
        "--status confirmed": [sold],
        "--sku LAPTOP-001": [sooner],
        "--order A-1": [later],
        "--all --order A-1": [sold, later],
    }


def test_an_open_reservation_is_a_pending_one(clerk: Clerk) -> None:
    key = reserve(clerk, "MOUSE-001")
    clerk("cancel", reserve(clerk, "MOUSE-001"))
    done = clerk("reservations", "--status", "Open")
    assert key in done.out
    # The table is that of pending ones: it has no column for what all of them are.
    assert "Status" not in done.out
    assert clerk("reservations", "--status", "open", "-q").out == f"{key}\n"


def test_reservations_of_an_item_that_there_is_not(clerk: Clerk) -> None:
    done = clerk("reservations", "--sku", "nope")
    assert (done.code, done.out) == (3, "")
    assert done.err == "error: no product NOPE\nhint: `invctl product list` shows what there is\n"


class TestTypedInAnotherForm:
    """The number stands where another command has it."""

    def test_reserve(self, clerk: Clerk) -> None:
        done = clerk("reserve", "mouse-001", "3")
        assert (done.code, done.err) == (3, "error: no product 3\nhint: for 3 of MOUSE-001 write MOUSE-001=3\n")
        assert clerk("reserve", "MOUSE-001", "3", "-o", "json").error["hint"] == "for 3 of MOUSE-001 write MOUSE-001=3"
        assert "write" not in clerk("reserve", "3", "MOUSE-001").err
        assert "write" not in clerk("reserve", "MOUSE-001", "MICE").err
        # Where there is such an item, it is meant.
        clerk("product", "add", "3", "--name", "Three")
        clerk("receive", "3", "1")
        assert clerk("reserve", "MOUSE-001", "3").code == 0

    @pytest.mark.parametrize(
        ("command", "hint"),
        [
            ("receive mouse-001=3", "mouse-001 3"),
            ("receive MOUSE-001= 3", "MOUSE-001 N"),
            ("adjust MOUSE-001=-3 --reason damaged", "MOUSE-001 -3"),
        ],
    )
    def test_receive_and_adjust(self, clerk: Clerk, command: str, hint: str) -> None:
        done = clerk(*command.split())
        assert (done.code, done.out) == (2, "")
        assert done.err.endswith(f"hint: the number is a word of its own here: {hint}\n")
        assert clerk.stock("MOUSE-001") == (10, 0, 10)


@pytest.mark.parametrize("command", ["reserve MOUSE-001", "extend R-7K4QM2"])
def test_how_long_it_may_not_be_held_is_told_as_it_was_typed(clerk: Clerk, command: str) -> None:
    done = clerk(*command.split(), "--for", "400d")
    told = "error: Invalid value for '--for': 400d is not a time to hold stock\nhint: 1 second to 366 days\n"
    assert (done.code, done.err) == (2, told)


@pytest.mark.parametrize("typed", ["cycle_count", "CYCLE_COUNT", "Cycle count", "cycle-count"])
def test_a_reason_as_it_may_be_typed(clerk: Clerk, typed: str) -> None:
    assert clerk("adjust", "MOUSE-001", "-1", "--reason", typed, "-o", "json").json["reason"] == "cycle_count"


@pytest.mark.parametrize("typed", [[], ["--reason", "bored"]])
def test_whoever_gives_no_reason_is_told_them_all(clerk: Clerk, typed: list[str]) -> None:
    done = clerk("adjust", "MOUSE-001", "-1", *typed)
    assert done.code == 2
    assert all(reason in done.err for reason in adjustments.REASONS)


def test_a_person_reads_what_was_sold(clerk: Clerk) -> None:
    key = reserve(clerk, "MOUSE-001=3", "LAPTOP-001", "--order", "A-1", "--clerk", "ana")
    head, _, row = clerk("reservations").out.splitlines()
    assert head.split() == ["Reservation", "Until", "UTC", "Left", "Items", "Order", "Clerk"]
    assert row.split()[:1] + row.split()[-8:] == [key, "29", "min", "1", "LAPTOP-001,", "3", "MOUSE-001", "A-1", "ana"]
    clerk("confirm", key, "MOUSE-001=2", "LAPTOP-001=1")
    row = clerk("reservations", "--all").out.splitlines()[-1]
    assert "confirmed" in row
    assert "1 LAPTOP-001, 2 of 3 MOUSE-001" in row

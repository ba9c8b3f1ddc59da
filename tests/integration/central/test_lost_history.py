"""Who asks to rejoin, what an operator says to that, and what is sent: on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from central import lost_history, tables
from central.apply import apply_intakes
from central.cursors import load_cursor
from central.database import reading, writing
from central.stores import remove
from invctl.errors import InvalidValueError, NotFoundError, WrongStateError
from invctl.model import events
from invctl.model.chain import GENESIS
from invctl.sync.cursor import Heard, Lost
from invctl.sync.frames import BATCH_EVENTS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from tests.integration.central.head_office import HeadOffice
    from tests.integration.central.histories import History

pytestmark = pytest.mark.fault_tolerance


def heard(boot: str, *, store: str = "downtown", held_seq: int | None = 3, at_us: int = 1) -> Heard:
    return Heard(store, boot, 1, 5, GENESIS, GENESIS, at_us, None, held_seq)


def told(office: HeadOffice, *, asking: tuple[Heard, ...] = (), copies: tuple[str, ...] = ()) -> None:
    """Let a central save what it heard."""
    apply_intakes(office.engine, 0, office.fence, [], asking=asking, copies=copies)


def askers(office: HeadOffice) -> list[tuple[str, int, int, int]]:
    with reading(office.engine) as connection:
        return [(*asker,) for asker in lost_history.asking(connection, "downtown")]


def readmit(office: HeadOffice, boot: str = "") -> str:
    with writing(office.engine) as connection:
        found = lost_history.readmit(connection, "downtown", boot)
        connection.commit()
    return found.boot


def test_who_asks_is_kept_with_since_when_and_the_last_word_counts(office: HeadOffice) -> None:
    office.admit("downtown")
    told(office, asking=(heard("b", at_us=5),))
    told(office, asking=(heard("b", held_seq=4, at_us=9), heard("c", at_us=8), heard("d", held_seq=None)))
    assert askers(office) == [("b", 4, 5, 9), ("c", 3, 8, 8)]


def test_forged_boots_do_not_fill_the_table(office: HeadOffice) -> None:
    office.admit("downtown")
    for number in range(3 * lost_history.ASKING_MAX):
        told(office, asking=(heard(f"boot-{number:02}", at_us=number + 1),))
    assert [row[0] for row in askers(office)] == [f"boot-{number:02}" for number in range(23, 15, -1)]


def test_a_store_that_is_not_on_the_list_is_left_out(office: HeadOffice) -> None:
    told(office, asking=(heard("b"),), copies=("downtown",))
    assert askers(office) == []
    office.admit("downtown")
    told(office, asking=(heard("b"),), copies=("downtown",))
    with writing(office.engine) as connection:
        remove(connection, "downtown")
        connection.commit()
    assert askers(office) == []


def test_that_copies_live_is_kept_with_the_first_sight(office: HeadOffice) -> None:
    office.admit("downtown")
    told(office, copies=("downtown",))
    with reading(office.engine) as connection:
        first = lost_history.copies_us(connection, "downtown")
    told(office, copies=("downtown",))
    with reading(office.engine) as connection:
        assert first is not None
        assert lost_history.copies_us(connection, "downtown") == first
        cursor = load_cursor(connection, "downtown")
    assert cursor is not None
    assert (cursor.are_copies, cursor.readmitted) == (True, "")


def test_an_operator_names_one_where_several_ask(office: HeadOffice) -> None:
    with pytest.raises(NotFoundError, match="no store downtown"):
        readmit(office)
    office.admit("downtown")
    with pytest.raises(WrongStateError, match="no daemon of downtown asks"):
        readmit(office)
    told(office, asking=(heard("b00t"), heard("c0de", at_us=2)), copies=("downtown",))
    with pytest.raises(InvalidValueError, match="2 daemons of downtown ask") as caught:
        readmit(office)
    assert "b00t" in caught.value.hint
    with pytest.raises(NotFoundError, match="no daemon x of downtown"):
        readmit(office, "x")
    assert readmit(office, "b0") == "b00t"
    with reading(office.engine) as connection:
        cursor = load_cursor(connection, "downtown")
    assert cursor is not None
    assert (cursor.are_copies, cursor.readmitted) == (True, "b00t")


def test_with_the_rejoin_all_that_is_done(office: HeadOffice, history: History) -> None:
    history.created()
    office.admit("downtown")
    office.take(history)
    told(office, asking=(heard("b00t"),), copies=("downtown",))
    readmit(office)
    history.event(events.LEDGER_REBASED, "downtown", {"epoch": 2})
    assert office.take(history).epoch == 2
    assert askers(office) == []
    assert office.rows(tables.rejoins) == []
    assert office.cursor("downtown").epoch == 2


def test_pages_follow_what_is_held_and_begin_anew_where_that_is_not_known(
    office: HeadOffice, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.created()
    for number in range(8):
        history.product(f"SKU-{number}")
    office.admit("downtown")
    office.take(history)
    bodies, hashes = history.bodies, history.hashes
    with reading(office.engine) as connection:
        page = pages(connection)
        assert page(5, hashes[5]) == (6, hashes[5], bodies[5:], hashes[9])
        assert page(0, GENESIS) == page(5, b"?" * 32) == page(99, hashes[5]) == (1, GENESIS, bodies, hashes[9])
        # There is nothing more.
        assert page(9, hashes[9]) == (10, hashes[9], [], hashes[9])
        monkeypatch.setattr(lost_history, "BATCH_EVENTS_MAX", 3)
        assert page(2, hashes[2]) == (3, hashes[2], bodies[2:5], hashes[5])
        monkeypatch.setattr(lost_history, "BATCH_EVENTS_MAX", BATCH_EVENTS_MAX)
        monkeypatch.setattr(lost_history, "BATCH_BYTES_MAX", len(bodies[2]) + len(bodies[3]))
        assert page(2, hashes[2]) == (3, hashes[2], bodies[2:4], hashes[4])
        monkeypatch.setattr(lost_history, "BATCH_BYTES_MAX", 1)
        assert page(2, hashes[2]) == (3, hashes[2], bodies[2:3], hashes[3])


def pages(connection: Connection) -> Callable[[int, bytes], tuple[int, bytes, list[bytes], bytes]]:
    def page(seq: int, hash_: bytes) -> tuple[int, bytes, list[bytes], bytes]:
        found = lost_history.read_page(connection, Lost("downtown", "b00t", seq, hash_))
        return found.first_seq, found.prev_hash, found.bodies, found.last_hash

    return page

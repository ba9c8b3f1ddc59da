"""Whatever somebody did to central's tables, or to its archive, is found and named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, insert, update

from central import archive, reservation_rows, verify
from central.database import reading, writing
from central.tables import archive as archived
from central.tables import cursors, levels, products, reservation_lines, reservations
from central.verify import Difference, verify_store
from invctl.errors import NotFoundError
from invctl.model import events
from invctl.model.chain import GENESIS
from invctl.model.stock import StockLevel

if TYPE_CHECKING:
    from sqlalchemy.sql.dml import UpdateBase

    from tests.integration.central.head_office import HeadOffice
    from tests.integration.central.histories import History

pytestmark = pytest.mark.fault_tolerance


@pytest.fixture(autouse=True)
def keys(office: HeadOffice, history: History) -> dict[str, str]:
    """A confirmed, a cancelled and an open reservation."""
    office.admit("downtown")
    history.created()
    history.product("MOUSE-001", "Mouse")
    history.adjust({"MOUSE-001": 10, "LAPTOP-001": 10})
    confirmed = history.reserve({"MOUSE-001": 2, "LAPTOP-001": 1})
    cancelled = history.reserve({"MOUSE-001": 1})
    history.end(confirmed, events.RESERVATION_CONFIRMED, {"MOUSE-001": 1})
    history.end(cancelled, events.RESERVATION_CANCELLED)
    pending = history.reserve({"MOUSE-001": 1})
    history.extend(pending)
    office.take(history)
    assert office.verify().ok
    return {"confirmed": confirmed, "cancelled": cancelled, "pending": pending}


def tamper(office: HeadOffice, statement: UpdateBase) -> list[Difference]:
    with writing(office.engine) as connection:
        assert connection.execute(statement).rowcount != 0
        connection.commit()
    found = office.verify()
    assert not found.ok
    return found.differences


def test_a_sound_store_is_told_how_far(office: HeadOffice, history: History) -> None:
    shown = office.verify().as_dict()
    assert shown == {
        "store": "downtown",
        "events": 9,
        "seq": 9,
        "hash": history.hashes[9].hex(),
        "differences": [],
        "findings": [],
        "first_seq": None,
        "ok": True,
    }


def test_a_store_without_events_is_sound(office: HeadOffice) -> None:
    office.admit("midtown")
    found = office.verify("midtown")
    assert (found.ok, found.seq, found.hash) == (True, 0, GENESIS.hex())


def test_a_store_that_is_not_known_is_said(office: HeadOffice) -> None:
    with reading(office.engine) as connection, pytest.raises(NotFoundError):
        verify_store(connection, "nowhere")


@pytest.mark.parametrize("column", ["on_hand", "reserved", "version"])
def test_an_altered_level_is_named(office: HeadOffice, column: str) -> None:
    statement = update(levels).where(levels.c.sku == "MOUSE-001").values({column: 77})
    [difference] = tamper(office, statement)
    assert (difference.what, difference.key) == ("level", "MOUSE-001")
    assert difference.expected == StockLevel(9, 1, 6)._asdict()
    assert difference.found == {**difference.expected, column: 77}


def test_a_level_of_another_event_is_named(office: HeadOffice) -> None:
    [difference] = tamper(office, update(levels).where(levels.c.sku == "MOUSE-001").values(seq=3))
    assert difference == Difference("level", "MOUSE-001", "as of event 8", "as of event 3", 8)


def test_a_missing_level_and_one_too_many_are_named(office: HeadOffice) -> None:
    found = tamper(office, delete(levels).where(levels.c.sku == "LAPTOP-001"))
    assert {(each.what, each.key) for each in found} == {("level", "LAPTOP-001")}
    ghost = {"store": "downtown", "sku": "GHOST", "on_hand": 1, "reserved": 0, "version": 1, "seq": 1}
    found = tamper(office, insert(levels).values(ghost))
    assert {each.key for each in found} == {"GHOST", "LAPTOP-001"}


@pytest.mark.parametrize("values", [{"name": "Rat"}, {"price": 1}, {"seq": 1}])
def test_an_altered_product_is_named(office: HeadOffice, values: dict[str, Any]) -> None:
    [difference] = tamper(office, update(products).values(**values))
    assert (difference.what, difference.key) == ("product", "MOUSE-001")


def test_a_missing_product_is_named(office: HeadOffice) -> None:
    [difference] = tamper(office, delete(products))
    assert (difference.what, difference.found) == ("product", None)


@pytest.mark.parametrize("which", ["confirmed", "cancelled", "pending"])
@pytest.mark.parametrize(
    "values",
    [
        {"status": "expired"},
        {"order_id": "B-1"},
        {"clerk": "eve"},
        {"created_us": 1},
        {"expires_us": 1},
        {"ended_us": 1},
    ],
)
def test_an_altered_reservation_is_named(
    office: HeadOffice, keys: dict[str, str], which: str, values: dict[str, Any]
) -> None:
    statement = update(reservations).where(reservations.c.reservation == keys[which]).values(**values)
    [difference] = tamper(office, statement)
    assert (difference.what, difference.key) == ("reservation", keys[which])


@pytest.mark.parametrize("which", ["confirmed", "cancelled", "pending"])
@pytest.mark.parametrize("seq", [0, 1, 5, 8, 400])
def test_a_reservation_of_another_event_is_named(
    office: HeadOffice, keys: dict[str, str], which: str, seq: int
) -> None:
    [row] = office.rows(reservations, reservation=keys[which])
    if row.seq == seq:
        seq += 1
    found = tamper(office, update(reservations).where(reservations.c.reservation == keys[which]).values(seq=seq))
    assert {each.what for each in found} == {"reservation"}
    assert {each.key for each in found} == {keys[which]}


@pytest.mark.parametrize("which", ["confirmed", "cancelled", "pending"])
def test_a_missing_reservation_is_named(office: HeadOffice, keys: dict[str, str], which: str) -> None:
    with writing(office.engine) as connection:
        connection.execute(delete(reservation_lines).where(reservation_lines.c.reservation == keys[which]))
        connection.execute(delete(reservations).where(reservations.c.reservation == keys[which]))
        connection.commit()
    [difference] = office.verify().differences
    assert (difference.what, difference.key, difference.found) == ("reservation", keys[which], None)


def test_a_reservation_too_many_is_named(office: HeadOffice, keys: dict[str, str]) -> None:
    [row] = office.rows(reservations, reservation=keys["confirmed"])
    ghost = {**row._asdict(), "reservation": "R-GHOST"}
    for seq in (0, row.seq, 400):
        [difference] = tamper(office, insert(reservations).values({**ghost, "seq": seq}))
        assert (difference.what, difference.key) == ("reservation", "R-GHOST")
        with writing(office.engine) as connection:
            connection.execute(delete(reservations).where(reservations.c.reservation == "R-GHOST"))
            connection.commit()


@pytest.mark.parametrize("column", ["quantity", "confirmed", "released"])
def test_an_altered_line_is_named(office: HeadOffice, keys: dict[str, str], column: str) -> None:
    mine = reservation_lines.c.reservation == keys["confirmed"]
    statement = update(reservation_lines).where(mine, reservation_lines.c.line == 1).values({column: 9})
    [difference] = tamper(office, statement)
    assert (difference.what, difference.key) == ("reservation", keys["confirmed"])


def test_a_missing_line_is_named(office: HeadOffice, keys: dict[str, str]) -> None:
    mine = reservation_lines.c.reservation == keys["confirmed"]
    [difference] = tamper(office, delete(reservation_lines).where(mine, reservation_lines.c.line == 0))
    assert difference.key == keys["confirmed"]


@pytest.mark.parametrize("values", [{"epoch": 2}, {"applied_seq": 8}, {"applied_hash": GENESIS}])
def test_a_cursor_that_is_elsewhere_is_named(office: HeadOffice, values: dict[str, Any]) -> None:
    [difference] = tamper(office, update(cursors).values(**values))
    assert (difference.what, difference.key) == ("cursor", next(iter(values)))


@pytest.mark.parametrize("values", [{"type": None}, {"event_id": "x"}, {"time_us": 1}, {"position": 400}])
def test_an_altered_column_of_the_archive_is_named(office: HeadOffice, values: dict[str, Any]) -> None:
    found = tamper(office, update(archived).where(archived.c.seq == 3).values(**values))
    assert ("archive", f"event {4 if 'position' in values else 3}") in {(each.what, each.key) for each in found}


def test_one_damaged_event_is_one_break_of_the_chain(office: HeadOffice, history: History) -> None:
    damaged = history.bodies[2].replace(b"received", b"recounts")
    [difference] = tamper(office, update(archived).where(archived.c.seq == 3).values(body=damaged))
    assert (difference.what, difference.key) == ("chain", "event 3")
    assert difference.found == history.hashes[3].hex()


def test_a_missing_event_is_named(office: HeadOffice) -> None:
    found = tamper(office, delete(archived).where(archived.c.seq == 2))
    assert {("archive", "seq after 1"), ("chain", "event 3")} <= {(each.what, each.key) for each in found}


def test_a_missing_end_is_named(office: HeadOffice) -> None:
    found = tamper(office, delete(archived).where(archived.c.seq == 9))
    assert {("cursor", "applied_seq"), ("cursor", "applied_hash")} <= {(each.what, each.key) for each in found}


# The events of `keys`: 1 created, 2 product, 3 received, 4 to 7 two reservations and their ends, 8 and 9 an open one.
MOUSE = levels.c.sku == "MOUSE-001"


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        # As it was after event 5: what followed was lost.
        (update(levels).where(MOUSE).values(on_hand=10, reserved=3, version=3, seq=5), 6),
        (update(levels).where(MOUSE).values(on_hand=10, reserved=3, version=3), 6),
        # As it never was: the event that the row names says otherwise.
        (update(levels).where(MOUSE).values(on_hand=77), 8),
        (update(levels).where(MOUSE).values(on_hand=77, seq=2), 3),
        (update(levels).where(MOUSE).values(seq=3), 8),
        (delete(levels).where(MOUSE), 3),
        (update(products).values(name="Rat"), 2),
        (update(products).values(seq=1), 2),
        (delete(products), 2),
        (update(cursors).values(applied_seq=7), 8),
        (update(cursors).values(applied_seq=11), 10),
        (update(cursors).values(applied_hash=GENESIS), 9),
        (update(cursors).values(epoch=2), None),
        (delete(archived).where(archived.c.seq == 4), 4),
        (update(archived).where(archived.c.seq == 5).values(type=None), 5),
        (update(archived).where(archived.c.seq == 5).values(hash=GENESIS), 5),
    ],
)
def test_the_first_event_at_which_they_part_is_named(
    office: HeadOffice, statement: UpdateBase, seq: int | None
) -> None:
    tamper(office, statement)
    assert office.verify().first_seq == seq
    assert office.verify().as_dict()["first_seq"] == seq


def test_a_reservation_whose_end_was_lost_parts_at_its_end(office: HeadOffice, keys: dict[str, str]) -> None:
    """It is as it was before: open, and without what its lines came to."""
    mine = reservations.c.reservation == keys["confirmed"]
    lines = reservation_lines.c.reservation == keys["confirmed"]
    with writing(office.engine) as connection:
        connection.execute(update(reservation_lines).where(lines).values(confirmed=0, released=0))
        connection.commit()
    [difference] = tamper(office, update(reservations).where(mine).values(status="pending", ended_us=None, seq=4))
    assert (difference.key, difference.seq) == (keys["confirmed"], 6)
    assert (difference.expected["status"], difference.found["status"]) == ("confirmed", "pending")


@pytest.mark.parametrize(("which", "seq"), [("confirmed", 4), ("cancelled", 5), ("pending", 8)])
def test_a_missing_reservation_parts_at_its_beginning_and_an_altered_one_at_its_last_event(
    office: HeadOffice, keys: dict[str, str], which: str, seq: int
) -> None:
    mine = reservations.c.reservation == keys[which]
    last = office.rows(reservations, reservation=keys[which])[0].seq
    [difference] = tamper(office, update(reservations).where(mine).values(order_id="B-99"))
    assert difference.seq == last
    with writing(office.engine) as connection:
        connection.execute(delete(reservation_lines).where(reservation_lines.c.reservation == keys[which]))
        connection.execute(delete(reservations).where(mine))
        connection.commit()
    assert office.verify().first_seq == seq


def test_of_several_differences_the_first_event_counts(office: HeadOffice, keys: dict[str, str]) -> None:
    tamper(office, update(levels).where(levels.c.sku == "LAPTOP-001").values(on_hand=10, reserved=1, version=2, seq=4))
    tamper(office, update(archived).where(archived.c.seq == 7).values(type=None))
    found = office.verify()
    assert {each.seq for each in found.differences} == {6, 7}
    assert found.first_seq == 6


def test_what_the_archive_never_had_parts_at_no_event(office: HeadOffice) -> None:
    ghost = {"store": "downtown", "sku": "GHOST", "on_hand": 1, "reserved": 0, "version": 1, "seq": 1}
    [difference] = tamper(office, insert(levels).values(ghost))
    assert (difference.key, difference.seq) == ("GHOST", None)


def test_what_the_store_did_wrong_is_no_difference(office: HeadOffice, history: History, keys: dict[str, str]) -> None:
    history.adjust({"LAPTOP-001": -50}, "correction")
    history.raw(b"{")
    history.now_us += 10**10
    history.end(keys["pending"], events.RESERVATION_CONFIRMED)
    office.take(history)
    found = office.verify()
    assert found.ok
    assert len(found.findings) == 3
    assert "impossible level" in found.findings[0]
    assert found.findings[1] == "event 11 is unreadable"
    assert "was confirmed at" in found.findings[2]


def test_only_so_many_are_named(office: HeadOffice, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "NAMED_MAX", 3)
    for _ in range(9):
        history.raw(b"{")
    office.take(history)
    assert len(office.verify().findings) == 3
    assert len(tamper(office, update(archived).values(hash=GENESIS))) == 3


def test_what_is_kept_at_a_time_does_not_grow_with_the_history(
    office: HeadOffice, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reservations that ended are let go as they pass."""
    for _ in range(50):
        history.end(history.reserve({"MOUSE-001": 1}), events.RESERVATION_CANCELLED)
    office.take(history)
    kept: list[int] = []
    take = verify._Replay.take

    def watched(self: verify._Replay, row: Any) -> None:
        take(self, row)
        kept.append(len(self._projection.reservations))

    monkeypatch.setattr(verify._Replay, "take", watched)
    monkeypatch.setattr(archive, "ROWS_FETCHED_MAX", 7)
    monkeypatch.setattr(reservation_rows, "ROWS_FETCHED_MAX", 7)
    assert office.verify().ok
    assert max(kept) <= 2

"""Each thing that `verify` can find is planted once, past the operations and the triggers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import uuid4

import apsw
import pytest

from invctl.clock import format_time, parse_time
from invctl.ledger import products, reservations
from invctl.ledger.ledger import FILE, Ledger
from invctl.ledger.verify import FINDINGS_MAX, Verdict, verify
from invctl.ledger.writing import NOBODY, Origin
from invctl.model import events
from invctl.model.chain import link
from tests.unit.ledger.support import HOLD_S, head, hold

if TYPE_CHECKING:
    from invctl.clock import ManualClock
pytestmark = pytest.mark.fault_tolerance

# What the fixture leaves: two reservations, one of them confirmed in part.
CREATED, CONFIRMED, PENDING = 7, 8, 9


@pytest.fixture
def ledger(ledger: Ledger, clock: ManualClock) -> Ledger:
    key = hold(ledger, MOUSE=3, LAPTOP=2)
    clock.advance(60)
    reservations.confirm(ledger, key, {"MOUSE": 1}, origin=Origin(request_id="till-1"))
    clock.advance(60)
    hold(ledger, MOUSE=4, order="A-17")
    assert head(ledger) == PENDING
    return ledger


def alter(ledger: Ledger, statement: str, bindings: tuple[object, ...] = ()) -> Verdict:
    """Verify a copy of the ledger that has lost its guards, and was then altered."""
    home = ledger.home / str(uuid4())
    home.mkdir()
    ledger.connection.execute("VACUUM INTO ?", (str(home / FILE),))
    connection = apsw.Connection(str(home / FILE))
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute(statement, bindings)
    assert connection.changes() or not statement.startswith(("UPDATE", "INSERT", "DELETE"))
    connection.close()
    with Ledger.open(home, clock=ledger.clock) as copy:
        return verify(copy)


def test_a_sound_ledger_says_what_it_is(ledger: Ledger) -> None:
    told: list[int] = []
    verdict = verify(ledger, progress=told.append)
    assert verdict.findings == []
    assert (verdict.store, verdict.events, verdict.skus, verdict.reservations) == ("downtown", PENDING, 3, 2)
    assert verdict.head_hash == ledger.row("SELECT hash FROM events WHERE seq = ?", (PENDING,))[0]
    assert told == []


def test_one_moment_is_verified_and_progress_told_while_the_store_goes_on(ledger: Ledger, clock: ManualClock) -> None:
    with ledger.write() as write:
        for number in range(2000 - head(ledger)):
            write.append(events.PRODUCT_EDITED, "MOUSE", {"sku": "MOUSE", "name": f"{number}", "price": None}, NOBODY)
        write.connection.execute("UPDATE products SET name = ? WHERE sku = 'MOUSE'", (f"{number}",))
        write.commit()
    told: list[int] = []
    with Ledger.open(ledger.home, clock=clock) as other:

        def go_on(checked: int) -> None:
            told.append(checked)
            hold(other, MOUSE=1)

        verdict = verify(ledger, progress=go_on)
    assert verdict.findings == []
    assert verdict.events == 2000
    assert told == [1000, 2000]
    assert head(ledger) == 2002


PLANTED: dict[str, tuple[str, str]] = {
    "a changed byte": (
        f"UPDATE events SET body = CAST(replace(CAST(body AS TEXT), 'A-17', 'A-18') AS BLOB) WHERE seq = {PENDING}",
        f"event {PENDING}: it is not what was recorded: its bytes do not lead to its hash",
    ),
    "a changed hash": (
        f"UPDATE events SET hash = zeroblob(32) WHERE seq = {CREATED}",
        f"event {CONFIRMED}: it is not what was recorded: its bytes do not lead to its hash",
    ),
    "bytes that are no event": (
        f"UPDATE events SET body = x'ff' WHERE seq = {CREATED}",
        f"event {CREATED}: it cannot be read: not JSON in Unicode",
    ),
    "a missing event": (
        f"DELETE FROM events WHERE seq = {CREATED}",
        f"event {CONFIRMED}: the one before it is missing: it follows event {CREATED - 1}",
    ),
    "a missing last event": (
        f"DELETE FROM events WHERE seq = {PENDING}",
        "movements of MOUSE: the table does not list",
    ),
    "another id beside the bytes": (
        f"UPDATE events SET id = 'f00' WHERE seq = {CREATED}",
        f"event {CREATED}: the table has another id beside it than it states itself",
    ),
    "another type beside the bytes": (
        f"UPDATE events SET type = 'inventory.x' WHERE seq = {CREATED}",
        f"event {CREATED}: the table has another type beside it than it states itself",
    ),
    "another time beside the bytes": (
        f"UPDATE events SET time_us = time_us + 1 WHERE seq = {CREATED}",
        f"event {CREATED}: the table has another time beside it than it states itself",
    ),
    "a changed movement": (
        f"UPDATE movements SET on_hand_change = -2 WHERE seq = {CONFIRMED} AND sku = 'MOUSE'",
        "movements of MOUSE: the table does not list",
    ),
    "a movement under another event": (
        f"UPDATE movements SET seq = 1 WHERE seq = {CREATED} AND sku = 'LAPTOP'",
        "movements of LAPTOP: the table does not list",
    ),
    "a missing movement": (
        f"DELETE FROM movements WHERE seq = {CREATED} AND sku = 'LAPTOP'",
        "movements of LAPTOP: the table does not list",
    ),
    "a movement too many": (
        f"INSERT INTO movements VALUES ('CABLE', {CREATED}, 1, 0, 1, 0, 1)",
        "movements of CABLE: the table does not list",
    ),
    "a changed level": (
        "UPDATE stock SET on_hand = 98 WHERE sku = 'MOUSE'",
        "stock of MOUSE: on hand is 98 in the table, 99 by its events",
    ),
    "a changed version": (
        "UPDATE stock SET version = 5 WHERE sku = 'MOUSE'",
        "stock of MOUSE: version is 5 in the table, 4 by its events",
    ),
    "a level too few": (
        "DELETE FROM stock WHERE sku = 'CABLE'",
        "stock of CABLE: the table lacks it, its events have it",
    ),
    "an ended reservation reopened": (
        "UPDATE reservations SET status = 'cancelled' WHERE status = 'confirmed'",
        ": its status is 'cancelled' in the table, 'confirmed' by its events",
    ),
    "another clerk": ("UPDATE reservations SET clerk = 'eve'", "its clerk is 'eve' in the table, none by its events"),
    "a time that no calendar has": ("UPDATE reservations SET expires_us = 1 << 62", f"{1 << 62} us"),
    "an end at the beginning of time": (
        "UPDATE reservations SET ended_us = 0 WHERE status = 'confirmed'",
        "1970-01-01T00:00:00.000000Z",
    ),
    "another beginning": ("UPDATE reservations SET first_seq = 1", "its first event is 1 in the table, "),
    "a changed line": (
        "UPDATE reservation_lines SET confirmed = 2, released = 1 WHERE sku = 'MOUSE' AND due_us IS NULL",
        "3 MOUSE (2 confirmed, 1 released) in the table, 2 LAPTOP (0 confirmed, 2 released), 3 MOUSE (1 confirmed",
    ),
    "a missing line": (
        "DELETE FROM reservation_lines WHERE sku = 'LAPTOP'",
        ": what it holds is 3 MOUSE (1 confirmed, 2 released) in the table, ",
    ),
    "a line that is due at another time": (
        "UPDATE reservation_lines SET due_us = due_us + 1 WHERE due_us IS NOT NULL",
        "its line of MOUSE is not due when the whole is",
    ),
    "a changed product": (
        "UPDATE products SET name = 'Rat' WHERE sku = 'MOUSE'",
        "product MOUSE: its name is 'Rat' in the table, 'Product MOUSE' by its events",
    ),
    "a product too many": (
        "INSERT INTO products VALUES ('PHONE', 'Phone', 1)",
        "product PHONE: the table has it, no event does",
    ),
    "a request remembered otherwise": (
        "UPDATE requests SET fingerprint = 'ff'",
        f"request till-1: event {CONFIRMED} did not come of it, as the table says",
    ),
    "a request under another event": (
        f"UPDATE requests SET seq = {PENDING}",
        f"request till-1: event {PENDING} did not come of it, as the table says",
    ),
    "a missing guard": ("PRAGMA optimize", "trigger events_keep_update is missing, or not as it was laid down"),
    "a missing index": ("DROP INDEX reservations_pending", "index reservations_pending is missing"),
    "a foreign table": ("CREATE TABLE cats (name TEXT)", "the file was changed from outside: table cats"),
    "an unchecked level": (
        "UPDATE stock SET reserved = 101 WHERE sku = 'MOUSE'",
        "the file is damaged: CHECK constraint failed in stock",
    ),
    "text that is not Unicode": ("UPDATE products SET name = CAST(x'ff' AS TEXT)", "is damaged: 'utf-8' codec"),
    "another store": ("UPDATE ledger SET store = 'midtown'", "event 1: the table has another store beside it than"),
    "another name of the store": (
        "UPDATE ledger SET name = 'Midtown'",
        "the store: its name is 'Midtown' in the table, 'downtown'",
    ),
    "a count that nobody asked for": (
        f"INSERT INTO recounts VALUES ('MOUSE', {CREATED})",
        "count of MOUSE: the table has it, no event does",
    ),
    "another epoch": ("UPDATE ledger SET epoch = 2", "the store: its epoch is 2 in the table, 1 by its events"),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_what_was_altered_is_found(ledger: Ledger, planted: str) -> None:
    statement, said = PLANTED[planted]
    findings = alter(ledger, statement).findings
    assert any(said in finding for finding in findings), findings


def forge(ledger: Ledger, **changes: str) -> Verdict:
    """Verify the ledger with one more event, whose hash fits: the last one, changed."""
    seq, body, last = ledger.row("SELECT seq, body, hash FROM events ORDER BY seq DESC LIMIT 1")
    document = {**json.loads(body), "id": "f" * 32, **changes}
    forged = events.canonical(document)
    time_us, hash_ = parse_time(document["time"]), link(last, seq + 1, forged)
    values = (seq + 1, document["id"], document["type"], time_us, forged, hash_)
    return alter(ledger, "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", values)


def test_a_foreign_source_is_found(ledger: Ledger) -> None:
    findings = forge(ledger, source="/stores/midtown").findings
    assert f"event {PENDING + 1}: the table has another store beside it than it states itself" in findings


def test_time_running_back_is_found(ledger: Ledger) -> None:
    earlier = format_time(ledger.now_us() - 1)
    findings = forge(ledger, time=earlier).findings
    assert f"event {PENDING + 1}: it is older than the event before it" in findings


def test_an_event_that_does_not_follow_from_the_one_before_is_found(ledger: Ledger) -> None:
    # The last event once more: the reservation is created twice, and the level's version does not follow.
    findings = forge(ledger).findings
    assert any("was created twice" in finding for finding in findings)
    assert any("MOUSE does not follow" in finding for finding in findings)


def test_an_early_expiry_and_a_late_confirmation_are_found(ledger: Ledger) -> None:
    early = forge(ledger, type=events.RESERVATION_EXPIRED).findings
    assert any("expired early" in finding for finding in early)
    late = format_time(ledger.now_us() + 2 * HOLD_S * 1_000_000)
    confirmed = forge(ledger, type=events.RESERVATION_CONFIRMED, time=late).findings
    assert any("was confirmed at" in finding for finding in confirmed)


def test_no_more_is_said_than_can_be_read(ledger: Ledger) -> None:
    for number in range(FINDINGS_MAX + 10):
        products.add(ledger, f"P-{number}", "Product")
    verdict = alter(ledger, "UPDATE events SET hash = randomblob(32)")
    assert len(verdict.findings) == FINDINGS_MAX
    assert len(alter(ledger, "UPDATE products SET name = 'x'").findings) == FINDINGS_MAX

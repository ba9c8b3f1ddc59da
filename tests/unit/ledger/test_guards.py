"""What the file itself refuses, whoever writes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw
import pytest

from invctl.errors import RefusedError
from invctl.ledger import reservations
from tests.unit.ledger.support import head, hold, tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from invctl.ledger.ledger import Ledger

EVENT = "'00', 'inventory.x', 1, x'7b7d', zeroblob(32)"


@pytest.fixture
def ledger(ledger: Ledger) -> Iterator[Ledger]:
    hold(ledger, MOUSE=2)
    before = tables(ledger)
    yield ledger
    assert tables(ledger) == before


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE events SET body = x'00' WHERE seq = 1", "events are never edited"),
        ("UPDATE events SET seq = seq + 100", "events are never edited"),
        ("DELETE FROM events WHERE seq = 1", "events are never deleted"),
        ("DELETE FROM events", "events are never deleted"),
        (f"REPLACE INTO events VALUES (2, {EVENT})", "events are never deleted"),
        (f"INSERT OR REPLACE INTO events VALUES (2, {EVENT})", "events are never deleted"),
        (
            "INSERT OR REPLACE INTO events SELECT 99, id, type, time_us, body, hash FROM events WHERE seq = 1",
            "events are never deleted",
        ),
        ("UPDATE movements SET on_hand_change = 1", "movements are never edited"),
        ("DELETE FROM movements", "movements are never deleted"),
        ("REPLACE INTO movements SELECT * FROM movements LIMIT 1", "movements are never deleted"),
        (
            "INSERT INTO movements SELECT * FROM movements WHERE true ON CONFLICT DO UPDATE SET on_hand_change = 9",
            "movements are never edited",
        ),
    ],
)
def test_history_is_never_edited(ledger: Ledger, statement: str, said: str) -> None:
    with pytest.raises(apsw.ConstraintError, match=said):
        ledger.connection.execute(statement)


def test_without_recursive_triggers_a_replace_would_slip_through(ledger: Ledger, tmp_path: Path) -> None:
    ledger.connection.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
    connection = apsw.Connection(str(tmp_path / "copy.db"))
    connection.execute(f"REPLACE INTO events VALUES (2, {EVENT})")
    assert connection.execute("SELECT id FROM events WHERE seq = 2").fetchall() == [("00",)]
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stock SET on_hand = -1, reserved = 0 WHERE sku = 'LAPTOP'",
        "UPDATE stock SET reserved = -1 WHERE sku = 'MOUSE'",
        "UPDATE stock SET reserved = 101 WHERE sku = 'MOUSE'",
        "UPDATE stock SET on_hand = 1 WHERE sku = 'MOUSE'",
        "UPDATE stock SET version = -1 WHERE sku = 'MOUSE'",
        "UPDATE stock SET on_hand = 'many' WHERE sku = 'MOUSE'",
        "UPDATE stock SET on_hand = 1.5 WHERE sku = 'MOUSE'",
        "UPDATE products SET price = -1",
        "UPDATE products SET name = NULL",
        "INSERT INTO products VALUES ('MOUSE', 'again', 1)",
        "DELETE FROM products WHERE sku = 'MOUSE'",
        "INSERT INTO stock VALUES ('PHONE', 0, 0, 0)",
        f"INSERT INTO events VALUES (0, {EVENT})",
        "INSERT INTO events VALUES (99, '01', 'inventory.x', 1, x'7b7d', x'00')",
        "INSERT INTO events VALUES (99, '01', 'inventory.x', 1, 'text', zeroblob(32))",
        "INSERT INTO events SELECT 99, id, type, time_us, body, hash FROM events WHERE seq = 1",
        "INSERT INTO movements VALUES ('MOUSE', 99, 1, 0, 1, 0, 1)",
        "INSERT INTO movements VALUES ('PHONE', 1, 1, 0, 1, 0, 1)",
        "UPDATE reservations SET status = 'lost'",
        "UPDATE reservations SET status = 'confirmed'",
        "UPDATE reservations SET ended_us = 1",
        "UPDATE reservations SET last_seq = 99",
        "DELETE FROM reservations",
        "UPDATE reservation_lines SET quantity = 0",
        "UPDATE reservation_lines SET confirmed = 1",
        "UPDATE reservation_lines SET due_us = NULL",
        "UPDATE reservation_lines SET due_us = NULL, confirmed = 1",
        "UPDATE reservation_lines SET due_us = NULL, confirmed = 3, released = -1",
        "UPDATE reservation_lines SET sku = 'PHONE'",
        "UPDATE ledger SET epoch = 0",
        "INSERT INTO ledger VALUES (2, 'other', 'Other', 'USD', 'UTC', 1)",
        "INSERT INTO requests VALUES ('r-1', 'ff', 1, 1, '{}')",
        "INSERT INTO requests VALUES ('r-1', 'ff', 1, NULL, NULL)",
        "INSERT INTO requests VALUES ('r-1', 'ff', 1, 99, NULL)",
    ],
)
def test_what_must_always_hold_is_held_by_the_file(ledger: Ledger, statement: str) -> None:
    with pytest.raises(apsw.ConstraintError):
        ledger.connection.execute(statement)


def test_a_ledger_that_was_altered_past_its_operations_refuses_and_says_where_to_look(ledger: Ledger) -> None:
    key = ledger.row("SELECT reservation FROM reservations")[0]
    seq = head(ledger)
    ledger.connection.execute("UPDATE stock SET reserved = 1 WHERE sku = 'MOUSE'")
    with pytest.raises(RefusedError, match="does not take the change: CHECK constraint failed") as caught:
        reservations.cancel(ledger, key)
    assert "invctl verify" in caught.value.hint
    assert head(ledger) == seq
    ledger.connection.execute("UPDATE stock SET reserved = 2 WHERE sku = 'MOUSE'")

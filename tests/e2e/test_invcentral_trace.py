"""`invcentral trace`: an event on its way, by whatever an operator has in hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.head_office import eventually, head_seq, serve_store

if TYPE_CHECKING:
    from tests.e2e.clerk import Clerk
    from tests.e2e.head_office import Office

pytestmark = [pytest.mark.cli, pytest.mark.business]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_what_a_clerk_did_is_followed_by_reservation_event_and_trace(
    linked: Office, clerk: Clerk, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked.serve("--admit-any")
    serve_store(linked, clerk)
    monkeypatch.setenv("TRACEPARENT", f"00-{TRACE}-b7ad6b7169203331-01")
    reservation = clerk("reserve", "MOUSE-001=2", "-q").out.strip()
    monkeypatch.delenv("TRACEPARENT")
    clerk("confirm", reservation)
    eventually(lambda: linked.applied("downtown") == head_seq(clerk))
    # The store's next word shows that it has heard.
    eventually(
        lambda: [each["acknowledged"] for each in linked("trace", reservation, "-o", "json").json] == [True, True]
    )
    rows = linked("trace", f"downtown/{reservation.lower()}", "-o", "json").json
    assert [(row["store"], row["type"]) for row in rows] == [
        ("downtown", "inventory.reservation.created"),
        ("downtown", "inventory.reservation.confirmed"),
    ]
    assert [row["trace"] == TRACE for row in rows] == [True, False]
    assert rows[1]["seq"] == rows[1]["position"] == head_seq(clerk)
    assert all(row["took_s"] is not None and row["committed_at"] and row["applied_at"] for row in rows)
    assert linked("trace", rows[1]["id"], "-o", "json").json == rows[1:]
    assert linked("trace", TRACE, "--store", "downtown", "-o", "json").json == rows[:1]
    assert linked("trace", f"00-{TRACE}-b7ad6b7169203331-01", "-q").out.split() == [rows[0]["id"]]
    told = linked("trace", reservation).out.splitlines()
    assert "reserved 2 MOUSE-001" in told[2]
    assert "sold 2 MOUSE-001" in told[3]
    assert told[3].endswith("yes")


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["R-7K4QMQ"], 3),
        (["downtown/R-7K4QMQ"], 3),
        ([TRACE], 3),
        (["R-7K4QMQ", "--store", "nowhere"], 3),
        (["downtown/R-7K4QMQ", "--store", "midtown"], 2),
        # A character that is wrong, or lacking.
        (["R-7K4QMM"], 2),
        (["R-7K4"], 2),
        ([TRACE[1:]], 2),
        (["Not a store/R-7K4QMQ"], 2),
    ],
)
def test_what_is_not_here_or_no_id_has_its_exit_code_and_a_hint(filled: Office, argv: list[str], code: int) -> None:
    done = filled("trace", *argv, "-o", "json")
    assert done.code == code
    assert done.error["hint"]

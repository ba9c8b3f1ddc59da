"""The names and forms that scripts rely on: frozen here."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from invctl.ledger.backup import back_up
from invctl.ledger.ledger import Ledger

if TYPE_CHECKING:
    from tests.e2e.clerk import Clerk

pytestmark = pytest.mark.cli

RESERVATION = ["reservation", "status", "order", "clerk", "created_at", "expires_at", "ended_at", "seq", "lines"]
LINE = ["sku", "quantity", "confirmed", "released"]
ADJUSTED = [
    *("sku", "change", "reason", "note", "clerk", "on_hand", "reserved", "available", "version", "seq", "replayed"),
    "document",
]
HISTORY = [
    *("seq", "time", "event", "sku", "on_hand_change", "reserved_change", "on_hand", "reserved", "reservation"),
    *("reason", "order", "clerk", "note", "document", "expires_at", "undoes"),
]
STOCK = ["sku", "name", "price", "currency", "on_hand", "reserved", "available", "version", "as_of_seq"]
DAEMON = ["running", "pid", "since", "broker", "connection", "why", "hint", "breaker", "metrics", "stores"]
DAEMON += ["namespace", "metrics_trouble", "stands_still_s"]
SETTINGS = "home redis_url namespace metrics_host metrics_port disk_reserve_mb clerk language"

COUNTED = ["sku", "name", "counted", "expected", "variance", "on_hand", "reserved", "counted_at", "counted_seq"]
COUNTED += ["clerk", "stale"]
# What has to be done before.
BEFORE = {
    "barcode remove ABC-123": ["barcode add MOUSE-001 ABC-123"],
    "barcode list": ["barcode add MOUSE-001 ABC-123"],
    "count line MOUSE-001 7": ["count start"],
    **{name: ["count start", "count line MOUSE-001 7"] for name in ("count status", "count finish", "count cancel")},
}

RESULTS = {
    "reserve LAPTOP-001": [*RESERVATION, "replayed"],
    "confirm KEY": [*RESERVATION, "replayed"],
    "cancel KEY": [*RESERVATION, "replayed"],
    "extend KEY": [*RESERVATION, "replayed"],
    "show KEY": [*RESERVATION, "history"],
    "sell LAPTOP-001": [*RESERVATION, "replayed"],
    "return MOUSE-001 --reason broken": ["reason", "document", "clerk", "lines", "seq", "replayed"],
    "undo": ["undid", "undid_seq", "reservation", "lines", "seq"],
    "barcode add MOUSE-001 4006381333931": ["barcode", "sku", "seq", "replayed"],
    "barcode remove ABC-123": ["barcode", "sku", "seq", "replayed"],
    "count start": ["started_at", "clerk", "note"],
    "count line MOUSE-001 7": COUNTED,
    "count finish": ["items", "more", "fewer", "seq", "lines"],
    "count cancel": ["dropped"],
    "receive MOUSE-001 5": ADJUSTED,
    "adjust MOUSE-001 -1 --reason damaged": ADJUSTED,
    "product add CABLE-001 --name Cable": ["sku", "name", "price", "currency", "seq", "replayed"],
    "product edit MOUSE-001 --price 75": ["sku", "name", "price", "currency", "seq", "replayed"],
    "product show MOUSE-001": STOCK,
    "product reorder MOUSE-001 --at 8": ["sku", "reorder_point", "safety_stock", "seq", "replayed"],
    "product import PRODUCTS": ["added", "edited", "unchanged", "dry_run", "seq", "changes"],
    "stock import LEVELS": ["lines", "skus", "units_in", "units_out", "dry_run", "seq", "replayed"],
    "completion bash": ["script"],
    "completion zsh": ["script"],
    "completion fish": ["script"],
    "init uptown --home NEW": ["store", "name", "currency", "timezone", "epoch", "home", "seq"],
    "status": [
        *("store", "name", "currency", "timezone", "epoch", "home", "head_seq", "last_event_at", "products"),
        *("open_reservations", "acked_seq", "acked_at", "pending_events", "oldest_pending_age_s", "link", "reason"),
        *(
            "suspects",
            "recounts",
            "damaged",
            "frozen",
            "disk_free_bytes",
            "disk_reserve_bytes",
            "disk_low",
            "daemon",
            "warnings",
        ),
    ],
    "verify": ["store", "events", "head_hash", "skus", "reservations", "findings", "sound"],
    "backup NEW": ["file", "store", "seq", "head_hash", "taken_at", "size_bytes"],
    "restore BACKUP --home NEW": ["store", "home", "taken_seq", "taken_at", "seq", "kept", "trade"],
    "sync": ["store", "head_seq", "acked_seq", "pending_events", "link", "waited_s"],
    "daemon status": DAEMON,
    "daemon stop": [*DAEMON, "changed"],
}
LISTS = {
    "stock": STOCK,
    "stock MOUSE-001": STOCK,
    "product list": ["sku", "name", "price", "currency"],
    "reservations": RESERVATION,
    "barcode list": ["barcode", "sku"],
    "count status": COUNTED,
    "history": HISTORY,
    "history MOUSE-001": HISTORY,
    "config show": ["setting", "value"],
    "config show --origin": ["setting", "value", "origin", "source"],
    "completion words stock M": ["word"],
}
IDS = {
    "reserve LAPTOP-001": None,
    "confirm KEY": "{key}",
    "cancel KEY": "{key}",
    "extend KEY": "{key}",
    "show KEY": "{key}",
    "sell LAPTOP-001": None,
    "return MOUSE-001 --reason broken": "8",
    "undo": "8",
    "barcode add MOUSE-001 4006381333931": "4006381333931",
    "barcode remove ABC-123": "ABC-123",
    "barcode list": "ABC-123",
    "count start": "started",
    "count line MOUSE-001 7": "MOUSE-001",
    "count status": "MOUSE-001",
    "count finish": "8",
    "count cancel": "1",
    "receive MOUSE-001 5": "MOUSE-001",
    "adjust MOUSE-001 -1 --reason damaged": "MOUSE-001",
    "product add CABLE-001 --name Cable": "CABLE-001",
    "product edit MOUSE-001 --price 75": "MOUSE-001",
    "product show MOUSE-001": "MOUSE-001",
    "product reorder MOUSE-001 --at 8": "MOUSE-001",
    "product import PRODUCTS": "",
    "stock import LEVELS": "",
    "completion bash": "",
    "completion zsh": "",
    "completion fish": "",
    "init uptown --home NEW": "uptown",
    "status": "downtown",
    "verify": "downtown",
    "backup NEW": "{new}",
    "restore BACKUP --home NEW": "downtown",
    "sync": "0",
    "daemon status": "",
    "daemon stop": "",
    "stock": "KEYBOARD-001 LAPTOP-001 MOUSE-001",
    "stock MOUSE-001": "MOUSE-001",
    "product list": "KEYBOARD-001 LAPTOP-001 MOUSE-001",
    "reservations": "{key}",
    "history": "1 2 3 4 5 6 7",
    "history MOUSE-001": "3 7",
    "config show": SETTINGS,
    "config show --origin": SETTINGS,
    "completion words stock M": "MOUSE-001",
}


@pytest.fixture
def call(clerk: Clerk) -> Any:
    """Run a command in which KEY stands for an open reservation, NEW for what is not there yet, others for files."""
    key = clerk("reserve", "MOUSE-001=2", "--order", "A-17", "-q").out.strip()
    backup = clerk.home.parent / "backup.db"
    with Ledger.open(clerk.home) as ledger:
        back_up(ledger, backup)
    (clerk.home.parent / "p.csv").write_text("sku,name\nCABLE-001,Cable\n")
    (clerk.home.parent / "l.csv").write_text("sku,quantity\nMOUSE-001,5\n")

    begun = set[str]()

    def run(command: str, *options: str) -> tuple[str, str]:
        # Once: a list is asked for in several forms, one after the other.
        for earlier in BEFORE.get(command, []) if command not in begun else []:
            assert clerk(*earlier.split()).code == 0
        begun.add(command)
        places = {"KEY": key, "NEW": str(clerk.home.parent / "new"), "BACKUP": str(backup)}
        places |= {"PRODUCTS": str(clerk.home.parent / "p.csv"), "LEVELS": str(clerk.home.parent / "l.csv")}
        done = clerk(*(places.get(word, word) for word in command.split()), *options)
        assert done.code == 0, done.err
        return done.out, key

    return run


@pytest.mark.parametrize(("command", "names"), RESULTS.items())
def test_a_result_in_json_is_one_line_with_these_names(call: Any, command: str, names: list[str]) -> None:
    (line,) = call(command, "-o", "json")[0].splitlines()
    assert list(json.loads(line)) == names


@pytest.mark.parametrize(("command", "names"), LISTS.items())
def test_a_list_in_json_is_one_line_in_ndjson_a_line_each_in_csv_has_a_head(
    call: Any, command: str, names: list[str]
) -> None:
    (line,) = call(command, "-o", "json")[0].splitlines()
    records = json.loads(line)
    assert records
    assert all(list(record) == names for record in records)
    assert [json.loads(each) for each in call(command, "-o", "ndjson")[0].splitlines()] == records
    head, *rows = csv.reader(io.StringIO(call(command, "-o", "csv")[0]))
    assert head == names
    assert rows == [[_cell(value) for value in record.values()] for record in records]


@pytest.mark.parametrize("command", IDS)
def test_quiet_prints_the_bare_id(call: Any, clerk: Clerk, command: str) -> None:
    out, key = call(command, "-q")
    wanted = IDS[command]
    if wanted is None:
        assert out.startswith("R-")
    else:
        assert out.split() == wanted.format(key=key, new=clerk.home.parent / "new").split()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def test_every_command_is_held_to_its_form() -> None:
    from invctl.cli.app import commands
    from invctl.console.lazy import Family

    names = {
        f"{name} {sub}" if sub else name
        for name, entry in commands().items()
        for sub in (entry.commands if isinstance(entry, Family) else [""])
    }
    held = {name for name in names if any(f"{command} ".startswith(f"{name} ") for command in IDS)}
    # Two need a daemon that runs, others have forms of their own: see test_invctl_daemon, _export, _doctor and _scan.
    exports = {name for name in names if name.startswith("export ")}
    assert names - held == {"daemon start", "daemon logs", "doctor", "scan", *exports}
    assert IDS.keys() == RESULTS.keys() | LISTS.keys()


class TestValues:
    def test_a_reservation(self, clerk: Clerk) -> None:
        record = clerk("reserve", "MOUSE-001=2", "LAPTOP-001", "--for", "90s", "--clerk", "ana", "-o", "json").json
        assert record["lines"] == [
            {"sku": "LAPTOP-001", "quantity": 1, "confirmed": 0, "released": 0},
            {"sku": "MOUSE-001", "quantity": 2, "confirmed": 0, "released": 0},
        ]
        assert (record["status"], record["order"], record["clerk"], record["seq"]) == ("pending", None, "ana", 7)
        assert record["ended_at"] is None
        assert record["created_at"] < record["expires_at"]
        assert record["expires_at"].endswith("Z")

    def test_a_level(self, clerk: Clerk) -> None:
        clerk("reserve", "MOUSE-001=2")
        assert clerk("stock", "mouse-001", "-o", "json").json == [
            {
                "sku": "MOUSE-001",
                "name": "Mouse",
                "price": 8000,
                "on_hand": 10,
                "reserved": 2,
                "available": 8,
                "version": 2,
                "currency": "USD",
                "as_of_seq": 7,
            }
        ]

    def test_an_adjustment(self, clerk: Clerk) -> None:
        clerk("reserve", "MOUSE-001=2")
        done = clerk("adjust", "MOUSE-001", "-3", "--reason", "cycle_count", "--note", "shelf 4", "-o", "json")
        assert done.json == {
            "sku": "MOUSE-001",
            "change": -3,
            "reason": "cycle_count",
            "note": "shelf 4",
            "clerk": None,
            "on_hand": 7,
            "reserved": 2,
            "available": 5,
            "version": 3,
            "seq": 8,
            "replayed": False,
            "document": None,
        }

    def test_a_line_of_history(self, clerk: Clerk) -> None:
        key = clerk("reserve", "MOUSE-001=2", "--order", "A-17", "--clerk", "ana", "-q").out.strip()
        (row,) = clerk("history", "MOUSE-001", "--limit", "1", "-o", "json").json
        assert row.pop("time").endswith("Z")
        assert row.pop("expires_at").endswith("Z")
        assert row == {
            "seq": 7,
            "event": "reservation.created",
            "sku": "MOUSE-001",
            "on_hand_change": 0,
            "reserved_change": 2,
            "on_hand": 10,
            "reserved": 2,
            "reservation": key,
            "reason": None,
            "order": "A-17",
            "clerk": "ana",
            "note": None,
            "document": None,
            "undoes": None,
        }

    def test_nothing_is_an_empty_array(self, clerk: Clerk) -> None:
        assert clerk("reservations", "-o", "json").out == "[]\n"
        assert clerk("reservations", "-o", "ndjson").out == ""


@pytest.mark.parametrize(
    ("command", "heads"),
    [
        ("stock", ["SKU", "Name", "Price USD", "On hand", "Reserved", "Available"]),
        ("product list", ["SKU", "Name", "Price USD"]),
        ("reservations", ["Reservation", "Until UTC", "Left", "Items", "Order", "Clerk"]),
        ("reservations --all", ["Reservation", "Status", "Until UTC", "Left", "Items", "Order", "Clerk"]),
        ("history", ["Seq", "Time UTC", "Event", "SKU", "On hand", "Reserved", "Available", "About"]),
        ("history MOUSE-001", ["Seq", "Time UTC", "Event", "On hand", "Reserved", "Available", "About"]),
    ],
)
def test_the_heads_of_tables(call: Any, command: str, heads: list[str]) -> None:
    assert re.split(r"\s{2,}", call(command)[0].splitlines()[0].rstrip()) == heads


def test_history_tells_levels_with_their_change(clerk: Clerk) -> None:
    key = clerk("reserve", "MOUSE-001=2", "--order", "A-17", "--clerk", "ana", "-q").out.strip()
    clerk("adjust", "MOUSE-001", "-1", "--reason", "cycle_count", "--note", "shelf 4")
    clerk("confirm", key)
    rows = [re.split(r"\s{2,}", line.strip()) for line in clerk("history", "MOUSE-001").out.splitlines()[2:]]
    assert [[seq, *told] for seq, _, *told in rows] == [
        ["3", "received", "10 (+10)", "0", "10"],
        ["7", "reserved", "10", "2 (+2)", "8", f"{key}, order A-17, by ana"],
        ["8", "cycle count", "9 (-1)", "2", "7", "shelf 4"],
        ["9", "confirmed", "7 (-2)", "0 (-2)", "7", key],
    ]


def test_history_shows_so_many_rows_and_says_where_there_are_more(clerk: Clerk) -> None:
    clerk("reserve", "MOUSE-001=2", "LAPTOP-001")
    done = clerk("history", "--limit", "3")
    assert [line.split()[0] for line in done.out.splitlines()[2:]] == ["6", "7", "7"]
    assert done.err == "there is more before the 3 rows shown: see --limit\n"
    assert len(clerk("history", "--limit", "1", "-o", "json").json) == 1
    # Six events of a row each, and one of two.
    done = clerk("history", "--limit", "8")
    assert (len(done.out.splitlines()), done.err) == (10, "")
    assert clerk("history", "MOUSE-001", "--limit", "2").err == ""


def test_reservations_say_where_there_are_more(clerk: Clerk) -> None:
    for _ in range(2):
        clerk("reserve", "MOUSE-001")
    done = clerk("reservations", "--limit", "1")
    assert (len(done.out.splitlines()), done.err) == (3, "there are more than the 1 shown: see --limit\n")
    assert len(clerk("reservations", "--limit", "1", "-o", "json").json) == 1
    assert clerk("reservations", "--limit", "2").err == ""


def test_a_person_reads_a_reason_as_words(clerk: Clerk) -> None:
    done = clerk("adjust", "MOUSE-001", "-1", "--reason", "cycle_count")
    assert done.out == "MOUSE-001 -1 cycle count: 9 on hand, 9 available\n"


def test_prices_are_told_in_the_currency_of_the_store(clerk: Clerk) -> None:
    clerk("product", "edit", "MOUSE-001", "--price", "1299.5")
    assert clerk("product", "show", "MOUSE-001").out.splitlines()[0] == "MOUSE-001 (Mouse, 1,299.50 USD)"
    rows = clerk("product", "list").out.splitlines()[2:]
    assert [row.split()[-1] for row in rows] == ["80.00", "80.00", "1,299.50"]

"""All that there is, row by row: the same as the lists say, and never in memory at once."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from invctl.ledger import streams
from invctl.ledger.ledger import Ledger
from tests.e2e.clerk import INVCTL, environment, hold_in_the_past

if TYPE_CHECKING:
    from tests.e2e.clerk import Clerk

pytestmark = [pytest.mark.business, pytest.mark.cli]

SAME = {
    "products": "product list",
    "stock": "stock",
    "reservations": "reservations --all",
    "history": "history --limit 1000",
}


@pytest.fixture
def traded(clerk: Clerk) -> Clerk:
    """A store with a reservation that is due, one that was sold in part, and an open one."""
    hold_in_the_past(clerk.home, MOUSE=1, LAPTOP=1)
    key = clerk("reserve", "MOUSE-001=2", "--order", 'A "17", b', "-q").out.strip()
    assert clerk("confirm", key, "MOUSE-001=1").code == 0
    assert clerk("reserve", "MOUSE-001").code == 0
    return clerk


@pytest.mark.parametrize("what", SAME)
@pytest.mark.parametrize("fmt", ["csv", "ndjson"])
def test_it_says_what_the_list_says(traded: Clerk, what: str, fmt: str) -> None:
    done = traded("export", what, "-o", fmt)
    assert (done.code, done.err) == (0, "")
    assert sorted(done.out.splitlines()) == sorted(traded(*SAME[what].split(), "-o", fmt).out.splitlines())


def test_csv_unless_said_otherwise(traded: Clerk) -> None:
    assert traded("export", "stock").out == traded("export", "stock", "-o", "csv").out
    done = traded("export", "stock", "-o", "table")
    assert (done.code, done.out) == (2, "")
    assert "as csv, or as ndjson" in traded("export", "stock", "-o", "json").err
    assert traded("export", "products", "-q").out.splitlines() == ["KEYBOARD-001", "LAPTOP-001", "MOUSE-001"]


def test_the_history_goes_on_where_one_was(traded: Clerk) -> None:
    rows = [json.loads(line) for line in traded("export", "history", "-o", "ndjson").out.splitlines()]
    later = [json.loads(line) for line in traded("export", "history", "-o", "ndjson", "--after", "6").out.splitlines()]
    assert later == [row for row in rows if row["seq"] > 6]
    assert later


def test_rows_come_before_all_are_read(traded: Clerk) -> None:
    with Ledger.open(traded.home) as ledger:
        found: Any
        for found in (streams.stock(ledger), streams.reservations(ledger), streams.history(ledger)):
            next(found)
            # It is at work inside its moment; nothing was fetched beyond.
            assert ledger.connection.in_transaction
            found.close()
            assert not ledger.connection.in_transaction


def test_a_reader_that_goes_away_is_no_error(clerk: Clerk) -> None:
    lines = "".join(f"N-{number},{'n' * 150}\n" for number in range(3000))
    file = clerk.home.parent / "many.csv"
    file.write_text("sku,name\n" + lines)
    assert clerk("product", "import", str(file)).code == 0
    argv = [*INVCTL, "export", "stock"]
    with subprocess.Popen(
        argv, env=environment(clerk.home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("sku,name,price,")
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(60) == 141

"""Whole files at once: all of their lines or none, and twice equals once."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest

from invctl.cli import csvfile
from invctl.ledger.ledger import Ledger
from invctl.ledger.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.clerk import Clerk

pytestmark = [pytest.mark.business, pytest.mark.cli]


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    def write(*lines: str, encoding: str = "utf-8", newline: str = "\n") -> str:
        path = tmp_path / "file.csv"
        path.write_bytes(newline.join([*lines, ""]).encode(encoding))
        return str(path)

    return write


def head(clerk: Clerk) -> int:
    seq: int = clerk("status", "-o", "json").json["head_seq"]
    return seq


class TestProducts:
    def test_added_edited_and_left_as_they_were(self, clerk: Clerk, file: Callable[..., str]) -> None:
        path = file("sku,name,price", "cable-1,Cable 1 m,9.50", "MOUSE-001,Mouse,75", "LAPTOP-001,Laptop,80.00")
        done = clerk("product", "import", path)
        assert (done.code, done.out) == (0, "3 products: 1 added, 1 edited, 1 as they were\n")
        assert clerk("product", "show", "CABLE-1").out.startswith("CABLE-1 (Cable 1 m, 9.50 USD)\n")
        before = head(clerk)
        again = clerk("product", "import", path, "-o", "json").json
        assert (again["added"], again["edited"], again["unchanged"]) == (0, 0, 3)
        assert head(clerk) == before
        with Ledger.open(clerk.home) as ledger:
            assert verify(ledger).findings == []

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
    def test_as_spreadsheets_of_other_countries_save_it(
        self, clerk: Clerk, file: Callable[..., str], encoding: str
    ) -> None:
        path = file("SKU;Name;Price", "", 'CABLE-1;"Kabel; für 2";9,50', ";;", encoding=encoding, newline="\r\n")
        assert clerk("product", "import", path).code == 0
        assert clerk("product", "show", "CABLE-1").out.startswith("CABLE-1 (Kabel; für 2, 9.50 USD)\n")

    def test_without_prices_they_stay_and_an_empty_one_is_none(self, clerk: Clerk, file: Callable[..., str]) -> None:
        assert clerk("product", "import", file("name,sku", "Maus,MOUSE-001")).code == 0
        assert clerk("product", "show", "MOUSE-001").out.startswith("MOUSE-001 (Maus, 80.00 USD)\n")
        assert clerk("product", "import", file("sku,name,price", "MOUSE-001,Maus,")).code == 0
        assert clerk("product", "show", "MOUSE-001").out.startswith("MOUSE-001 (Maus)\n")

    def test_a_dry_run_says_what_would_change(self, clerk: Clerk, file: Callable[..., str]) -> None:
        path = file("sku,name,price", "CABLE-1,Cable,9.50", "MOUSE-001,Maus,80", "LAPTOP-001,Laptop,80")
        before = head(clerk)
        done = clerk("product", "import", path, "--dry-run")
        assert done.out == (
            "nothing was written; it would be 1 added, 1 edited, 1 as they were\n"
            "  line 2: CABLE-1 (Cable, 9.50 USD) added\n"
            "  line 3: MOUSE-001 (Maus, 80.00 USD) edited\n"
        )
        record = clerk("product", "import", path, "--dry-run", "-o", "json").json
        assert [(change["sku"], change["price"]) for change in record["changes"]] == [
            ("CABLE-1", 950),
            ("MOUSE-001", 8000),
        ]
        assert (record["dry_run"], record["seq"]) == (True, None)
        assert head(clerk) == before

    def test_each_line_that_is_wrong_is_told_and_nothing_is_written(
        self, clerk: Clerk, file: Callable[..., str]
    ) -> None:
        path = file(
            "sku,name,price", "CABLE-1,Cable,9.50", "CABLE 2,Cable,1", "CABLE-3,,1", "CABLE-4,Cable,1.234",
            "CABLE-5,Cable", "cable-1,Cable,9.50",
        )  # fmt: skip
        before = head(clerk)
        done = clerk("product", "import", path)
        assert (done.code, done.out) == (2, "")
        told = done.err.splitlines()
        assert told[0].endswith(f"5 lines of {path} cannot be taken, so nothing was written")
        assert [line.partition(":")[0] for line in told[1:6]] == [f"  line {number}" for number in range(3, 8)]
        assert "CABLE-1 is in line 2 already" in told[5]
        assert told[6].startswith("hint: ")
        assert head(clerk) == before
        error = clerk("product", "import", path, "-o", "json").error
        assert (error["error"], error["count"]) == ("usage", 5)
        assert [fault["line"] for fault in error["faults"]] == [3, 4, 5, 6, 7]

    def test_of_many_twenty_are_shown_and_the_rest_is_counted(self, clerk: Clerk, file: Callable[..., str]) -> None:
        done = clerk("product", "import", file("sku,name", *["?,Cable"] * 33))
        assert done.err.count("  line ") == 20
        assert "  and 13 more\n" in done.err

    @pytest.mark.parametrize(
        ("lines", "said"),
        [
            ([], "does not name its columns"),
            (["CABLE-1,Cable,9.50"], "does not name its columns"),
            (["sku,name,prize", "CABLE-1,Cable,9.50"], "does not name its columns"),
            (["sku,name,name", "CABLE-1,Cable,9.50"], "does not name its columns"),
            (["sku,name", 'CABLE-1,"Cable'], "line 2: not CSV from here on"),
        ],
    )
    def test_a_file_of_another_form(self, clerk: Clerk, file: Callable[..., str], lines: list[str], said: str) -> None:
        done = clerk("product", "import", file(*lines))
        assert done.code == 2
        assert said in done.err
        assert "\nhint: " in done.err

    def test_another_encoding(self, clerk: Clerk, file: Callable[..., str]) -> None:
        done = clerk("product", "import", file("sku,name", "CABLE-1,Kabel für 2", encoding="cp1252"))
        assert done.code == 2
        assert "line 2 of " in done.err
        assert "is not UTF-8" in done.err

    def test_a_list_in_minor_units_is_not_taken_for_prices(self, clerk: Clerk, monkeypatch: pytest.MonkeyPatch) -> None:
        listed = clerk("product", "list", "-o", "csv").out
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed.encode())))
        done = clerk("product", "import", "-")
        assert done.code == 2
        assert "minor units" in done.err

    def test_a_file_that_is_not_there_or_too_large(
        self, clerk: Clerk, file: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert clerk("product", "import", "nowhere.csv", "-o", "json").error["error"] == "not_found"
        assert clerk("product", "import", str(clerk.home)).code == 2
        path = file("sku,name", "A,A", "B,B", "C,C")
        monkeypatch.setattr(csvfile, "ROWS_MAX", 2)
        assert "more than 2 rows" in clerk("product", "import", path).err
        monkeypatch.setattr(csvfile, "FILE_BYTES_MAX", 9)
        assert clerk("product", "import", path).code == 2


class TestStock:
    def test_a_delivery_and_corrections(self, clerk: Clerk, file: Callable[..., str]) -> None:
        path = file("sku,quantity,reason", "MOUSE-001,5,", "mouse-001,2,received", "LAPTOP-001,-1,Damaged")
        done = clerk("stock", "import", path, "--note", "4711")
        assert (done.code, done.out) == (0, "3 lines for 2 items: 7 units in, 1 out\n")
        assert clerk.stock("MOUSE-001") == (17, 0, 17)
        assert clerk.stock("LAPTOP-001") == (2, 0, 2)

    def test_without_reasons_it_was_received(self, clerk: Clerk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"sku,quantity\nKEYBOARD-001,4\n")))
        assert clerk("stock", "import", "-").code == 0
        assert clerk("history", "KEYBOARD-001", "-o", "json").json[-1]["reason"] == "received"

    def test_a_job_that_is_repeated_does_not_double(self, clerk: Clerk, file: Callable[..., str]) -> None:
        # The second time, nothing of it would fit.
        path = file("sku,quantity,reason", "KEYBOARD-001,4,", "MOUSE-001,-10,damaged")
        asked = ("stock", "import", path, "--request-id", "nightly-1")
        first = clerk(*asked, "-o", "json").json
        again = clerk(*asked, "-o", "json").json
        assert (first["replayed"], again["replayed"], again["seq"]) == (False, True, first["seq"])
        assert clerk.stock("KEYBOARD-001") == (4, 0, 4)
        assert "carried out before" in clerk(*asked).err
        other = file("sku,quantity", "KEYBOARD-001,5")
        assert clerk("stock", "import", other, "--request-id", "nightly-1").code == 9

    def test_each_line_that_is_wrong_is_told_and_nothing_is_written(
        self, clerk: Clerk, file: Callable[..., str]
    ) -> None:
        path = file(
            "sku,quantity,reason", "MOUSE-001,5,", "MOSE-001,5,", "MOUSE-001,1.5,", "LAPTOP-001,-4,damaged",
            "MOUSE-001,-1,received", "MOUSE-001,0,",
        )  # fmt: skip
        before = head(clerk)
        done = clerk("stock", "import", path)
        assert (done.code, done.out) == (2, "")
        told = done.err.splitlines()
        assert [line.partition(":")[0] for line in told[1:6]] == [f"  line {number}" for number in range(3, 8)]
        assert "did you mean MOUSE-001?" in told[1]
        assert "not enough LAPTOP-001: 4 wanted, 3 available" in told[3]
        assert head(clerk) == before

    def test_a_dry_run(self, clerk: Clerk, file: Callable[..., str]) -> None:
        done = clerk("stock", "import", file("sku,quantity", "MOUSE-001,5"), "--dry-run", "--request-id", "r")
        assert done.out == (
            "nothing was written; it would be 1 line for 1 item: 5 units in, 0 out\n  line 2: MOUSE-001 +5 received\n"
        )
        assert clerk.stock("MOUSE-001") == (10, 0, 10)

    def test_nothing_to_import(self, clerk: Clerk, file: Callable[..., str]) -> None:
        done = clerk("stock", "import", file("sku,quantity"))
        assert done.code == 2
        assert "has no lines" in done.err

    def test_an_item_called_import_is_shown_all_the_same(self, clerk: Clerk) -> None:
        clerk("product", "add", "IMPORT", "--name", "Imported")
        assert clerk("stock", "IMPORT", "-q").out == "IMPORT\n"


@pytest.mark.parametrize(
    "argv",
    ["stock MOSE-001", "reserve MOSE-001", "receive MOSE-001 3", "history MOSE-001", "product edit MOSE-001 --name A"],
)
def test_a_mistyped_sku_is_answered_by_the_nearest(clerk: Clerk, argv: str) -> None:
    done = clerk(*argv.split(), "-o", "json")
    assert done.code == 3
    assert done.error["nearest"] == ["MOUSE-001"]
    assert done.error["hint"].startswith("did you mean MOUSE-001? `invctl product list` ")
    assert "did you mean MOUSE-001?" in clerk(*argv.split()).err
    assert "did you mean" not in clerk("stock", "ZZZ").err

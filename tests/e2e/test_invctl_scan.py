"""A counter with a scanner: what is typed into `invctl scan`, in a pipe and on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.clerk import INVCTL, ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.clerk import Clerk

pytestmark = [pytest.mark.cli, pytest.mark.business]

EAN = "4006381333931"


def scanned(clerk: Clerk, *words: str, options: tuple[str, ...] = ()) -> tuple[list[str], str]:
    """Type these words, each with Enter. Returns the lines of the results, and the talk."""
    return typed(clerk, "".join(f"{word}\n" for word in words), *options)


def typed(clerk: Clerk, keys: str, *options: str) -> tuple[list[str], str]:
    command = [*INVCTL, "--home", str(clerk.home), "scan", *options]
    done = subprocess.run(command, input=keys, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


def test_a_basket_is_scanned_and_sold(clerk: Clerk) -> None:
    clerk("barcode", "add", "MOUSE-001", EAN)
    (line,), talk = scanned(clerk, EAN, "3*", EAN, "laptop-001", "sell", "quit", options=("-o", "json"))
    record = json.loads(line)
    assert record["status"] == "confirmed"
    assert [(each["sku"], each["confirmed"]) for each in record["lines"]] == [("LAPTOP-001", 1), ("MOUSE-001", 4)]
    assert "4 x MOUSE-001" in talk
    assert clerk("stock", "MOUSE-001", "-o", "json").json[0]["reserved"] == 0


def test_tab_ends_a_code_as_enter_does_and_a_number_may_stand_before_it(clerk: Clerk) -> None:
    (line,), _ = typed(clerk, "2*MOUSE-001\tLAPTOP-001\treserve\n", "-o", "json")
    record = json.loads(line)
    assert record["status"] == "pending"
    assert [(each["sku"], each["quantity"]) for each in record["lines"]] == [("LAPTOP-001", 1), ("MOUSE-001", 2)]


def test_a_byte_that_is_no_unicode_costs_a_word_and_not_the_basket(clerk: Clerk) -> None:
    command = [*INVCTL, "--home", str(clerk.home), "scan", "-o", "json"]
    # As Python reads in a locale such as es_ES.UTF-8, which not every machine has.
    environ = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    typed_bytes = b"MOUSE-001\n4006\xe1\nMOUSE-001\nsell\n"
    done = subprocess.run(command, input=typed_bytes, capture_output=True, check=False, cwd=ROOT, env=environ)
    assert done.returncode == 0, done.stderr
    assert b"the text is not Unicode" in done.stderr
    assert json.loads(done.stdout)["lines"][0]["confirmed"] == 2


def test_a_code_that_nobody_knows_is_given_to_an_item_only_by_hand(clerk: Clerk) -> None:
    # What is scanned next is an item of its own, not the answer to the question.
    out, talk = scanned(clerk, EAN, "MOUSE-001", "cancel", EAN, "=LAPTOP-001", "sell", options=("-o", "json"))
    assert f"nobody knows {EAN}" in talk
    assert [each["sku"] for each in json.loads(out[0])["lines"]] == ["LAPTOP-001"]
    assert clerk("barcode", "list", "-o", "json").json == [{"barcode": EAN, "sku": "LAPTOP-001"}]


def test_a_barcode_names_its_item_in_other_commands_too(clerk: Clerk) -> None:
    clerk("barcode", "add", "MOUSE-001", EAN)
    key = clerk("reserve", f"{EAN}=2", "-q").out.strip()
    assert [each["reservation"] for each in clerk("reservations", "--sku", EAN, "-o", "json").json] == [key]
    assert clerk("confirm", key, f"{EAN}=1").code == 0
    assert clerk("receive", EAN, "5").code == clerk("adjust", EAN, "-1", "--reason", "damaged").code == 0
    assert clerk("stock", EAN, "-q").out == clerk("product", "show", EAN, "-q").out == "MOUSE-001\n"
    assert clerk("barcode", "add", EAN, "ABC-123").code == 0
    assert len(clerk("barcode", "list", EAN, "-o", "json").json) == 2
    assert len(clerk("history", EAN, "-o", "json").json) == 5


def test_a_wrong_word_loses_nothing(clerk: Clerk) -> None:
    words = ("MOUSE-001", "0*", "=MOUSE-001", "4006381333930", "99999999*MOUSE-001", "sell", "MOUSE-001", "basket")
    out, talk = scanned(clerk, *words)
    assert out == []
    assert "not enough stock" in talk
    assert talk.rstrip().endswith("in the basket, neither sold nor held")
    assert clerk("stock", "MOUSE-001", "-o", "json").json[0]["reserved"] == 0


def test_a_code_that_was_misread_is_said_to_be_and_given_to_nobody(clerk: Clerk) -> None:
    out, talk = scanned(clerk, "4006381333930", "=MOUSE-001")
    assert out == []
    assert "the last digit should be 1: scan it again" in talk
    assert "nobody knows" not in talk
    assert "there is no code to give to an item" in talk
    assert clerk("barcode", "list", "-o", "json").json == []


def test_a_mistyped_sku_is_typed_again_without_scanning_the_code_again(clerk: Clerk) -> None:
    out, talk = scanned(clerk, "3*", EAN, "=MOUSE-01", "=MOUSE-001", "sell", options=("-o", "json"))
    assert "did you mean MOUSE-001?" in talk
    # Also so many as were said before it.
    assert [(each["sku"], each["confirmed"]) for each in json.loads(out[0])["lines"]] == [("MOUSE-001", 3)]
    assert clerk("barcode", "list", "-o", "json").json == [{"barcode": EAN, "sku": "MOUSE-001"}]


def test_an_item_is_taken_out_whenever_it_was_scanned(clerk: Clerk) -> None:
    clerk("barcode", "add", "MOUSE-001", EAN)
    words = ("2*MOUSE-001", "LAPTOP-001", "MOUSE-001", f"-{EAN}", "-MOUSE-001", "undo", "sell")
    out, talk = scanned(clerk, *words)
    assert "3 MOUSE-001 taken out of the basket" in talk
    assert "there is no MOUSE-001 in the basket" in talk
    assert "1 LAPTOP-001 taken out of the basket" in talk
    assert out == []
    assert "the basket is empty" in talk


def test_a_code_that_begins_as_taking_out_does_is_still_its_items(clerk: Clerk) -> None:
    clerk("barcode", "add", "--", "MOUSE-001", "-SHELF-7")
    _, talk = scanned(clerk, "-SHELF-7")
    assert "1 x MOUSE-001" in talk


def test_the_basket_is_shown_with_names_and_says_what_has_no_price(clerk: Clerk) -> None:
    clerk("product", "add", "PAD-001", "--name", "Mouse pad")
    clerk("product", "add", "CABLE-001", "--name", "Cable", "--price", "4.50")
    _, talk = scanned(clerk, "2*CABLE-001", "basket", "PAD-001", "basket")
    assert "  2 x CABLE-001  Cable  9.00\n2 units in the basket, 9.00 USD\n" in talk
    assert "  1 x PAD-001  Mouse pad\n3 units in the basket, no total: PAD-001 without a price\n" in talk


def test_undo_takes_back_a_scan_and_with_an_empty_basket_the_last_action(clerk: Clerk) -> None:
    before = clerk("stock", "MOUSE-001", "-o", "json").json[0]["on_hand"]
    out, talk = scanned(clerk, "MOUSE-001", "LAPTOP-001", "undo", "sell", "undo", options=("-o", "json"))
    assert "1 LAPTOP-001 taken out of the basket" in talk
    sold, undone = (json.loads(line) for line in out)
    assert [each["sku"] for each in sold["lines"]] == ["MOUSE-001"]
    assert undone["undid"] == "reservation.confirmed"
    _, talk = scanned(clerk, "nobody", "LAPTOP-01")
    assert "did you mean LAPTOP-001?" in talk
    assert talk.count("did you mean") == 1
    assert clerk("stock", "MOUSE-001", "-o", "json").json[0]["on_hand"] == before
    assert clerk("verify", "-q").code == 0


def test_nothing_is_sold_of_an_empty_basket(clerk: Clerk) -> None:
    out, talk = scanned(clerk, "sell", "reserve", "cancel")
    assert out == []
    assert talk.count("the basket is empty") == 3


def test_the_sheet_has_a_barcode_for_each_command(clerk: Clerk, tmp_path: Path) -> None:
    pytest.importorskip("barcode")
    from invctl.cli.scan import COMMANDS

    page = tmp_path / "commands.html"
    assert clerk("scan", "--sheet", str(page), "-q").out.strip() == str(page)
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == len(COMMANDS)
    assert all(name.lower() in text for name in COMMANDS)
    assert clerk("scan", "--sheet", str(tmp_path / "no" / "page.html")).code == 2
    # A command that was scanned from it is that command.
    (line,), _ = scanned(clerk, "MOUSE-001", "!RESERVE", "!QUIT", options=("-q",))
    assert line.startswith("R-")


def test_a_scanner_reads_from_the_sheet_what_scan_takes(clerk: Clerk, tmp_path: Path) -> None:
    pytest.importorskip("barcode")
    zxingcpp = pytest.importorskip("zxingcpp")
    from invctl.cli.scan import COMMANDS, MARK

    page = tmp_path / "commands.html"
    clerk("scan", "--sheet", str(page))
    drawn = re.findall(r"<svg.*?</svg>", page.read_text(encoding="utf-8"), re.DOTALL)
    read = [found.text for svg in drawn for found in zxingcpp.read_barcodes(_as_printed(svg))]
    assert read == [MARK + name for name in COMMANDS]


def _as_printed(svg: str, dots_per_mm: int = 20, height: int = 40) -> memoryview:
    """Draw the bars as grey values, and their quiet zone as it is within the picture."""
    (width,) = re.findall(r'<svg[^>]* width="([\d.]+)mm"', svg)
    row = bytearray(b"\xff" * round(float(width) * dots_per_mm))
    for bar in re.findall(r"<rect [^>]+>", svg):
        if "fill:black" in bar:
            left, wide = (float(re.findall(rf' {name}="([\d.]+)mm"', bar)[0]) for name in ("x", "width"))
            begin, end = round(left * dots_per_mm), round((left + wide) * dots_per_mm)
            row[begin:end] = bytes(end - begin)
    return memoryview(bytes(row) * height).cast("B", (height, len(row)))


@pytest.mark.skipif(sys.platform != "linux", reason="looks at a terminal of Linux")
def test_on_a_terminal_each_key_is_seen_and_can_be_corrected(clerk: Clerk) -> None:
    ours, theirs = pty.openpty()
    scanner = subprocess.Popen(
        [*INVCTL, "--home", str(clerk.home), "scan"],
        cwd=ROOT,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    seen = _until(ours, "scan> ")
    os.write(ours, b"MOUSX\x7fE-001\t")
    seen = _until(ours, "left")
    assert "1 x" in seen
    os.write(ours, b"sell\r")
    _until(ours, "scan> ")
    os.write(ours, b"\x04")
    out, _ = scanner.communicate(timeout=60)
    os.close(ours)
    assert scanner.returncode == 0
    assert b"sold 1 MOUSE-001" in out


def _until(descriptor: int, text: str) -> str:
    seen = ""
    deadline_s = time.monotonic() + 60
    while text not in seen:
        assert time.monotonic() < deadline_s, seen
        if select.select([descriptor], [], [], 1.0)[0]:
            seen += os.read(descriptor, 4096).decode()
    return seen

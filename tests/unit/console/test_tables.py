"""Tables on terminals of any width."""

import io
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from invctl.console.output import Column, Output
from invctl.console.tables import Table, render

pytestmark = pytest.mark.cli

COLUMNS = [
    Column("sku", "SKU"),
    Column("name", folds=True, drop=1),
    Column("on_hand"),
    Column("reserved", drop=2),
]
RECORDS: list[dict[str, Any]] = [
    {"sku": "MOUSE-001", "name": "Wireless mouse, black", "on_hand": 10_091, "reserved": 4},
    {"sku": "LAPTOP-001", "name": None, "on_hand": 3, "reserved": None},
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def at(width: int, columns: list[Column], records: list[dict[str, Any]]) -> Table:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        return render(columns, records, stream=Terminal())


def test_where_there_is_room_it_is_as_in_a_pipe() -> None:
    assert at(80, COLUMNS, RECORDS) == render(COLUMNS, RECORDS, stream=io.StringIO())


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (
            52,
            """
SKU          Name                 On hand   Reserved
────────────────────────────────────────────────────
MOUSE-001    Wireless mouse,       10,091          4
             black
LAPTOP-001                              3
""",
        ),
        (
            45,
            """
                                 On
SKU         Name               hand  Reserved
─────────────────────────────────────────────
MOUSE-001   Wireless mouse,  10,091         4
            black
LAPTOP-001                        3
""",
        ),
        (
            40,
            """
SKU          On hand   Reserved
───────────────────────────────
MOUSE-001     10,091          4
LAPTOP-001         3
""",
        ),
        (
            19,
            """
                On
SKU           hand
──────────────────
MOUSE-001   10,091
LAPTOP-001       3
""",
        ),
        (
            17,
            """
SKU       MOUSE-0
          01
Name      Wireles
          s
          mouse,
          black
On hand   10,091
Reserved  4

SKU       LAPTOP-
          001
On hand   3
""",
        ),
    ],
)
def test_first_text_folds_then_headings_then_columns_go_then_each_record_is_told_by_itself(
    width: int, expected: str
) -> None:
    lines = at(width, COLUMNS, RECORDS).lines
    assert lines == expected.strip("\n").split("\n")
    assert max(map(cell_len, lines)) <= width


def test_what_there_was_no_room_for_is_returned() -> None:
    widths = (80, 40, 19, 17)
    assert [at(width, COLUMNS, RECORDS).left_out for width in widths] == [set(), {"name"}, {"name", "reserved"}, set()]


def test_it_is_returned_to_the_command_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert Output(stdout=Terminal()).rows(COLUMNS, RECORDS) == {"name", "reserved"}
    assert Output(stdout=io.StringIO()).rows(COLUMNS, RECORDS) == set()
    assert Output("csv", stdout=Terminal()).rows(COLUMNS, RECORDS) == set()


def test_a_number_stays_with_what_it_counts_and_commas_part_first() -> None:
    columns = [Column("items", folds=True)]
    records = [
        {"items": "3 KEYBOARD-104, 1 of 2 MOUSE-001, 1 LAPTOP-001"},
        {"items": "about 100 units of it, they say"},
    ]
    lines = at(22, columns, records).lines
    assert lines[2:] == ["3 KEYBOARD-104,", "1 of 2 MOUSE-001,", "1 LAPTOP-001", "about 100 units of it,", "they say"]
    assert at(15, columns, records).lines[2:5] == ["3 KEYBOARD-104,", "1 of", "2 MOUSE-001,"]


def test_no_word_is_broken_but_one_that_is_absurdly_long() -> None:
    columns = [Column("sku"), Column("note", folds=True)]
    records = [{"sku": "M", "note": "see " + "x" * 100}]
    assert at(35, columns, records).lines[2:4] == ["M    see", "     " + "x" * 30]
    short = [{"sku": "M", "note": "see " + "x" * 20}]
    assert at(25, columns, short).lines[2:] == ["M    see", "     " + "x" * 20]
    # There is no room for the word beside the other column.
    assert at(22, columns, short).lines[0].split() == ["Sku", "M"]


def test_text_gets_the_room_that_there_is() -> None:
    columns = [Column("a", folds=True), Column("b", folds=True), Column("c", folds=True)]
    records = [{"a": "word " * 30, "b": "word " * 3, "c": "word " * 30}]
    assert len(at(100, columns, records).lines[1]) == 100


def test_wide_letters_and_colour_do_not_move_what_stands_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [Column("sku", style="cyan"), Column("name", folds=True), Column("on_hand", style="bold")]
    records = [{"sku": "鼠标", "name": "有线鼠标 " * 8, "on_hand": 5}, {"sku": "M", "name": "x", "on_hand": 1500}]
    plain = at(40, columns, records).lines
    assert {cell_len(line) for line in plain if line.endswith(("5", "1500"))} == {cell_len(plain[1])}
    assert max(map(cell_len, plain)) <= 40
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    coloured = at(40, columns, records).lines
    assert "\x1b[36m鼠标\x1b[0m" in coloured[2]
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in coloured] == plain


def test_a_table_without_rows_has_its_headings() -> None:
    assert at(80, COLUMNS, []).lines[0] == "SKU   Name   On hand   Reserved"
    assert at(3, COLUMNS, []).lines == []


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(
    st.lists(st.tuples(texts, texts, st.integers(0, 10**9)), min_size=1, max_size=4),
    st.integers(16, 100),
)
def test_whatever_is_in_it_it_fits_and_loses_nothing(rows: list[tuple[str, str, int]], width: int) -> None:
    columns = [Column("sku"), Column("note", folds=True), Column("on_hand")]
    records = [{"sku": sku, "note": note, "on_hand": number} for sku, note, number in rows]
    table = at(width, columns, records)
    assert all(cell_len(line) <= width for line in table.lines)
    whole = render(columns, records, stream=io.StringIO()).lines[2:]
    assert not Counter("".join("".join(whole).split())) - Counter("".join(table.lines))

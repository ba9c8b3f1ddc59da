"""Results in every form, and talk beside them."""

import csv
import io
import json
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invctl.console.output import Column, Format, Output, csv_line
from invctl.console.style import Message, paint, printable, wants_colour

pytestmark = pytest.mark.cli

COLUMNS = [
    Column("sku", "SKU"),
    Column("on_hand"),
    Column("price", show=lambda minor: f"{minor / 100:.2f} EUR"),
    Column("lines"),
    Column("seq", in_table=False),
]
RECORDS: list[dict[str, Any]] = [
    {"sku": "MOUSE-001", "on_hand": 5, "price": 8000, "lines": [], "seq": 1, "extra": True},
    {"sku": "Ünï", "on_hand": 1500, "price": None, "lines": [{"sku": "A", "quantity": 2}], "seq": 2},
]


COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")


def written(
    fmt: Format = "table", *, quiet: bool = False, stdout: io.StringIO | None = None
) -> tuple[Output, Any, Any]:
    out, err = stdout or io.StringIO(), io.StringIO()
    return Output(fmt, quiet=quiet, stdout=out, stderr=err), out, err


@pytest.mark.parametrize(
    ("fmt", "expected"),
    [
        ("table", "Held R-7K4QM2.\n"),
        ("json", '{"reservation": "R-7K4QM2", "lines": [{"sku": "Ü"}]}\n'),
        ("ndjson", '{"reservation": "R-7K4QM2", "lines": [{"sku": "Ü"}]}\n'),
        ("csv", 'reservation,lines\nR-7K4QM2,"[{""sku"": ""Ü""}]"\n'),
    ],
)
def test_one_result(fmt: Format, expected: str) -> None:
    output, out, err = written(fmt)
    output.result({"reservation": "R-7K4QM2", "lines": [{"sku": "Ü"}]}, message="Held R-7K4QM2.", ident="R-7K4QM2")
    assert (out.getvalue(), err.getvalue()) == (expected, "")


@pytest.mark.parametrize("fmt", ["table", "json", "ndjson", "csv"])
def test_quiet_is_the_bare_id(fmt: Format) -> None:
    output, out, err = written(fmt, quiet=True)
    output.talk("not now")
    output.result({"reservation": "R-7K4QM2"}, message="Held.", ident="R-7K4QM2")
    output.result({"done": True}, message="Done.")
    output.rows(COLUMNS, RECORDS)
    output.rows(COLUMNS, RECORDS, ident="seq")
    output.stream(COLUMNS)(RECORDS[0], "came")
    assert (out.getvalue(), err.getvalue()) == ("R-7K4QM2\nMOUSE-001\nÜnï\n1\n2\nMOUSE-001\n", "")


def test_a_table() -> None:
    output, out, _ = written()
    output.rows(COLUMNS, RECORDS)
    heading, rule, *rows = out.getvalue().splitlines()
    assert heading == "SKU         On hand       Price   Lines"
    assert set(rule) == {"─"}
    assert rows == [
        "MOUSE-001         5   80.00 EUR",
        "Ünï           1,500               {'sku': 'A', 'quantity': 2}",
    ]


def test_lists_for_programs() -> None:
    output, out, _ = written("json")
    output.rows(COLUMNS, RECORDS)
    assert out.getvalue().count("\n") == 1
    assert json.loads(out.getvalue()) == RECORDS

    output, out, _ = written("ndjson")
    output.rows(COLUMNS, RECORDS)
    assert [json.loads(line) for line in out.getvalue().splitlines()] == RECORDS

    output, out, _ = written("csv")
    output.rows(COLUMNS, RECORDS)
    header, first, second = csv.reader(io.StringIO(out.getvalue(), newline=""))
    assert header == ["sku", "on_hand", "price", "lines", "seq"]
    assert first == ["MOUSE-001", "5", "8000", "[]", "1"]
    assert second[2] == ""
    assert json.loads(second[3]) == RECORDS[1]["lines"]


@pytest.mark.parametrize(
    ("fmt", "expected", "said"),
    [("table", "", "None.\n"), ("json", "[]\n", ""), ("ndjson", "", ""), ("csv", "sku,on_hand,price,lines,seq\n", "")],
)
def test_an_empty_list(fmt: Format, expected: str, said: str) -> None:
    output, out, err = written(fmt)
    output.rows(COLUMNS, [], empty="None.")
    assert (out.getvalue(), err.getvalue()) == (expected, said)


@pytest.mark.parametrize(
    ("fmt", "expected"),
    [
        ("table", ["MOUSE-001 came"]),
        ("json", [json.dumps(RECORDS[0])]),
        ("ndjson", [json.dumps(RECORDS[0])]),
        ("csv", ["sku,on_hand,price,lines,seq", "MOUSE-001,5,8000,[],1"]),
    ],
)
def test_a_stream_is_out_at_once(fmt: Format, expected: list[str]) -> None:
    raw = io.BytesIO()
    buffered = io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8")
    emit = Output(fmt, stdout=buffered).stream(COLUMNS)
    emit(RECORDS[0], ["MOUSE-001", (" came", "green")])
    assert raw.getvalue().decode().splitlines() == expected


def test_a_terminal_gets_colour_and_a_pipe_none(monkeypatch: pytest.MonkeyPatch) -> None:
    message: Message = ["Held ", ("R-7K4QM2", "bold cyan")]
    output, out, _ = written(stdout=Terminal())
    output.result({}, message=message)
    assert out.getvalue() == "Held \x1b[1;36mR-7K4QM2\x1b[0m\n"
    output.rows(COLUMNS, RECORDS)
    assert "\x1b[1m" in out.getvalue().partition("\n")[2]

    monkeypatch.setenv("NO_COLOR", "1")
    output, out, _ = written(stdout=Terminal())
    output.result({}, message=message)
    output.rows([Column("sku", style="red")], RECORDS)
    assert "\x1b" not in out.getvalue()


def test_who_decides_on_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wants_colour(Terminal())
    assert not wants_colour(io.StringIO())
    assert not wants_colour(None)
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_colour(Terminal())
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert wants_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Terminal())


def test_a_table_looks_alike_in_a_pipe_and_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    shown = []
    for stdout in (io.StringIO(), Terminal()):
        output, out, _ = written(stdout=stdout)
        records = [*RECORDS, {"sku": "鼠标", "on_hand": 0, "price": 5}]
        output.rows([*COLUMNS[:3], Column("fresh")], [record | {"fresh": True} for record in records])
        shown.append(out.getvalue())
    assert shown[0] == shown[1]
    assert "鼠标              0    0.05 EUR   yes\n" in shown[0]


def test_a_long_table_is_not_cut_in_a_pipe_and_folds_on_a_terminal() -> None:
    records = [{"name": "word " * 60}]
    output, out, _ = written()
    output.rows([Column("name")], records)
    assert out.getvalue().splitlines()[-1] == ("word " * 60).rstrip()

    output, out, _ = written(stdout=Terminal())
    output.rows([Column("name", folds=True)], records)
    assert max(len(line) for line in out.getvalue().splitlines() if "word" in line) <= 80
    assert out.getvalue().count("word") == 60


def test_names_cannot_steer_the_terminal() -> None:
    evil = "a\x1b[2J\x9b\r\x07\nb[red]c"
    output, out, err = written()
    output.result({}, message=[evil, (evil, "red")])
    output.talk(evil)
    assert not {"\x1b", "\x9b", "\r", "\x07"} & set(out.getvalue() + err.getvalue())
    assert "a\\x1b[2J\\x9b\\x0d\\x07\nb[red]c" in out.getvalue()

    output, out, err = written()
    output.rows([Column("name")], [{"name": evil}, {"name": [evil]}])
    assert out.getvalue().splitlines()[2:] == ["a\\x1b[2J\\x9b\\x0d\\x07\\nb[red]c"] * 2


def test_printable_leaves_text_alone() -> None:
    text = "Souris café ✓ 鼠标\tx\ny"
    assert printable(text) == text
    assert paint([("x", "bold")], colour=False) == "x"


def test_json_is_ascii_where_the_stream_is() -> None:
    raw = io.BytesIO()
    ascii_stream = io.TextIOWrapper(raw, encoding="ascii")
    Output("json", stdout=ascii_stream).result({"name": "café"}, message="")
    assert raw.getvalue() == b'{"name": "caf\\u00e9"}\n'


def test_json_refuses_what_is_no_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Output("json", stdout=io.StringIO()).result({"x": float("nan")}, message="")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1))
def test_csv_reads_back_as_it_was_written(cells: list[str]) -> None:
    text = csv_line(cells) + "\n"
    assert list(csv.reader(io.StringIO(text, newline=""), strict=True)) == [cells]


def test_csv_changes_nothing() -> None:
    assert csv_line(["=1+1", "-1", 'say "hi"', None, True, 1.5, "a\rb"]) == '=1+1,-1,"say ""hi""",,true,1.5,"a\rb"'


def test_a_process_without_streams_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    output = Output()
    output.result({}, message="x")
    output.rows(COLUMNS, RECORDS)
    output.talk("x")
    with output.progress("sending", total=3) as bar:
        bar.update(1)


def test_a_progress_bar_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    out, terminal = io.StringIO(), Terminal()
    with Output(stdout=out, stderr=terminal).progress("send\x1bing", total=30) as bar:
        bar.update(10)
        bar.update(40, total=41)
    shown = terminal.getvalue()
    assert "send\\x1bing" in shown
    assert "40/41" in shown
    assert COLOUR.search(shown)
    assert shown.endswith("\x1b[2K")
    assert out.getvalue() == ""

    for output, err in (
        (Output(stderr=(pipe := io.StringIO())), pipe),
        (Output(quiet=True, stderr=(t := Terminal())), t),
    ):
        with output.progress("sending", total=30) as bar:
            bar.update(10)
        assert err.getvalue() == ""

    monkeypatch.setenv("NO_COLOR", "1")
    with Output(stderr=(terminal := Terminal())).progress("sending", total=30) as bar:
        bar.update(10)
    assert "10/30" in terminal.getvalue()
    assert not COLOUR.search(terminal.getvalue())

"""One command line, in process: options, arguments, errors, help."""

import gc
import io
import json
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from invctl.console.command import Command
from invctl.console.failures import wanted_format
from invctl.console.main import run
from invctl.console.output import Format
from tests.unit.console.shop.app import build
from tests.unit.console.shop.listing import stock

pytestmark = pytest.mark.cli


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "SHOP_HOME", "INVCTL_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")


class Shop:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *argv: str) -> tuple[int, str, str]:
        code = run("shop", build, argv)
        out, err = self._capsys.readouterr()
        return code, out, err


@pytest.fixture
def shop(capsys: pytest.CaptureFixture[str]) -> Shop:
    return Shop(capsys)


def test_a_negative_number_is_an_argument(shop: Shop) -> None:
    assert shop("adjust", "MOUSE-001", "-1", "--reason", "damaged") == (
        0,
        "Adjusted MOUSE-001 by -1.\n",
        "Nobody else is at it.\n",
    )
    code, out, _ = shop("adjust", "MOUSE-001", "3", "-2.5", "-o", "json")
    assert code == 0
    assert json.loads(out)["notes"] == ["-2.5"]


@pytest.mark.parametrize(
    "argv",
    [
        ("-o", "json", "adjust", "MOUSE-001", "-1", "--for", "30m"),
        ("adjust", "-o", "json", "MOUSE-001", "--for", "30m", "-1"),
        ("adjust", "--for=30m", "MOUSE-001", "-1", "--output=json"),
        ("--output", "csv", "adjust", "MOUSE-001", "-1", "-ojson", "--for", "30m"),
    ],
)
def test_options_stand_anywhere(shop: Shop, argv: tuple[str, ...]) -> None:
    code, out, _ = shop(*argv)
    assert code == 0
    record = json.loads(out)
    assert (record["sku"], record["quantity"], record["hold_s"]) == ("MOUSE-001", -1, 1800)


def test_a_shared_option_goes_by_flag_then_environment(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shop("where")[1] == "In None.\n"
    monkeypatch.setenv("SHOP_HOME", "/env")
    assert shop("where")[1] == "In /env.\n"
    assert shop("--home", "/group", "where")[1] == "In /group.\n"
    assert shop("where", "--home", "/command")[1] == "In /command.\n"
    assert shop("--home", "/group", "where", "--home", "/command")[1] == "In /command.\n"


def test_quiet(shop: Shop) -> None:
    assert shop("adjust", "MOUSE-001", "1", "-q") == (0, "MOUSE-001\n", "")
    assert shop("-q", "product", "list") == (0, "MOUSE-001\nLAPTOP-001\n", "")


@pytest.mark.parametrize(
    ("argv", "message", "hint"),
    [
        ("adjust M 1 --reson x", "No such option: --reson. Did you mean --reason?", "see 'shop adjust --help'"),
        ("adjust M 1 -reason x", "No such option: -reason. Did you mean --reason?", "see 'shop adjust --help'"),
        ("adjust M 1 -x", "No such option: -x", "see 'shop adjust --help'"),
        ("adjust M -1x", "No such option: -1", "see 'shop adjust --help'"),
        ("adjust M", "Missing argument 'QUANTITY'.", "see 'shop adjust --help'"),
        ("adjust M 1 --for", "Option '--for' requires an argument.", "see 'shop adjust --help'"),
        ("--home", "Option '--home' requires an argument.", "see 'shop --help'"),
        ("-1", "No such command: -1", "see 'shop --help'"),
        ("where now", "Got unexpected extra argument(s) (now)", "see 'shop where --help'"),
        ("adjst", "No such command: adjst. Did you mean adjust?", "see 'shop --help'"),
        ("zzz", "No such command: zzz", "see 'shop --help'"),
        ("product lst", "No such command: lst. Did you mean list?", "see 'shop product --help'"),
        ("--hom x where", "No such option: --hom. Did you mean --home?", "see 'shop --help'"),
        (
            "adjust M 1 --for 30x",
            "Invalid value for '--for': '30x' is not a duration",
            "write it as 90s, 30m, 2h, 1d or 1h30m",
        ),
        (
            "adjust M 1 -o xml",
            "Invalid value for '-o' / '--output': 'xml' is not a format",
            "one of table, json, ndjson, csv",
        ),
    ],
)
def test_a_mistake_is_named(shop: Shop, argv: str, message: str, hint: str) -> None:
    code, out, err = shop(*argv.split())
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines[0] == f"error: {message}"
    assert lines[-1] == f"hint: {hint}"


def test_usage_is_shown_with_a_mistake(shop: Shop) -> None:
    assert shop("adjust", "M")[2].splitlines()[1] == "usage: shop adjust [OPTIONS] SKU QUANTITY [NOTES]..."
    assert shop("product", "lst")[2].splitlines()[1] == "usage: shop product [OPTIONS] COMMAND ..."


@pytest.mark.parametrize("late", [["-o", "json"], ["--output=ndjson"], ["-qo", "json"], ["-o", "csv", "-ojson"]])
def test_a_mistake_is_json_where_json_was_asked_for_after_it(shop: Shop, late: list[str]) -> None:
    code, out, err = shop("adjust", "M", "1", "--reson", "x", *late)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert json.loads(err) == {
        "error": "usage",
        "message": "No such option: --reson. Did you mean --reason?",
        "hint": "see 'shop adjust --help'",
    }


@pytest.mark.parametrize(
    ("argv", "fmt"),
    [
        ("x -o json", "json"),
        ("x --output ndjson y", "ndjson"),
        ("x -o json -o table", "table"),
        ("x -- -o json", "table"),
        ("x -o", "table"),
        ("x --output", "table"),
        ("x -o xml", "table"),
        ("x --outputs=json", "table"),
        ("x -qqocsv", "csv"),
    ],
)
def test_the_form_is_found_on_a_line_that_cannot_be_parsed(argv: str, fmt: Format) -> None:
    assert wanted_format(argv.split()) == fmt


def test_an_error_says_what_and_what_next(shop: Shop) -> None:
    assert shop("fail", "stock") == (
        4,
        "",
        "error: MOUSE-001: asked for 9, but 3 are available\nhint: ask for 3\n",
    )
    code, out, err = shop("fail", "stock", "-o", "json")
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert json.loads(err) == {
        "error": "not_enough_stock",
        "message": "MOUSE-001: asked for 9, but 3 are available",
        "hint": "ask for 3",
        "short": [{"sku": "MOUSE-001", "available": 3}],
    }


def test_a_detail_that_is_no_json_does_not_hide_the_error(shop: Shop) -> None:
    code, _, err = shop("fail", "odd", "-o", "json")
    told = json.loads(err)
    assert (code, told["error"], told["message"]) == (3, "not_found", "no such product")
    assert told["path"] == "/tmp"


def test_a_bug_is_one_line_and_its_traceback_is_kept(shop: Shop, tmp_path: Path) -> None:
    code, out, err = shop("fail", "bug")
    kept = tmp_path / "shop" / "last-error.txt"
    assert (code, out) == (1, "")
    assert err == f"unexpected: KeyError: 'x'\nhint: the traceback is in {kept}; INVCTL_DEBUG=1 shows it here\n"
    assert "raise FAILURES[how]" in kept.read_text()


def test_a_bug_is_told_even_where_nothing_can_be_kept(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert shop("fail", "bug")[2].endswith("hint: set INVCTL_DEBUG=1 to see the traceback\n")


def test_a_bug_shows_its_traceback_when_asked(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INVCTL_DEBUG", "1")
    assert "raise FAILURES[how]" in shop("fail", "bug")[2]
    assert "raise FAILURES[how]" in json.loads(shop("fail", "bug", "-o", "json")[2])["traceback"]
    assert not list(tmp_path.iterdir())


def test_a_broken_pipe_of_our_own_is_not_taken_for_a_closed_stdout(shop: Shop) -> None:
    code, _, err = shop("fail", "socket")
    assert (code, err.splitlines()[0]) == (1, "unexpected: BrokenPipeError: [Errno 32] Broken pipe")


def test_a_command_may_choose_its_exit_code(shop: Shop) -> None:
    assert shop("fail", "stopped") == (7, "", "")


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_a_question_without_a_yes(shop: Shop, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    code, _, err = shop("fail", "ask")
    assert (code, err.splitlines()[-1]) == (2, "error: A question was not answered with yes; nothing was done.")


def test_ctrl_c_at_a_question(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_prompt: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("typer._click.termui.visible_prompt_func", interrupt)
    assert shop("fail", "ask")[::2] == (130, "")


def test_no_command_is_a_mistake_that_shows_the_help(shop: Shop) -> None:
    code, out, err = shop()
    assert (code, out) == (2, "")
    assert err == shop("--help")[1]
    code, out, err = shop("product", "-o", "json")
    assert (code, json.loads(err)) == (
        2,
        {"error": "usage", "message": "A command is missing.", "hint": "see 'shop product --help'"},
    )


def test_the_help_of_a_group(shop: Shop) -> None:
    assert shop("-h") == (
        0,
        """\
Keep a store's stock, and sell from it.

Usage: shop [OPTIONS] COMMAND ...

Selling:
  adjust               Correct the stock of a product.
  where                Tell which folder is used.

Failing:
  fail                 Fail in a chosen way.
  interrupted          Be interrupted while it is imported.
  wait                 Wait for Ctrl-C.

Stock:
  stock                Show what is there.
  many                 Write many lines.
  plain                Write in its own way.
  follow               Show what happens.
  product              The products of this store.

Shared options:
      --home HOME      The store's folder. [env: SHOP_HOME]
  -o, --output FORMAT  Write the result as table, json, ndjson or csv.
  -q, --quiet          Write the bare id alone.
      --version        Show the version and exit.
  -h, --help           Show this message and exit.

'shop COMMAND --help' tells more about one of them.
""",
        "",
    )


def test_the_help_of_a_command(shop: Shop) -> None:
    assert shop("product", "add", "--help") == (
        0,
        """\
Correct the stock of a product.

Corrections append; nothing is edited.

    shop adjust MOUSE-001 -1 --reason damaged
    shop adjust MOUSE-001  3

Usage: shop product add [OPTIONS] SKU QUANTITY [NOTES]...

Arguments:
  SKU                  The product.
  QUANTITY             How many more, or less.
  NOTES...

Options:
      --reason REASON  Why. [default: correction]
      --for DURATION   How long.
      --kind in|out    Which kind.
      --dry-run        Change nothing.

Shared options:
      --home HOME      The store's folder. [env: SHOP_HOME]
  -o, --output FORMAT  Write the result as table, json, ndjson or csv.
  -q, --quiet          Write the bare id alone.
  -h, --help           Show this message and exit.
""",
        "",
    )


def test_help_is_narrow_on_a_narrow_terminal(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    _, out, _ = shop("--help")
    assert max(map(len, out.splitlines())) <= 52
    assert "json, ndjson" in out


def test_a_lone_command(capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer(add_completion=False)
    app.command("stock", cls=Command)(stock)
    assert run("stock", lambda: get_command(app), ["-q"]) == 0
    assert capsys.readouterr().out == "MOUSE-001\nLAPTOP-001\n"
    assert run("stock", lambda: get_command(app), ["-h"]) == 0
    assert capsys.readouterr().out.startswith("Show what is there.\n\nUsage: stock [OPTIONS]\n")


def test_version(shop: Shop) -> None:
    assert shop("--version") == (0, "shop 1.2.3\n", "")


def test_what_a_list_looks_like(shop: Shop) -> None:
    code, out, _ = shop("stock")
    assert (code, out.splitlines()[2:]) == (
        0,
        ["MOUSE-001          5   Souris café", "LAPTOP-001     1,500   [bold]Laptop[/bold]"],
    )
    assert shop("follow")[1] == "MOUSE-001 arrived\nLAPTOP-001 arrived\n"


def test_the_collector_is_left_as_it_was(shop: Shop) -> None:
    before = gc.get_threshold()
    gc.set_threshold(701, 11, 12)
    try:
        shop("stock")
        assert gc.get_threshold() == (701, 11, 12)
    finally:
        gc.set_threshold(*before)

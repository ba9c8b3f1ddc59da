"""The three command lines against arguments that nobody meant: an error is told in one line, and is never a traceback.

Commands that would run on, start a process or wait are left out, or given what ends them at once.
"""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer import Typer
from typer.main import get_command

import central.app
import daemon.app
import invctl.cli.app
from central.cli.check_command import Verdict
from invctl.console.exits import VERIFY_FAILED, ExitCode
from invctl.console.failures import wanted_format
from invctl.console.lazy import Family, LazyGroup
from invctl.console.main import run
from invctl.ledger import reservations
from invctl.ledger.backup import back_up
from invctl.ledger.ledger import Ledger
from invctl.ledger.verify import verify
from invctl.settings import CONFIG_FILE, LOG_FILE, RUN
from scripts.chain.command import _Script as Script
from tests.unit.ledger.support import carry, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from invctl.console.lazy import Table

pytestmark = pytest.mark.cli

# These run on, start a process, or wait for one. `invd run` has nothing else, and is given what it refuses.
LEFT_OUT = {("daemon", "start"), ("daemon", "stop"), ("run",)}
# What makes an option's command run on.
NEVER = {"--follow", "-f", "--wait", "--watch"}
# A command line's own answers; 141 and 130 are of pipes and keys, and 1 is of what nobody meant.
MEANT = set(ExitCode) - {ExitCode.UNEXPECTED, ExitCode.INTERRUPTED, ExitCode.PIPE_CLOSED}

HELD = "HELD"
"""Stands for the id of an open reservation."""

SKUS = ["MOUSE-001", "LAPTOP-001", "KEYBOARD-001", "mouse-001", "CABLE-9"]
LINES = ["MOUSE-001=2", "LAPTOP-001", "LAPTOP-001=9", "MOUSE-001=1"]
# What fits a parameter, by its name in the command's function.
FITTING = {
    "items": LINES,
    "barcode": ["4006381333931", "ABC-123"],
    "sheet": ["commands.html"],
    "parts": LINES,
    "sku": SKUS,
    "reservation": [HELD, HELD, HELD[:3], "R-7K4QMQ"],
    "quantity": ["1", "25", "1000000"],
    "change": ["-1", "+2", "0", "-99"],
    "reason": ["damaged", "cycle_count", "received", "Cycle count", "correction"],
    "hold_s": ["30m", "1h", "1s"],
    "price": ["80.00", "7", "0.5"],
    "store": ["downtown", "midtown"],
    "stores": ["downtown", "midtown"],
    "file": ["copy.db", "other.db", ".", "products.csv", "stock.csv"],
    "name": ["Mouse, red", "\u20ac \U0001f400"],
    "currency": ["EUR", "JPY"],
    "timezone": ["UTC", "America/New_York"],
    "status": ["pending", "open", "confirmed"],
    "limit": ["1", "10"],
    "lines": ["0", "2"],
    "since": ["10m", "2026-11-24T09:30:00Z"],
    "start": ["0", "0:0", "1"],
    "kind": ["reservation", "reservation.created"],
    "every_s": ["2", "10"],
    "grep": ["A-17", "mouse"],
    "until_idle": ["1", "2m"],
    "wanted": [HELD, "4bf92f3577b34da6a3ce929d0e0e4736", "downtown/R-7K4QMQ"],
    "day": ["2026-11-24", "2020-02-29"],
    "html": ["close.html", "."],
    "warn": ["0", "5"],
    "crit": ["5", "100"],
    "request_id": ["till-1", "till-2"],
    "clerk": ["ann", "Zo\u00eb"],
    "timeout_s": ["1s", "0s"],
    "shards": ["1", "4"],
}
plausible = st.sampled_from(sorted({word for fitting in FITTING.values() for word in fitting}))
hostile = st.sampled_from(
    [
        *("", " ", "-", "--", "---", "-1", "-99999999999999999999", "9" * 400, "1e9", "0x10", "1_0", "-0", "+1", "NaN"),
        *("=", "=1", "MOUSE-001=", "MOUSE-001=-1", "MOUSE-001==1", "A" * 5000, "R-", "r-ooo", "0:0", "1:-1", ":", ","),
        *(
            "\u0661\u0662",
            "\u20ac\U0001f400",
            "\u202etxt",
            "e\u0301",
            "\u0131",
            "\udc80a",
            "\udcff",
            "\x01",
            "\x1b[31m",
            "\n",
            "\t",
            "\r",
            "\x7f",
        ),
        *("[bold]", "[/]", "%s", "{0}", "{", "'; DROP TABLE events; --", '"', "\\", "~", "~nobody-here"),
        *(
            "--nothing",
            "-x",
            "--help",
            "-h",
            "-q",
            "-qo",
            "--output",
            "-o",
            "-ojson",
            "--output=",
            "--home=",
            "--version",
        ),
        *("99999999d", "0s", "-5m", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-02-30T00:00:00Z"),
    ]
)
anything = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), max_size=8)
words = st.one_of(plausible, plausible, hostile, hostile, anything)
forms = st.sampled_from(
    [[], [], ["-q"], ["-o", "json"], ["-o", "json"], ["-o", "csv"], ["-o", "ndjson"], ["-o", "xml"]]
)


class Taken(NamedTuple):
    """What a command takes: an argument, or, with the names that it goes by, an option."""

    name: str
    opts: list[str]
    is_flag: bool
    required: bool


class Line(NamedTuple):
    """A command line: its name, how it is made, its commands, and what each of them takes."""

    prog: str
    build: Callable[[], Any]
    commands: list[tuple[str, ...]]
    takes: dict[tuple[str, ...], list[Taken]]


class Said(NamedTuple):
    code: int
    out: str
    err: str


def line_of(prog: str, build: Callable[[], LazyGroup], table: Table) -> Line:
    commands = [
        (name, *sub)
        for name, entry in table.items()
        for sub in ([(each,) for each in entry.commands] if isinstance(entry, Family) else [()])
        if (name, *sub) not in LEFT_OUT
    ]
    return Line(prog, build, commands, {command: takes(build(), command) for command in commands})


def takes(group: Any, command: Sequence[str]) -> list[Taken]:
    context = group.make_context(group.name, list(command)) if command else None
    for name in command:
        group = group.get_command(context, name)
    found = []
    for param in group.params:
        opts = [name for name in (*param.opts, *param.secondary_opts) if name.startswith("-") and name not in NEVER]
        if param.param_type_name == "argument":
            found.append(Taken(param.name, [], is_flag=False, required=param.required))
        elif opts and "--home" not in opts:
            found.append(Taken(param.name, opts, is_flag=bool(param.is_flag), required=param.required))
    return found


@st.composite
def parts(draw: st.DrawFn, taken: Taken, odds: int) -> list[str]:
    """Draw what is given for a parameter: one time in `odds` it is nothing that anybody would mean."""
    fitting = st.sampled_from(FITTING[taken.name]) if taken.name in FITTING else words
    value = draw(fitting if draw(st.integers(1, odds)) > 1 else hostile | anything)
    if not taken.opts:
        return [value]
    opt = draw(st.sampled_from(taken.opts))
    if taken.is_flag:
        return [opt]
    return draw(st.sampled_from([[opt, value], [opt, value], [f"{opt}={value}"], [opt]]))


@st.composite
def command_lines(draw: st.DrawFn, line: Line) -> list[str]:
    """Draw a command, what it has to be given, some of what it may be given, and now and then what it cannot take."""
    command = draw(st.sampled_from(line.commands))
    odds = draw(st.sampled_from([2, 8, 1000]))
    needed = [taken for taken in line.takes[command] if taken.required]
    others = [taken for taken in line.takes[command] if not taken.required]
    given = [draw(parts(taken, odds)) for taken in needed if draw(st.integers(1, odds)) > 1 or odds > 8]
    if others:
        given += [draw(parts(taken, odds)) for taken in draw(st.lists(st.sampled_from(others), max_size=2))]
    if odds < 8:
        given += [[word] for word in draw(st.lists(words, max_size=2))]
        given = draw(st.permutations(given))
    rest = [word for part in given for word in part]
    form = draw(forms)
    return [*form, *command, *rest] if draw(st.booleans()) else [*command, *rest, *form]


def ask(line: Line, argv: list[str]) -> Said:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        # Nobody is at the scanner.
        patch.setattr("sys.stdin", io.StringIO())
        code = run(line.prog, line.build, argv)
    said = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return Said(int(code), *said)


def check(argv: list[str], said: Said, *, logs: bool = False) -> None:
    shown = (argv, said)
    assert "Traceback" not in said.err, shown
    if "check" in argv and not said.err and said.code:
        # A monitor reads all of it from stdout, and has exit codes of its own.
        assert Verdict(said.code).name in said.out.upper(), shown
        return
    if "close" in argv and said.out and said.code == VERIFY_FAILED:
        # What is missing is its result.
        return
    assert said.code in MEANT, shown
    if said.code == ExitCode.DONE:
        return
    if wanted_format(argv) in ("json", "ndjson"):
        *before, line, end = said.err.split("\n")
        assert (end, before) == ("", before if logs else []), shown
        told = json.loads(line)
        assert told["error"], shown
        assert told["message"], shown
    else:
        # A group without a command is answered by its help.
        assert any(line.startswith(("error: ", "Usage: ")) for line in said.err.split("\n")), shown


INVCTL = line_of("invctl", invctl.cli.app.build, invctl.cli.app.commands())
INVCENTRAL = line_of("invcentral", central.app.build, central.app.commands())
SERVICES = {
    "invd": Line("invd", daemon.app.build, [("run",)], {("run",): takes(daemon.app.build(), ("run",))}),
    "invcentral": Line("invcentral", central.app.build, [("run",)], {("run",): takes(central.app.build(), ("run",))}),
}
SCRIPTS = ["chaos", "demo", "replay", "reset", "seed", "simulate"]
HOSTILE = settings(suppress_health_check=list(HealthCheck), deadline=None)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a store, a backup of it, and a head office. Returns also the id of an open reservation."""
    place = tmp_path_factory.mktemp("any") / "template"
    with Ledger.create(place / "store", "downtown", chance=Random(1)) as ledger:
        carry(ledger, {"MOUSE-001": 10, "LAPTOP-001": 3, "KEYBOARD-001": 0})
        back_up(ledger, place / "copy.db", force=False)
        key = key_of(reservations.reserve(ledger, {"MOUSE-001": 2, "LAPTOP-001": 1}))
    (place / "store" / RUN).mkdir()
    (place / "store" / RUN / LOG_FILE).write_text('{"action":"bus.lost","level":"error"}\n[1]\n"a"\nTrace\x1b[31m\n')
    (place / "products.csv").write_text("sku,name,price\nMOUSE-001,Mouse,80.00\nCABLE-9,Cable,\n")
    (place / "stock.csv").write_text("sku;quantity;reason\nMOUSE-001;5;\nLAPTOP-001;-1;damaged\n")
    home = ["--home", str(place / "office")]
    assert ask(INVCENTRAL, ["init", *home]).code == 0
    assert ask(INVCENTRAL, ["stores", "admit", "downtown", "--unheard", *home]).code == 0
    (place / "office" / CONFIG_FILE).unlink()
    return place, key


@pytest.fixture
def here(template: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let every path that a command may make lie here, and no broker answer."""
    here = template[0].parent / "here"
    here.mkdir(exist_ok=True)
    for name in [name for name in os.environ if name.startswith(("INVCTL_", "INVCENTRAL_", "INVD_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setenv("XDG_STATE_HOME", str(here))
    monkeypatch.setenv("INVCTL_HOME", str(here / "store"))
    monkeypatch.setenv("INVCENTRAL_HOME", str(here / "office"))
    monkeypatch.setenv("INVCTL_REDIS_URL", "redis://127.0.0.1:1")
    return here


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Leave no logging behind that a service has set up."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def begin_anew(here: Path, template: Path) -> None:
    for path in here.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    shutil.copytree(template, here, dirs_exist_ok=True)


@settings(HOSTILE, max_examples=400)
@given(argv=command_lines(INVCTL))
def test_invctl_takes_any_arguments(here: Path, template: tuple[Path, str], argv: list[str]) -> None:
    place, key = template
    begin_anew(here, place)
    argv = [word.replace(HELD, key) for word in argv]
    check(argv, ask(INVCTL, argv))
    with Ledger.open(here / "store") as ledger:
        assert verify(ledger).findings == []


@settings(HOSTILE, max_examples=150)
@given(argv=command_lines(INVCENTRAL))
def test_invcentral_takes_any_arguments(here: Path, template: tuple[Path, str], argv: list[str]) -> None:
    begin_anew(here, template[0])
    # Without this it would follow what never comes. First of all, so that no option takes it for its value.
    for place in [place for place, word in enumerate(argv) if word == "tail"]:
        argv = [*argv[: place + 1], "--no-follow", *argv[place + 1 :]]
    check(argv, ask(INVCENTRAL, argv))
    assert ask(INVCENTRAL, ["verify", "-q"]).code == 0


def test_a_database_that_cannot_be_opened_is_not_kept_in_the_settings(here: Path, template: tuple[Path, str]) -> None:
    begin_anew(here, template[0])
    assert ask(INVCENTRAL, ["init", "--database-url", "nonsense"]).code == ExitCode.USAGE
    # Nor is it in the way of the right one.
    assert ask(INVCENTRAL, ["init", "--database-url", f"sqlite:///{here / 'office' / 'other.db'}"]).code == 0
    assert ask(INVCENTRAL, ["stores", "list", "-o", "json"]).out == "[]\n"


@pytest.mark.parametrize("prog", SERVICES)
@settings(HOSTILE, max_examples=60)
@given(data=st.data())
def test_what_would_run_on_refuses_any_arguments_where_there_is_nothing_to_serve(
    here: Path, own_logging: None, prog: str, data: st.DataObject
) -> None:
    for path in here.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    line = SERVICES[prog]
    argv = data.draw(command_lines(line))
    said = ask(line, argv)
    check(argv, said, logs=True)
    assert said.code != ExitCode.DONE or {"-h", "--help", "--version"} & set(argv)


@pytest.mark.parametrize("name", SCRIPTS)
@settings(HOSTILE, max_examples=40)
@given(data=st.data())
def test_a_script_reads_any_arguments(here: Path, name: str, data: st.DataObject) -> None:
    def build() -> Any:
        app = Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, cls=Script)(getattr(import_module(f"scripts.{name}"), name))
        command = get_command(app)
        # They are read; nothing is done.
        command.callback = lambda **_: None
        return command

    argv = data.draw(command_lines(Line(name, build, [()], {(): takes(build(), ())})))
    check(argv, ask(Line(name, build, [], {}), argv))

"""A command line as a process: pipes, signals, locales, and what it loads."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import invctl

pytestmark = pytest.mark.cli

PACKAGE = "tests.unit.console.shop."
SHOP = [sys.executable, "-m", "tests.unit.console.shop.app"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    root = str(Path(invctl.__file__).parents[1])
    return {"PATH": os.environ["PATH"], "PYTHONPATH": root, "XDG_STATE_HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}


def called(argv: Sequence[str], environment: dict[str, str], **options: Any) -> subprocess.CompletedProcess[str]:
    options = {"capture_output": True, "text": True, "timeout": 60} | options
    return subprocess.run([*SHOP, *argv], env=environment, check=False, **options)


@pytest.mark.parametrize("fmt", ["ndjson", "table", "json"])
def test_a_reader_that_has_seen_enough(environment: dict[str, str], fmt: str) -> None:
    # Far more than a pipe holds, so that the reader is gone while we write.
    shell = f"{' '.join(SHOP)} many 20000 -o {fmt} | head -c 1 > /dev/null; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", shell], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("argv", [["stock", "-o", "csv"], ["--help"], ["--version"], ["follow"], ["plain"]])
def test_a_reader_that_was_never_there(environment: dict[str, str], argv: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*SHOP, *argv], env=environment, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_errors_that_nobody_reads(environment: dict[str, str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*SHOP, "fail", "bug"], env=environment, stderr=writer, timeout=60, check=False)
    os.close(writer)
    assert done.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("argv", [["stock", "-q"], ["--help"], ["plain"], ["many", "20000", "-o", "csv"]])
def test_a_full_disk_is_told_in_one_line(environment: dict[str, str], argv: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = called(argv, environment, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, "error: cannot write the result: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk_is_told_to_a_program_as_json(environment: dict[str, str]) -> None:
    with Path("/dev/full").open("w") as full:
        argv = ["many", "20000", "-o", "json"]
        done = called(argv, environment, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    message = "cannot write the result: No space left on device"
    assert (done.returncode, json.loads(done.stderr)) == (
        1,
        {"error": "output_failed", "message": message, "hint": ""},
    )


def test_a_process_without_stdout(environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(SHOP)} adjust M 1 >&- 2>&-"], env=environment, timeout=60, check=False
    )
    assert done.returncode == 0


def test_ctrl_c(environment: dict[str, str]) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([*SHOP, "wait"], env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")


def test_ctrl_c_while_a_command_is_imported(environment: dict[str, str]) -> None:
    done = called(["interrupted"], environment)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(("encoding", "name"), [("ascii", b"Souris caf\\xe9"), ("latin-1", b"Souris caf\xe9")])
def test_a_locale_that_knows_no_letters(environment: dict[str, str], encoding: str, name: bytes) -> None:
    environment |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding}
    for argv in (["stock"], ["stock", "-o", "csv"]):
        done = subprocess.run([*SHOP, *argv], env=environment, capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert name in done.stdout
        assert b"\\u2500" not in done.stdout

    assert json.loads(called(["stock", "-o", "json"], environment).stdout)[0]["name"] == "Souris café"

    # What the shell hands over in UTF-8 cannot be decoded there; it is shown, not choked on.
    done = subprocess.run([*SHOP, "adjust", "é", "1"], env=environment, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"Adjusted \\udcc3\\udca9 by 1.\n")


def loaded_by(argv: list[str], environment: dict[str, str]) -> set[str]:
    """Call a command, and tell which modules the process has loaded at its end."""
    script = (
        "import json, sys\n"
        "from tests.unit.console.shop.app import build\n"
        "from invctl.console.main import run\n"
        f"run('shop', build, {argv!r})\n"
        "print('\\n' + json.dumps(list(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("argv", "own"),
    [
        (["adjust", "M", "-1"], {"selling"}),
        (["adjust", "M", "-1", "-o", "json"], {"selling"}),
        (["stock", "-o", "csv"], {"listing"}),
        (["product", "add", "--help"], {"selling"}),
        (["product", "--help"], set()),
        (["--help"], set()),
        (["adjst"], set()),
        (["fail", "stock"], {"failing"}),
        (["adjust", "M", "--reson"], {"selling"}),
    ],
)
def test_a_command_loads_its_own_module_and_nothing_heavy(
    environment: dict[str, str], argv: list[str], own: set[str]
) -> None:
    loaded = loaded_by(argv, environment)
    assert {name.removeprefix(PACKAGE) for name in loaded if name.startswith(PACKAGE)} == own | {"app"}
    assert not loaded & {"rich", "asyncio", "decimal", "logging", "pydantic", "csv"}


def test_a_table_loads_rich(environment: dict[str, str]) -> None:
    assert "rich" in loaded_by(["stock"], environment)

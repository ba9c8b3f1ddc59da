"""The test command, on a project of its own with one test, which says what it sees of the environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPTS = Path(__file__).parents[3] / "scripts"

PYPROJECT = """
[tool.pytest.ini_options]
testpaths = ["tests"]
markers = ["slow: takes long"]
addopts = "-p no:cacheprovider -p no:asyncio"

[tool.ruff]
line-length = 120

[tool.mypy]
files = ["thing"]

[tool.importlinter]
root_package = "thing"
include_external_packages = true

[[tool.importlinter.contracts]]
name = "no sockets"
type = "forbidden"
source_modules = ["thing"]
forbidden_modules = ["socket"]
"""

TEST = """\
import os

import pytest


def test_environment() -> None:
    assert [name for name in os.environ if name.startswith("INV")] == ["INVCTL_TEST_REDIS_URL"]


@pytest.mark.slow
def test_slow() -> None:
    pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for folder in ("scripts", "thing", "tests"):
        (root / folder).mkdir(parents=True)
        (root / folder / "__init__.py").touch()
    shutil.copy(SCRIPTS / "test.py", root / "scripts")
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "tests" / "test_thing.py").write_text(TEST)
    return root


@pytest.fixture(scope="module", autouse=True)
def warm_mypy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let mypy read the standard library once for all of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYPY_CACHE_DIR", str(tmp_path_factory.mktemp("mypy")))
        yield


def run(project: Path, *arguments: str, cwd: Path | None = None, ci: str = "") -> tuple[int, list[str], str]:
    """Run it with a user's settings about. Gives the exit code, the lines on stdout, and stderr."""
    users = {"INVCTL_HOME": "/home/clerk", "INVCENTRAL_DATABASE_URL": "x", "INVCTL_TEST_REDIS_URL": "redis://x"}
    others = {name: value for name, value in os.environ.items() if not name.startswith(("INV", "PYTEST_"))}
    process = subprocess.run(
        [sys.executable, "-P", "-m", "scripts.test", *arguments],
        cwd=cwd or project,
        env=others | users | {"PYTHONPATH": str(project), "CI": ci},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return process.returncode, process.stdout.splitlines(), process.stderr


def steps(lines: list[str]) -> list[str]:
    return [" ".join(match.groups()) for line in lines if (match := re.match(r"(.+?) +(ok|FAILED) +[\d.]+ s$", line))]


def test_without_arguments_every_step_runs_and_pytest_has_the_last_word(project: Path) -> None:
    code, lines, talk = run(project)
    assert (code, talk) == (0, "")
    assert steps(lines) == ["ruff check ok", "ruff format ok", "mypy ok", "imports ok"]
    assert re.fullmatch(r"=+ 1 passed(, 1 deselected)? in .* =+", lines[-2])
    assert lines[-1] == "what is marked slow was left out: scripts/test --all runs it too, as CI does"


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "ci"), [(["--all"], ""), ([], "true")])
def test_asked_for_all_and_in_ci_it_leaves_nothing_out(project: Path, arguments: list[str], ci: str) -> None:
    code, lines, _ = run(project, *arguments, ci=ci)
    assert (code, len(steps(lines))) == (0, 4)
    assert re.fullmatch(r"=+ 2 passed in .* =+", lines[-1])


@pytest.mark.slow
def test_what_the_steps_find_is_shown_and_all_run(project: Path) -> None:
    (project / "thing" / "inside.py").write_text('import socket\nimport os\nx: int = ( socket.EBADF, "" )\n')
    code, lines, talk = run(project)
    assert code == 1
    assert steps(lines) == ["ruff check FAILED", "ruff format FAILED", "mypy FAILED", "imports FAILED"]
    shown = "\n".join(lines)
    for finding in ("F401", '+x: int = (socket.EBADF, "")', "[assignment]", "thing.inside -> socket"):
        assert finding in shown
    assert "1 passed" in lines[-2]
    assert talk == "failed: ruff check, ruff format, mypy, imports (above)\n"


@pytest.mark.slow
def test_the_exit_code_is_the_first_failing_steps(project: Path) -> None:
    configuration = project / "pyproject.toml"
    configuration.write_text(configuration.read_text().replace('files = ["thing"]', 'files = ["missing"]'))
    (project / "tests" / "test_thing.py").write_text("def test_thing() -> None:\n    assert False\n")
    code, lines, talk = run(project)
    assert code == 2  # mypy's for a file that it cannot read; pytest's is 1
    assert "1 failed" in lines[-2]
    assert talk == "failed: mypy (above)\n"


def test_with_arguments_pytest_runs_alone(project: Path) -> None:
    code, lines, _ = run(project, "-m", "slow")
    assert (code, steps(lines)) == (0, [])
    assert "1 passed, 1 deselected" in lines[-1]


def test_a_path_is_the_callers(project: Path, tmp_path: Path) -> None:
    code, lines, _ = run(project, "project/tests/test_thing.py::test_slow", "-q", cwd=tmp_path)
    assert code == 0
    assert lines[-1].startswith("1 passed")
    assert run(project, "thing::nothing", cwd=tmp_path)[0] == 4

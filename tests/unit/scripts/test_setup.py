"""The set-up of .venv, on a project of its own that needs nothing from the network."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pip
import pytest

from scripts._setup import _INCLUDED
from scripts.chain.waiting import wait_until

SCRIPTS = Path(__file__).parents[3] / "scripts"

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""

# Counts its builds; waits while there is a gate; fails while it is broken.
BACKEND = """
import pathlib, zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    root = pathlib.Path.cwd()
    with (root / "builds").open("a") as builds:
        builds.write("x")
    if (root / "gate").exists():
        (root / "gate").read_text()
    if (root / "broken").exists():
        raise RuntimeError("the mirror is down")
    name = "thing-1.0-py3-none-any.whl"
    extras = "".join(f"Provides-Extra: {extra}\\n" for extra in ("demo", "dev", "replay"))
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / name, "w") as wheel:
        wheel.writestr("thing-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\\nName: thing\\nVersion: 1.0\\n{extras}")
        wheel.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("thing-1.0.dist-info/RECORD", "")
    return name
"""

COMMAND = """
import os, sys
print([os.getcwd(), sys.prefix, *sys.argv[1:]])
"""


# Gives a new environment this one's pip by a link: to unpack it takes seconds, each time.
QUICK = f"""
import os, sys, venv

def link_pip(self, context):
    site = os.path.join(context.env_dir, "lib", "python%d.%d" % sys.version_info[:2], "site-packages")
    os.symlink({pip.__path__[0]!r}, os.path.join(site, "pip"))

venv.EnvBuilder._setup_pip = link_pip
"""


class Project:
    """A folder with the real shims, and commands that say where they run and with what."""

    def __init__(self, root: Path, home: Path, python: str) -> None:
        self.root = root
        self.venv = root / ".venv"
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHON": python,
            "PIP_CONFIG_FILE": os.devnull,
        }
        (root / "scripts").mkdir(parents=True)
        for name in ("_env.sh", "_setup.py", "__init__.py", "seed", "replay", "test"):
            shutil.copy(SCRIPTS / name, root / "scripts")
        for name in ("seed", "replay", "test"):
            (root / "scripts" / f"{name}.py").write_text(COMMAND)
        (root / "pyproject.toml").write_text(PYPROJECT)
        (root / "backend.py").write_text(BACKEND)

    def start(self, name: str, *arguments: str, cwd: Path | None = None, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.root / "scripts" / name), *arguments],
            cwd=cwd or self.root,
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, name: str, *arguments: str, cwd: Path | None = None, **environ: str) -> tuple[int, str, str]:
        with self.start(name, *arguments, cwd=cwd, **environ) as process:
            output, talk = process.communicate()
        return process.returncode, output, talk

    def said(self, *arguments: str, cwd: Path | None = None) -> str:
        """What a command prints that ran: its folder, its environment and its arguments."""
        return f"{[str(cwd or self.root), str(self.venv), *arguments]}\n"

    @property
    def builds(self) -> int:
        file = self.root / "builds"
        return len(file.read_text()) if file.exists() else 0

    def close_gate(self) -> None:
        os.mkfifo(self.root / "gate")

    def open_gate(self) -> None:
        """Let the build that waits go on, and those after it too."""
        with (self.root / "gate").open("w"):
            (self.root / "gate").unlink()


@pytest.fixture(scope="session")
def quick_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python whose environments are made in no time."""
    folder = tmp_path_factory.mktemp("python")
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "quick.py").write_text(QUICK)
    (site / "quick.pth").write_text("import quick\n")
    return str(folder / "bin" / "python")


@pytest.fixture
def project(tmp_path: Path, quick_python: str) -> Project:
    return Project(tmp_path / "a project", tmp_path, quick_python)


def python_that(tmp_path: Path, name: str, change: str) -> str:
    """A Python that is as this one but for a change that is made before its code runs."""
    path = tmp_path / name
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c \'import sys; {change}; exec(sys.argv[1])\' "$2"\n')
    path.chmod(0o755)
    return str(path)


def test_the_first_call_sets_up_and_the_next_starts_at_once(project: Project, tmp_path: Path) -> None:
    code, output, talk = project.run("seed", "--seed", "7", "a b", cwd=tmp_path, PYTHON=sys.executable)
    assert (code, output) == (0, project.said("--seed", "7", "a b", cwd=tmp_path))
    assert talk == "setting up .venv (once, about a minute) ...\n"
    # There is no Python to be found any more, and none is needed.
    assert project.run("seed", "x", PYTHON="/nowhere/python") == (0, project.said("x"), "")
    assert project.builds == 1


def test_each_set_of_extras_is_completed_once(project: Project) -> None:
    assert project.run("seed")[2] == "setting up .venv (once, about a minute) ...\n"
    # What is said does not read as if it had all been for nothing.
    assert project.run("replay")[2] == "adding to .venv for this command: replay (once, about a minute) ...\n"
    assert project.builds == 2
    assert [project.run("seed")[0], project.run("replay")[0], project.builds] == [0, 0, 2]


def test_what_an_extra_is_said_to_include_is_what_it_includes() -> None:
    extras = tomllib.loads((SCRIPTS.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [whole] = [each for each in extras["dev"] if each.startswith("invctl[")]
    assert {"dev": tuple(whole.removeprefix("invctl[").removesuffix("]").split(","))} == _INCLUDED


def test_what_tests_need_includes_what_the_demo_needs(project: Project) -> None:
    assert [project.run("test")[0], project.run("seed")[0], project.builds] == [0, 0, 1]


def test_a_changed_pyproject_is_installed_anew(project: Project) -> None:
    project.run("seed")
    python = project.venv / "bin" / "python"
    made = python.lstat().st_mtime_ns
    (project.root / "pyproject.toml").write_text(f"{PYPROJECT}\n# changed\n")
    assert project.run("seed") == (0, project.said(), "setting up .venv (once, about a minute) ...\n")
    assert (project.builds, python.lstat().st_mtime_ns) == (2, made)


def test_an_environment_that_was_moved_is_built_anew(project: Project, tmp_path: Path) -> None:
    project.run("seed")
    moved = project.root.rename(tmp_path / "moved")
    project.root, project.venv = moved, moved / ".venv"
    code, output, talk = project.run("seed")
    assert (code, output) == (0, project.said())
    assert "building .venv anew: the project has moved" in talk
    assert str(moved) in (project.venv / "pyvenv.cfg").read_text()


def test_an_environment_made_by_hand_is_completed_and_one_that_does_not_work_replaced(project: Project) -> None:
    subprocess.run([project.environ["PYTHON"], "-m", "venv", project.venv], check=True)
    (project.venv / "mine").touch()
    assert project.run("seed")[:2] == (0, project.said())
    assert (project.venv / "mine").exists()
    (project.venv / "bin" / "python").unlink()
    code, output, talk = project.run("seed")
    assert (code, output) == (0, project.said())
    assert "building .venv anew: its Python does not work" in talk
    assert not (project.venv / "mine").exists()


@pytest.mark.fault_tolerance
def test_a_failed_installation_says_why_and_the_next_call_goes_on(project: Project) -> None:
    (project.root / "broken").touch()
    code, output, talk = project.run("seed")
    assert (code, output) == (1, "")
    assert "set-up: could not install what is needed (is there a network?), the next call tries again\n" in talk
    assert "the mirror is down" in talk
    assert talk.count("\n") < 20
    (project.root / "broken").unlink()
    assert project.run("seed") == (0, project.said(), "setting up .venv (once, about a minute) ...\n")


@pytest.mark.fault_tolerance
def test_a_failure_leaves_what_was_complete_as_it_was(project: Project) -> None:
    project.run("seed")
    (project.root / "broken").touch()
    assert project.run("replay")[0] == 1
    assert project.run("seed") == (0, project.said(), "")


@pytest.mark.fault_tolerance
def test_a_killed_set_up_is_completed_by_the_next_call(project: Project) -> None:
    project.close_gate()
    with project.start("seed") as killed:
        assert wait_until(lambda: project.builds == 1, timeout_s=60)
        os.killpg(killed.pid, signal.SIGKILL)
    (project.root / "gate").unlink()
    code, output, talk = project.run("seed")
    assert (code, output) == (0, project.said())
    assert "building .venv anew: its set-up was interrupted" in talk


@pytest.mark.concurrency
def test_two_set_ups_at_once_wait_for_each_other(project: Project) -> None:
    project.close_gate()
    with project.start("seed", "one") as first:
        assert wait_until(lambda: project.builds == 1, timeout_s=60)
        with project.start("seed", "two") as second:
            assert second.stderr is not None
            assert second.stderr.readline() == "waiting for another set-up of .venv ...\n"
            project.open_gate()
            assert first.communicate()[0] == project.said("one")
            assert second.communicate() == (project.said("two"), "")
    assert project.builds == 1


@pytest.mark.concurrency
@pytest.mark.fault_tolerance
@pytest.mark.skipif(sys.platform != "linux", reason="finds the set-up's process in /proc")
def test_the_installer_of_a_killed_set_up_is_waited_for(project: Project) -> None:
    project.close_gate()
    with project.start("seed") as killed:
        assert wait_until(lambda: project.builds == 1, timeout_s=60)
        (setup,) = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text().split()
        os.kill(killed.pid, signal.SIGKILL)
        os.kill(int(setup), signal.SIGKILL)
        with project.start("seed") as second:
            assert second.stderr is not None
            assert second.stderr.readline() == "waiting for another set-up of .venv ...\n"
            project.open_gate()
            output, talk = second.communicate()
    assert output == project.said()
    assert "building .venv anew: its set-up was interrupted" in talk


def test_a_python_that_is_too_old_is_told_in_one_line(project: Project, tmp_path: Path) -> None:
    old = python_that(tmp_path, "python3.9", "sys.version_info = (3, 9, 2)")
    assert project.run("seed", PYTHON=old) == (
        1,
        "",
        f"seed: Python 3.11 or later is needed ({old} is 3.9): install it, or name one in PYTHON\n",
    )


def test_a_missing_venv_is_told_in_one_line(project: Project, tmp_path: Path) -> None:
    bare = python_that(tmp_path, "python3", 'sys.modules["ensurepip"] = None; sys.version_info = (3, 11, 2)')
    assert project.run("seed", PYTHON=bare) == (
        1,
        "",
        "seed: Python 3.11 is here without venv: install it (Debian, Ubuntu: apt install python3.11-venv)\n",
    )


def test_no_python_at_all_is_told_in_one_line(project: Project) -> None:
    assert project.run("seed", PYTHON="/nowhere/python") == (
        1,
        "",
        "seed: Python 3.11 or later is needed: install it, or name one in PYTHON\n",
    )


def test_the_first_python_that_will_do_is_taken(project: Project, tmp_path: Path) -> None:
    (tmp_path / "python3.13").write_text("#!/bin/sh\nexit 127\n")
    (tmp_path / "python3.13").chmod(0o755)
    python_that(tmp_path, "python3.12", "sys.version_info = (3, 9, 2)")
    python_that(tmp_path, "python3.11", 'sys.modules["ensurepip"] = None')
    (tmp_path / "python3").write_text(f'#!/bin/sh\nexec "{project.environ["PYTHON"]}" "$@"\n')
    (tmp_path / "python3").chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    assert project.run("seed", PYTHON="", PATH=path)[:2] == (0, project.said())

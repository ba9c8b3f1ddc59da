"""The wheel, built from this tree and installed alone: what is in it, what it needs, and that it runs."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("invctl", "daemon", "central")
OF_AN_EXTRA = {"psycopg": "postgres", "barcode": "labels", "opentelemetry": "otel"}
"""What is imported only where an extra was installed."""
COMMANDS = ("invctl", "invd", "invcentral")
# What a packager's checkout holds beside the packages, some of which must stay out.
FOLDERS = (*PACKAGES, "scripts", "tests")
FILES = ("pyproject.toml", "README.md", "LICENSE")


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command without this environment's settings, and expect it to succeed."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LANG": "C.UTF-8", "NO_COLOR": "1", "COLUMNS": "120"}
    process = subprocess.run(
        command, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wheel")


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    # From a copy: setuptools takes into the wheel what an earlier build left in the folder `build`.
    source = folder / "source"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source)
    # This environment's setuptools builds it, so nothing is fetched.
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, cwd=source)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, folder: Path) -> Path:
    """The commands' folder of a new environment that holds the wheel, and sees this one's other packages."""
    home = folder / "installed"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    (site,) = home.glob("lib/python*/site-packages")
    # A path in a .pth adds that folder alone, not what its own .pth files name: an editable invctl stays unseen.
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return home / "bin"


def requirements() -> dict[str, list[str]]:
    """The names of the distributions that are declared: under "" those of every installation, else by extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {"": project["dependencies"], **project["optional-dependencies"]}
    return {
        extra: [canonical(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in lines]
        for extra, lines in declared.items()
    }


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_from_outside() -> set[str]:
    """The packages that the three import, anywhere in a module, and that are neither theirs nor Python's."""
    roots = set()
    for file in (file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                roots |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                roots.add(node.module.partition(".")[0])
    return roots - sys.stdlib_module_names - set(PACKAGES) - {"_typeshed"}


def test_it_holds_the_three_packages_whole_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert names == wanted


def test_it_carries_the_licence_and_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (info,) = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        assert archive.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        metadata = archive.read(f"{info}/METADATA").decode()
    assert "Requires-Python: >=3.11" in metadata
    assert "License-Expression: MIT" in metadata


def test_every_import_is_declared() -> None:
    """Also where another dependency would bring it along: that one may stop to."""
    distributions = packages_distributions()
    needed = {package: {canonical(name) for name in distributions[package]} for package in imported_from_outside()}
    assert needed
    declared = requirements()
    undeclared = {package for package, names in needed.items() if names.isdisjoint(declared[""])}
    assert undeclared == set(OF_AN_EXTRA)
    assert all(needed[package] & set(declared[extra]) for package, extra in OF_AN_EXTRA.items())


def test_every_dependency_is_used() -> None:
    used = {canonical(name) for package in imported_from_outside() for name in packages_distributions()[package]}
    assert set(requirements()[""]) - used == set()


@pytest.mark.cli
@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_run(installed: Path, folder: Path, command: str) -> None:
    assert f"Usage: {command}" in run(installed / command, "--help", cwd=folder).stdout
    version = re.search(r"-([\d.]+)-py3", next(folder.glob("*.whl")).name)
    assert version is not None
    assert version.group(1) in run(installed / command, "--version", cwd=folder).stdout


def test_it_runs_its_own_modules(installed: Path, folder: Path) -> None:
    code = f"import {', '.join(PACKAGES)}; print(*(p.__file__ for p in ({', '.join(PACKAGES)})))"
    for file in run(installed / "python", "-c", code, cwd=folder).stdout.split():
        assert Path(file).is_relative_to(installed.parent)


@pytest.mark.cli
def test_a_store_and_head_office_can_be_opened_with_it(installed: Path, folder: Path) -> None:
    """Which takes the files that are not modules: the migrations."""
    run(installed / "invctl", "--home", folder / "downtown", "init", "downtown", "--name", "Downtown", cwd=folder)
    run(installed / "invctl", "--home", folder / "downtown", "verify", cwd=folder)
    run(installed / "invcentral", "--home", folder / "office", "init", cwd=folder)
    run(installed / "invcentral", "--home", folder / "office", "verify", cwd=folder)

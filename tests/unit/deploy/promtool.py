"""Prometheus and its own tool: a system's to bring, not Python's."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def promtool_says(command: str, kind: str, path: Path) -> str:
    """Run promtool on a file, which it has to find good. Skips the test where there is none."""
    done = subprocess.run([program("promtool"), command, kind, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def program(name: str) -> str:
    """Find `promtool` or `prometheus`. Skips the test where there is none."""
    variable = f"INVCTL_TEST_{name.upper()}"
    found = os.environ.get(variable) or shutil.which(name)
    if not found:
        pytest.skip(f"needs {name}: on the PATH, or named by {variable}")
    return found

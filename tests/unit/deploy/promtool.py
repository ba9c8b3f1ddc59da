"""Prometheus's own tool."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def promtool_says(command: str, kind: str, path: Path) -> str:
    """Run it on a file, which it has to find good. Skips the test where there is none: it is not Python's to bring."""
    found = os.environ.get("INVCTL_TEST_PROMTOOL") or shutil.which("promtool")
    if not found:
        pytest.skip("needs promtool: on the PATH, or named by INVCTL_TEST_PROMTOOL")
    done = subprocess.run([found, command, kind, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

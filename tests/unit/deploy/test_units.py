"""The units of systemd: understood by it, hardened, and about what there is."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from typing import TYPE_CHECKING

import pytest

from invctl.runtime.health import STALLED_AFTER_S
from tests.unit.deploy.files import ROOT, UNITS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fault_tolerance

NAMES = ("invd@.service", "invcentral.service")
STOP_LIMIT_S = 2.0
EXPOSURE_MAX = 20
"""Of 100, as `systemd-analyze security` counts: below 20 it says that all is well."""


def settings(name: str) -> dict[str, str]:
    """The settings of a unit, by name; of one that is there twice, the last."""
    lines = (UNITS / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))


@pytest.fixture(params=NAMES)
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit, of which the program is there: systemd looks for it."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    text = (UNITS / request.param).read_text(encoding="utf-8")
    unit = tmp_path / str(request.param)
    unit.write_text(re.sub(r"/opt/invctl/bin/\w+", "/bin/true", text))
    return unit


def analyze(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *command], capture_output=True, text=True, check=False)


def test_systemd_understands_them(installed: Path) -> None:
    done = analyze("verify", "--recursive-errors=no", str(installed))
    # A setting that it does not know is only warned of; what else lies on this machine is not our matter.
    assert done.returncode == 0, done.stderr
    assert installed.name not in done.stderr


def test_they_are_hardened(installed: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", str(installed))
    if "unrecognized option" in done.stderr:
        pytest.skip("needs systemd 250 or later")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_they_start_what_is_installed_and_are_told_that_it_is_ready(name: str) -> None:
    unit = settings(name)
    program, command, *_ = shlex.split(unit["ExecStart"])
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert program.rpartition("/")[2] in scripts
    assert command == "run"
    assert unit["Type"] == "notify"
    # One that a clerk makes wait is not one that hangs; and it ends by itself before it is ended.
    assert float(unit["WatchdogSec"]) > STALLED_AFTER_S
    assert float(unit["TimeoutStopSec"]) > STOP_LIMIT_S
    # It may write where it works, and nowhere else.
    folder = unit["ReadWritePaths"]
    assert folder in unit["ExecStart"] or unit["Environment"] == f"INVCENTRAL_HOME={folder}"

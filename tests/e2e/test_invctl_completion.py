"""What shells complete: commands, options, items, open reservations; and that it never gets in the way."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.clerk import INVCTL, environment, hold_in_the_past

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.clerk import Clerk

pytestmark = pytest.mark.cli

SKUS = ["KEYBOARD-001", "LAPTOP-001", "MOUSE-001"]


def ask(clerk: Clerk, *typed: str) -> list[str]:
    done = clerk("completion", "words", "--", *typed)
    assert (done.code, done.err) == (0, "")
    return done.out.splitlines()


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (["st"], ["stock", "status"]),
        (["product", "ed"], ["edit"]),
        (["stock", ""], ["import", *SKUS]),
        (["stock", "M"], ["MOUSE-001"]),
        (["stock", "mou"], ["mouse-001"]),
        (["stock", "import", ""], []),
        (["stock", "MOUSE-001", ""], []),
        (["reserve", "MOUSE-001", "--order", "A", "L"], ["LAPTOP-001"]),
        (["reserve", "MOUSE-001=2", "L"], ["LAPTOP-001"]),
        # As bash divides words.
        (["reserve", "MOUSE-001", "="], []),
        (["reserve", "MOUSE-001", "=", "1"], []),
        (["adjust", "--reason", "=", "dam"], ["damaged"]),
        (["adjust", "--reason=dam"], ["--reason=damaged"]),
        (["adjust", "MOUSE-001", "-1", "--reason", "cy"], ["cycle_count"]),
        (["reservations", "--sku", "K"], ["KEYBOARD-001"]),
        (["-o", "cs"], ["csv"]),
        (["-o", "csv", "histo"], ["history"]),
        (["adjust", "--re"], ["--reason", "--request-id"]),
        (["product", "show", ""], SKUS),
        (["nonsense", ""], []),
        (["--nonsense", "stoc"], ["stock"]),
    ],
)
def test_words(clerk: Clerk, typed: list[str], found: list[str]) -> None:
    assert ask(clerk, *typed) == found


def test_open_reservations(clerk: Clerk) -> None:
    hold_in_the_past(clerk.home, LAPTOP=1)
    keys = [clerk("reserve", "MOUSE-001", "-q").out.strip() for _ in range(2)]
    clerk("cancel", keys[0])
    for command in ("confirm", "cancel", "extend", "show"):
        assert ask(clerk, command, "") == keys[1:]
    assert ask(clerk, "confirm", keys[1][:4]) == keys[1:]
    assert ask(clerk, "confirm", keys[1][:4].lower()) == [keys[1].lower()]
    assert ask(clerk, "confirm", keys[1], "M") == ["MOUSE-001"]


def test_another_store_and_none(clerk: Clerk, tmp_path: Path) -> None:
    assert ask(clerk, "--home", str(tmp_path / "none"), "stock", "") == ["import"]
    assert ask(clerk, f"--home={tmp_path / 'none'}", "stock", "M") == []
    assert ask(clerk, "--home", "=", str(tmp_path / "none"), "stock", "M") == []
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "ledger.db").write_bytes(b"nonsense" * 1000)
    assert ask(clerk, "--home", str(damaged), "stock", "M") == []
    assert ask(clerk, "--home", str(clerk.home), "stock", "M") == ["MOUSE-001"]


def test_programs_may_ask_too(clerk: Clerk) -> None:
    assert clerk("completion", "words", "-o", "json", "--", "stock", "M").json == [{"word": "MOUSE-001"}]
    assert clerk("completion", "words").out.splitlines()[0] == "reserve"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_are_of_their_shells(clerk: Clerk, tmp_path: Path, shell: str) -> None:
    script = clerk("completion", shell).out
    assert "invctl completion words -- " in script
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    file = tmp_path / "script"
    file.write_text(script)
    assert subprocess.run([shell, "-n", str(file)], check=False, timeout=60).returncode == 0


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_completes(clerk: Clerk, tmp_path: Path) -> None:
    (tmp_path / "invctl").write_text(f'#!/bin/sh\nexec {" ".join(INVCTL)} "$@"\n')
    (tmp_path / "invctl").chmod(0o755)
    env = environment(clerk.home)
    env["PATH"] = f"{tmp_path}:{env['PATH']}"
    press = (
        'eval "$(invctl completion bash)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _invctl; echo "${COMPREPLY[@]}"'
    )

    def complete(*typed: str) -> str:
        argv = ["bash", "-c", press, "bash", *typed]
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    assert complete("invctl", "stock", "M") == "MOUSE-001"
    assert complete("invctl", "reserve", "") == " ".join(SKUS)
    assert complete("invctl", "prod") == "product"

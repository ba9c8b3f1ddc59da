"""What run.md says of the screens and of the program's patience is what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from invctl.cli.app import commands
from invctl.cli.link import _REFUSED, in_words, last_known
from invctl.ledger.database import BUSY_TIMEOUT_S
from invctl.ledger.ledger import QUEUE_TIMEOUT_S
from invctl.ledger.reads import LinkRow
from invctl.sync.shipper import Link

pytestmark = pytest.mark.cli

RUN = (Path(__file__).parents[3] / "run.md").read_text("utf-8")
ROWS = [line for line in RUN.splitlines() if line.startswith("| ")]


def rows_with(text: str) -> list[str]:
    return [row for row in ROWS if text in row]


@pytest.mark.parametrize("reason", _REFUSED)
def test_a_refusal_stands_there_in_the_words_of_the_screen_beside_its_name_in_json(reason: str) -> None:
    words, _, _ = in_words(LinkRow(0, 1, Link.REFUSED, reason, 0), "STORE").partition(";")
    (row,) = rows_with(f"`{words}`")
    assert f"`{reason}`" in row


def test_so_does_silence() -> None:
    never = in_words(LinkRow(0, 0, Link.UNKNOWN, "", 0), "STORE")
    unheard = in_words(LinkRow(1, 1, Link.UNKNOWN, "", 0), "STORE").removeprefix("silent: head office ")
    (row,) = rows_with(f"`{never}`")
    assert f"`{unheard}`" in row
    assert f"`{Link.UNKNOWN}`" in row
    assert rows_with(f"`{last_known(LinkRow(0, 0, Link.UNKNOWN, '', 0), 'STORE')}`")


def test_how_long_one_waits_for_the_ledger() -> None:
    (row,) = rows_with("exit code 6")
    assert f"`invd` has held the ledger for {QUEUE_TIMEOUT_S:g} seconds" in row
    assert f"another program for {BUSY_TIMEOUT_S:g} " in row


def test_every_command_of_a_clerk_is_shown() -> None:
    assert [name for name in commands() if f"invctl {name}" not in RUN] == []

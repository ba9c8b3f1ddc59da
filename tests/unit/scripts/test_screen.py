"""The demo's screen, drawn for terminals of several sizes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from central.tail import TailEvent
from scripts.chain.screen import Screen
from scripts.chain.watch import StoreView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HINTS = [f"export INVCTL_HOME=/tmp/invctl-demo-{'x' * 8}/stores/downtown", "invctl reserve MOUSE-001=2", "last hint"]
STORES = [StoreView(name, f"Tech Store {name}", 120, 118, 3.4, 250, 12) for name in ("downtown", "midtown", "brooklyn")]


def drawn(width: int, height: int, kills: Mapping[str, int] | None = None, deaths: Sequence[str] = ()) -> list[str]:
    kind = "inventory.thing.happened"
    event = {"time": "2026-11-24T09:30:00.000000Z", "type": kind, "data": {}}
    latest = [TailEvent(0, n, "downtown", n, "id", kind, 1, 2, b"", b"", event) for n in range(100)]
    screen = Screen("demo", HINTS)
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=False)
    screen.live.console = console
    screen.show(65.0, STORES, latest, kills or {}, deaths)
    console.print(screen.shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (120, 50), (72, 24)])
def test_it_fits_and_says_what_to_type(width: int, height: int) -> None:
    lines = drawn(width, height)
    assert len(lines) <= height
    assert any("last hint" in line for line in lines)
    assert any("happened" in line for line in lines)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 50)])
def test_kills_are_shown_as_they_happen_and_it_still_fits(width: int, height: int) -> None:
    deaths = [f"00:{n:02d} invcentral was killed (-9), {n} times by now; restarted" for n in (7, 8, 9)]
    lines = drawn(width, height, {"invd": 12, "invcentral": 9, "broker": 0}, deaths)
    assert len(lines) <= height
    assert any("killed so far: 12 invd, 9 invcentral" in line for line in lines)
    assert [line.strip() for line in lines if "was killed" in line] == deaths
    assert any("last hint" in line for line in lines)
    assert any("happened" in line for line in lines)


def test_a_tall_terminal_shows_more_events() -> None:
    assert len(drawn(120, 60)) > len(drawn(120, 30))

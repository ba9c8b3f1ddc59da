"""The demo's screen, drawn for terminals of several sizes."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from central.tail import TailEvent
from scripts.chain.screen import Screen
from scripts.chain.watch import StoreView

HINTS = [f"export INVCTL_HOME=/tmp/invctl-demo-{'x' * 8}/stores/downtown", "invctl reserve MOUSE-001=2", "last hint"]
STORES = [StoreView(name, f"Tech Store {name}", 120, 118, 3.4, 250, 12) for name in ("downtown", "midtown", "brooklyn")]


def drawn(width: int, height: int) -> list[str]:
    kind = "inventory.thing.happened"
    event = {"time": "2026-11-24T09:30:00.000000Z", "type": kind, "data": {}}
    latest = [TailEvent(0, n, "downtown", n, "id", kind, 1, 2, b"", b"", event) for n in range(100)]
    screen = Screen("demo", HINTS)
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=False)
    screen.live.console = console
    screen.show(65.0, STORES, latest)
    console.print(screen.shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (120, 50), (72, 24)])
def test_it_fits_and_says_what_to_type(width: int, height: int) -> None:
    lines = drawn(width, height)
    assert len(lines) <= height
    assert any("last hint" in line for line in lines)
    assert any("happened" in line for line in lines)


def test_a_tall_terminal_shows_more_events() -> None:
    assert len(drawn(120, 60)) > len(drawn(120, 30))

"""The demo's screen: both sides live, and what to type in a second terminal."""

from __future__ import annotations

import contextlib
import io
import select
import sys
import termios
import tty
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from central.cli.words import describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from rich.console import RenderableType

    from central.tail import TailEvent
    from scripts.chain.watch import StoreView

COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")


class Screen:
    """The terminal, taken over until it is left. Keys are read without Enter."""

    def __init__(self, title: str, hints: Sequence[str]) -> None:
        """Keep what stands at the top and at the bottom."""
        self._title = title
        self._hints = hints
        self.shown: RenderableType = ""
        self.live = Live(console=Console(), screen=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._keys = _keys()
        self._keys.__enter__()
        self.live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.__exit__(None, None, None)
        self._keys.__exit__(None, None, None)

    def show(
        self,
        elapsed_s: float,
        stores: Sequence[StoreView],
        latest: Sequence[TailEvent],
        kills: Mapping[str, int],
        deaths: Sequence[str],
    ) -> None:
        """Draw everything anew. What to type stays on the screen: the events take what is left.

        `kills` counts what was killed, by kind, and `deaths` are the latest processes that died, in words.
        """
        killed = ", ".join(f"{count} {kind}" for kind, count in kills.items() if count)
        head = f" {int(elapsed_s) // 60:02d}:{int(elapsed_s) % 60:02d} running, q ends it"
        head += f"; killed so far: {killed}" if killed else " and prints the proof"
        # Nothing has died: nothing takes the place of the blank line.
        died = Text("\n".join(f" {told}" for told in deaths), style="red", no_wrap=True, overflow="ellipsis")
        colours = {store.store: COLOURS[index % len(COLOURS)] for index, store in enumerate(stores)}
        width, height = self.live.console.size

        def drawn(events: Sequence[TailEvent]) -> Group:
            return Group(
                Text(f" {self._title}", style="bold"),
                Text(head, "dim", no_wrap=True, overflow="ellipsis"),
                died,
                _framed(stores_table(stores, colours), "Stores and head office"),
                _framed(events_table(events, colours, width - 6), "Latest at head office"),
                # Without a frame, so that it can be copied.
                Text(" In a second terminal", style="bold"),
                Text("\n".join("   " + hint for hint in self._hints)),
            )

        # A row more for an empty frame, and one for the cursor.
        rows = height - len(self.live.console.render_lines(drawn([]), pad=False)) - 1
        self.shown = drawn(list(latest)[-max(rows, 1) :])
        self.live.update(self.shown, refresh=True)

    def save(self, path: Path) -> None:
        """Write what was shown last as a picture (SVG)."""
        console = Console(record=True, width=self.live.console.width, file=io.StringIO())
        console.print(self.shown)
        console.save_svg(str(path), title="scripts/demo")

    def ended(self, timeout_s: float) -> bool:
        """Wait for a key. Says whether it was q."""
        ready, _, _ = select.select([sys.stdin], [], [], timeout_s)
        return bool(ready) and sys.stdin.read(1) in ("q", "Q")


def _framed(content: RenderableType, title: str) -> Panel:
    return Panel(content, title=title, title_align="left", box=box.ROUNDED)


def stores_table(stores: Sequence[StoreView], colours: dict[str, str]) -> RenderableType:
    """Lay out one row a store."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
    table.add_column("Store", no_wrap=True)
    for heading in ("Ledger", "Office", "Behind", "Lag ms", "On hand", "Open"):
        table.add_column(heading, justify="right", no_wrap=True)
    for store in stores:
        behind = max(store.head_seq - store.applied_seq, 0)
        table.add_row(
            Text(store.name, style=colours[store.store]),
            str(store.head_seq),
            str(store.applied_seq),
            Text(str(behind), style="green" if not behind else "yellow"),
            "" if store.lag_ms is None else f"{store.lag_ms:.1f}",
            str(store.on_hand),
            str(store.open_reservations),
        )
    return table


def events_table(latest: Sequence[TailEvent], colours: dict[str, str], width: int) -> RenderableType:
    """Lay out one row an event, as head office committed them."""
    table = Table(box=None, show_header=False, pad_edge=False, width=width)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right", style="dim")
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, justify="right", style="dim")
    for event in latest:
        lag = "" if event.time_us is None else f"{(event.applied_us - event.time_us) / 1000:.1f} ms"
        time = event.event["time"][11:23] if event.event else ""
        table.add_row(time, Text(event.store, style=colours.get(event.store, "")), str(event.seq), describe(event), lag)
    return table


@contextlib.contextmanager
def _keys() -> Iterator[None]:
    """Let keys arrive as they are pressed, and put the terminal back afterwards."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)

"""Say that head office itself does not run, where its numbers would otherwise blame the stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.cli.command import home
from central.cli.following import wait_for_reader
from central.home import is_held

if TYPE_CHECKING:
    from typer._click import Context

    from invctl.clock import Clock
    from invctl.console.output import Output

LOOK_EVERY_S = 1.0
NOT_RUNNING = "no central runs in this home: what is shown is as it was left; `invcentral run` starts it"


def tell_if_stopped(ctx: Context, out: Output) -> None:
    """Say so on stderr where no central of this home runs. It may still be served from another machine."""
    if not is_held(home(ctx)):
        out.talk([("note:", "bold yellow"), f" {NOT_RUNNING}"])


class PresenceWatch:
    """Passes the time between two looks of a tail, and says when the central of this home stops and comes back."""

    def __init__(self, ctx: Context, out: Output, clock: Clock) -> None:
        """Begin with what is so now, which `tell_if_stopped` has said."""
        self._home = home(ctx)
        self._out = out
        self._clock = clock
        self._held = is_held(self._home)
        self._due_s = clock.monotonic_s()

    def wait(self, seconds: float) -> None:
        """Wait, as `wait_for_reader` does."""
        wait_for_reader(seconds)
        if self._clock.monotonic_s() < self._due_s:
            return
        self._due_s = self._clock.monotonic_s() + LOOK_EVERY_S
        held = is_held(self._home)
        if held != self._held:
            self._held = held
            self._out.talk("a central runs in this home again" if held else "the central of this home has stopped")

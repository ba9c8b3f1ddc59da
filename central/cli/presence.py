"""Say that head office itself does not run, where its numbers would otherwise blame the stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.centrals import living
from central.cli.command import home
from central.cli.following import wait_for_reader
from central.database import reading
from central.home import is_held
from invctl.errors import BusyError, UnreachableError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from typer._click import Context

    from invctl.clock import Clock
    from invctl.console.output import Output

LOOK_EVERY_S = 1.0
NOT_RUNNING = "no central runs: what is shown is as it was left; `invcentral run` starts one"


def tell_if_stopped(ctx: Context, out: Output, connection: Connection) -> None:
    """Say so on stderr where no central runs, neither in this home nor elsewhere on this database."""
    if not _runs(ctx, connection):
        out.talk([("note:", "bold yellow"), f" {NOT_RUNNING}"])


class PresenceWatch:
    """Passes the time between two looks of a tail, and says when the last central stops, and when one is back."""

    def __init__(self, ctx: Context, out: Output, engine: Engine, clock: Clock) -> None:
        """Begin with what is so now, and say it where no central runs."""
        self._ctx = ctx
        self._out = out
        self._engine = engine
        self._clock = clock
        self._due_s = clock.monotonic_s()
        with reading(engine) as connection:
            self._runs = _runs(ctx, connection)
            tell_if_stopped(ctx, out, connection)

    def wait(self, seconds: float) -> None:
        """Wait, as `wait_for_reader` does."""
        wait_for_reader(seconds)
        if self._clock.monotonic_s() < self._due_s:
            return
        self._due_s = self._clock.monotonic_s() + LOOK_EVERY_S
        try:
            with reading(self._engine) as connection:
                runs = _runs(self._ctx, connection)
        except (BusyError, UnreachableError):
            # Whoever reads the stream says so.
            return
        if runs != self._runs:
            self._runs = runs
            self._out.talk("a central runs again" if runs else "the last central has stopped")


def _runs(ctx: Context, connection: Connection) -> bool:
    return is_held(home(ctx)) or bool(living(connection))

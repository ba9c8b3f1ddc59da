"""What every command of `invcentral` has: the home, and the way into the database."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from central.database import IDLE_IN_TRANSACTION_S, open_database, reading
from central.migrations import require_current
from central.settings import DATABASE_FILE, HOME_VARIABLE, default_database_url, home_of, load
from invctl.clock import SystemClock
from invctl.console.command import Command
from invctl.console.options import Parsed, shared, shared_option
from invctl.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine
    from typer._click import Context
    from typer.core import TyperOption

    from central.settings import CentralSettings


class CentralCommand(Command):
    """A command of head office: it has `--home`."""

    @classmethod
    def shared_options(cls) -> list[TyperOption]:
        """Make the options that every command has."""
        text = "Head office's folder, ~/.invcentral unless said otherwise."
        home = shared_option("--home", text=text, kind=Parsed("FOLDER", str), envvar=HOME_VARIABLE)
        return [home, *super().shared_options()]


def home(ctx: Context) -> Path:
    """Return central's folder."""
    return home_of(shared(ctx, "home"), os.environ)


@contextmanager
def open_engine(ctx: Context) -> Iterator[Engine]:
    """Open central's database for the time of a command.

    Raises NotFoundError where it was never set up, and as `open_database` and `require_current` do.
    """
    with opened(settings(ctx).database_url) as engine:
        require_current(engine)
        yield engine


def settings(ctx: Context, **given: str | None) -> CentralSettings:
    """Return the settings of a central that was set up. `given` is what flags say, as `load` takes it.

    Raises NotFoundError where it was not set up.
    """
    folder = home(ctx)
    found = load(folder, os.environ, **given)
    if found.database_url == default_database_url(folder) and not (folder / DATABASE_FILE).exists():
        raise NotFoundError(f"head office was never set up in {folder}", hint="run: invcentral init")
    return found


@contextmanager
def opened(url: str, *, create: bool = False, idle_in_transaction_s: float = IDLE_IN_TRANSACTION_S) -> Iterator[Engine]:
    """Open a database as `open_database` does, and close it."""
    engine = open_database(url, clock=SystemClock(), create=create, idle_in_transaction_s=idle_in_transaction_s)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def read(ctx: Context) -> Iterator[Connection]:
    """Open central's database to read one state of it."""
    with open_engine(ctx) as engine, reading(engine) as connection:
        yield connection

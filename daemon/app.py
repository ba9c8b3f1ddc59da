"""The command line of `invd`, and the one place where its parts are chosen by name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from invctl.console.lazy import Entry, LazyGroup
from invctl.console.main import run

if TYPE_CHECKING:
    from invctl.console.lazy import Table

TEXT = "The daemon beside a store's ledger: carries every event to head office, and lets what is due expire."

COMMANDS: Table = {
    "run": Entry("daemon.command:run_stores", "Serve one or many stores, in the foreground, until a signal."),
}


def build() -> LazyGroup:
    """Make the command group."""
    from invctl import __version__  # noqa: PLC0415 - read where it is shown

    return LazyGroup("invd", COMMANDS, text=TEXT, version=__version__)


def main() -> None:
    """Run `invd`, and end the process with its exit code."""
    sys.exit(run("invd", build))

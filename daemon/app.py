"""The command line of `invd`, and the one place where its parts are chosen by name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invctl.console.lazy import LazyGroup

TEXT = "The daemon beside a store's ledger: carries every event to head office, and lets what is due expire."


def build() -> LazyGroup:
    """Make the command group."""
    # Imported inside the funnel, so that Ctrl-C is quiet then, too.
    from invctl import __version__  # noqa: PLC0415
    from invctl.console.lazy import Entry, LazyGroup  # noqa: PLC0415

    summary = "Serve one or many stores, in the foreground, until a signal."
    return LazyGroup("invd", {"run": Entry("daemon.command:run_stores", summary)}, text=TEXT, version=__version__)


def main() -> None:
    """Run `invd`, and end the process with its exit code."""
    try:
        # Loading this takes some milliseconds, too.
        from invctl.console.main import run  # noqa: PLC0415

        code = run("invd", build)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)

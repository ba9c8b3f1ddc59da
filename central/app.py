"""The command line of `invcentral`: which commands there are. One is imported only when it is called."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invctl.console.lazy import LazyGroup, Table

TEXT = """Head office: one database of all stores, milliseconds behind each of them.

Every number says how fresh it is. A store that speaks for the first time waits to be admitted.

    invcentral init
    invcentral run
    invcentral stores admit downtown
    invcentral tail
"""


def commands() -> Table:
    """Return the table of commands, in the order in which they are listed."""
    from invctl.console.lazy import Entry, Family  # noqa: PLC0415 - see `build`

    service, numbers = "The service", "What the stores have"
    stores = {
        "list": Entry("central.cli.stores:list_", "List the stores, and those that wait to be admitted."),
        "show": Entry("central.cli.stores:show", "Show one store, and who asks to rejoin."),
        "admit": Entry("central.cli.stores:admit", "Admit stores: from now on their events are applied."),
        "remove": Entry("central.cli.stores:remove", "Take a store off the list, of which nothing was applied."),
        "readmit": Entry("central.cli.stores:readmit", "Let a daemon rejoin whose ledger lost history."),
    }
    suspects = {
        "list": Entry("central.cli.suspects:list_", "List the SKUs whose level is in doubt, and why."),
        "show": Entry("central.cli.suspects:show", "Show why one is in doubt, and what to do."),
        "clear": Entry("central.cli.suspects:clear", "Settle doubts by an operator's word."),
    }
    checked = "central.cli.check_command:CheckCommand"
    checks = {
        "lag": Entry("central.cli.check:lag", "Is a store ahead of what is here?", made_by=checked),
        "freshness": Entry("central.cli.check:freshness", "Is what is here still proved complete?", made_by=checked),
        "suspects": Entry("central.cli.check:suspects", "Is a level in doubt?", made_by=checked),
    }
    return {
        "init": Entry("central.cli.init:init", "Set up head office: its folder, settings and database.", service),
        "run": Entry("central.cli.run:run", "Serve the stores, in the foreground, until a signal.", service),
        "status": Entry(
            "central.cli.status:status", "Show whether it runs, and how far it is with each store.", service
        ),
        "check": Family(checks, "One line for a monitor such as Nagios, with its exit codes.", service),
        "stores": Family(stores, "Which stores there are, and who may join.", service),
        "tail": Entry("central.cli.tail:tail", "Follow what head office commits, live.", numbers),
        "stock": Entry("central.cli.stock:stock", "Show what the stores have, and how fresh that is.", numbers),
        "reservations": Entry("central.cli.reservations:reservations", "List the stores' reservations.", numbers),
        "trace": Entry("central.cli.trace:trace", "Show where an event or a reservation is on its way.", numbers),
        "suspects": Family(suspects, "Which numbers are in doubt.", numbers),
        "verify": Entry("central.cli.verify:verify", "Replay the archive and compare.", numbers),
        "close": Entry("central.cli.close:close", "Certify that a day is here, whole, of every store.", numbers),
    }


def build() -> LazyGroup:
    """Make the command group."""
    # Imported inside the funnel, so that Ctrl-C is quiet then, too.
    from central.cli.command import CentralCommand  # noqa: PLC0415
    from invctl import __version__  # noqa: PLC0415
    from invctl.console.lazy import LazyGroup  # noqa: PLC0415

    return LazyGroup("invcentral", commands(), text=TEXT, version=__version__, command_class=CentralCommand)


def main() -> None:
    """Run `invcentral`, and end the process with its exit code."""
    try:
        # Loading this takes some milliseconds, too.
        from invctl.console.main import run  # noqa: PLC0415

        code = run("invcentral", build)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)

"""The command line of `invctl`: which commands there are. One is imported only when it is called."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from invctl.console.lazy import LazyGroup, Table

TEXT = """Keep a store's stock, and sell from it.

Everything happens in the store's own ledger, with or without a network; its daemon (`invctl daemon start`) carries
each change to head office.

    invctl init downtown --name "Tech Store Downtown"
    invctl product add MOUSE-001 --name "Wireless mouse" --price 80.00
    invctl receive MOUSE-001 100
    invctl reserve MOUSE-001=2 --order A-17
    invctl confirm R-7K4QMQ
"""


def commands() -> Table:
    """Return the table of commands, in the order in which they are listed."""
    from invctl.console.lazy import Entry, Family  # noqa: PLC0415 - see `build`

    selling, stock, store = "Selling", "Stock", "The store"
    product = {
        "add": Entry("invctl.cli.product:add", "Add a product to what the store carries."),
        "list": Entry("invctl.cli.product:list_", "List the products."),
        "show": Entry("invctl.cli.product:show", "Show one product and what there is of it."),
        "edit": Entry("invctl.cli.product:edit", "Change a product's name or price."),
        "import": Entry("invctl.cli.imports:product", "Add and change the products of a CSV file."),
    }
    product["reorder"] = Entry("invctl.cli.reorder:reorder", "Set at which level an item is low.")
    barcode = {
        "add": Entry("invctl.cli.barcode:add", "Let a barcode stand for an item."),
        "remove": Entry("invctl.cli.barcode:remove", "Let a barcode stand for nothing any more."),
        "list": Entry("invctl.cli.barcode:list_", "List the barcodes."),
    }
    count = {
        "start": Entry("invctl.cli.count:start", "Begin a count."),
        "line": Entry("invctl.cli.count:line", "Note what is on the shelf of an item now."),
        "status": Entry("invctl.cli.count:status", "Show what was counted, and how it differs."),
        "finish": Entry("invctl.cli.count:finish", "Post the differences, and end the count."),
        "cancel": Entry("invctl.cli.count:cancel", "End the count, and post nothing."),
    }
    export = {
        "products": Entry("invctl.cli.export:products", "Every product."),
        "stock": Entry("invctl.cli.export:stock", "What there is of every item."),
        "reservations": Entry("invctl.cli.export:reservations", "Every reservation, ended or not."),
        "history": Entry("invctl.cli.export:history", "Every event, from the first."),
    }
    completion = {
        "bash": Entry("invctl.cli.completion:bash", "Print the script for bash."),
        "zsh": Entry("invctl.cli.completion:zsh", "Print the script for zsh."),
        "fish": Entry("invctl.cli.completion:fish", "Print the script for fish."),
        "words": Entry("invctl.cli.completion:words", "What these scripts ask: how the words typed so far go on."),
    }
    config = {"show": Entry("invctl.cli.config:show", "Show every setting and, if asked, where it comes from.")}
    daemon = {
        "start": Entry("invctl.cli.daemon:start", "Start the daemon in the background, and wait until it runs."),
        "stop": Entry("invctl.cli.daemon:stop", "End the daemon, and wait until it has ended."),
        "status": Entry("invctl.cli.daemon:status", "Tell whether the daemon runs."),
        "logs": Entry("invctl.cli.logs:logs", "Show what the daemon wrote to its log."),
    }
    return {
        "reserve": Entry("invctl.cli.reserve:reserve", "Hold stock for a customer, all lines or none.", selling),
        "scan": Entry("invctl.cli.scan:scan", "Serve the counter with a scanner.", selling),
        "sell": Entry("invctl.cli.sell:sell", "Reserve and confirm in one step.", selling),
        "return": Entry("invctl.cli.sell:return_", "Take back what was sold.", selling),
        "confirm": Entry("invctl.cli.settle:confirm", "Post the sale of a reservation, whole or in part.", selling),
        "cancel": Entry("invctl.cli.settle:cancel", "Release a reservation.", selling),
        "extend": Entry("invctl.cli.settle:extend", "Hold a reservation for longer.", selling),
        "undo": Entry("invctl.cli.undo:undo", "Undo the last action.", selling),
        "reservations": Entry(
            "invctl.cli.reservations:reservations", "List the open reservations, or others.", selling
        ),
        "show": Entry("invctl.cli.show:show", "Show a reservation and its story.", selling),
        "stock": Entry("invctl.cli.stock:stock", "Show what is on hand, reserved and available.", stock),
        "stock import": Entry("invctl.cli.imports:stock", "Take in, or correct, what a CSV file says.", stock),
        "receive": Entry("invctl.cli.adjust:receive", "Take in a delivery.", stock),
        "adjust": Entry("invctl.cli.adjust:adjust", "Correct what is on hand, with a reason.", stock),
        "history": Entry("invctl.cli.history:history", "Show the last events of an item, or of the store.", stock),
        "count": Family(count, "Count the shelves, while trade goes on.", stock),
        "export": Family(export, "Write out all that there is, for other programs.", stock),
        "product": Family(product, "What the store carries.", stock),
        "barcode": Family(barcode, "Other names of the items, as their labels have them.", stock),
        "init": Entry("invctl.cli.init:init", "Open a new store.", store),
        "status": Entry("invctl.cli.status:status", "Show the ledger, the daemon and the link to head office.", store),
        "backup": Entry("invctl.cli.backup:backup", "Copy the ledger into one file, while clerks work.", store),
        "restore": Entry("invctl.cli.restore:restore", "Put a backup in the place of the ledger.", store),
        "sync": Entry("invctl.cli.sync:sync", "Wait until head office has everything.", store),
        "verify": Entry("invctl.cli.verify:verify", "Replay the ledger and check that it holds.", store),
        "config": Family(config, "The settings of this store.", store),
        "doctor": Entry("invctl.cli.doctor:doctor", "Look whether all is well, and say what mends what is not.", store),
        "completion": Family(completion, "Let the shell complete commands, items and reservations.", store),
        "daemon": Family(daemon, "The daemon that carries every change to head office.", store),
    }


def build() -> LazyGroup:
    """Make the command group."""
    # Imported inside the funnel: loading Typer is most of a command's time, and Ctrl-C may come meanwhile.
    from invctl import __version__  # noqa: PLC0415
    from invctl.cli.command import StoreCommand  # noqa: PLC0415
    from invctl.console.lazy import LazyGroup  # noqa: PLC0415

    return LazyGroup("invctl", commands(), text=TEXT, version=__version__, command_class=StoreCommand)


def _language() -> str:
    """Return the locale to speak in: the clerk's own; to a program, which is what asks for JSON or CSV, English."""
    from invctl.language import ENGLISH, asked, of  # noqa: PLC0415 - see `build`

    locale, _ = asked(os.environ)
    if of(locale) == ENGLISH:
        return ENGLISH
    from invctl.console.failures import wanted_format  # noqa: PLC0415 - costs, and English does without

    return locale if wanted_format(sys.argv[1:]) == "table" else ENGLISH


def main() -> NoReturn:
    """Run `invctl`, and end the process with its exit code."""
    try:
        # Loading this takes some milliseconds, too.
        from invctl import language  # noqa: PLC0415
        from invctl.console.main import run  # noqa: PLC0415

        language.speak(_language())
        code = run("invctl", build)
    except KeyboardInterrupt:
        code = 130
    # Taking the interpreter down costs a tenth of a command's time, and nothing waits for it: the ledger is closed,
    # and what was to be written is out when `run` returns.
    os._exit(code)

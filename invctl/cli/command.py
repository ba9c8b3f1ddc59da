"""What every command of `invctl` has: the store's folder, and the way into its ledger."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from invctl.console.command import Command, output
from invctl.console.options import Parsed, shared, shared_option
from invctl.errors import NotEnoughStockError, NotFoundError, WrongStateError
from invctl.language import _
from invctl.ledger.ledger import Ledger
from invctl.settings import disk_reserve_bytes, home_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from typer._click import Context
    from typer.core import TyperOption


class StoreCommand(Command):
    """A command on one store: it has `--home`."""

    @classmethod
    def shared_options(cls) -> list[TyperOption]:
        """Make the options that every command has."""
        text = "The store's folder, ~/.invctl unless said otherwise."
        home = shared_option("--home", text=text, kind=Parsed("FOLDER", str), envvar="INVCTL_HOME")
        return [home, *super().shared_options()]


def home(ctx: Context) -> Path:
    """Return the store's folder."""
    return home_of(shared(ctx, "home"), os.environ)


def meant(ledger: Ledger, text: str) -> str:
    """Return the SKU that is meant by a SKU or a barcode; what is neither, as it is."""
    if ledger.row("SELECT 1 FROM products WHERE sku = ?", (text,)):
        return text
    from invctl.ledger import barcodes  # noqa: PLC0415 - most name the item by its SKU

    return barcodes.meant(ledger, text)


def meant_lines(ledger: Ledger, lines: Mapping[str, int]) -> dict[str, int]:
    """Return the same units by the SKUs that are meant, in the order in which those first appear."""
    summed: dict[str, int] = {}
    for text, quantity in lines.items():
        sku = meant(ledger, text)
        summed[sku] = summed.get(sku, 0) + quantity
    return summed


@contextmanager
def open_ledger(ctx: Context) -> Iterator[Ledger]:
    """Open the store's ledger for the time of a command. Raises as `Ledger.open` does.

    A refusal that passes through is put into words for a person, where a person reads it.
    """
    folder = home(ctx)
    with Ledger.open(folder, reserve_bytes=disk_reserve_bytes(folder, os.environ)) as ledger:
        try:
            yield ledger
        except (NotEnoughStockError, NotFoundError, WrongStateError) as refusal:
            people = output(ctx).fmt == "table"
            if people and refusal.details.get("replayed"):
                output(ctx).talk(_("note: this request was refused before; this is the answer of then"))
            if isinstance(refusal, NotFoundError) and "sku" in refusal.details:
                from invctl.cli.nearest import with_nearest  # noqa: PLC0415 - costs, and is rare

                raise with_nearest(refusal, ledger) from refusal
            if not people or isinstance(refusal, NotFoundError):
                raise
            from invctl.cli.refusals import for_people  # noqa: PLC0415 - costs, and is rare

            raise for_people(refusal, ledger) from refusal

"""Commands that do one thing."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from invctl.console.command import output
from invctl.console.options import DURATION, shared


def adjust(
    ctx: typer.Context,
    sku: Annotated[str, typer.Argument(help="The product.")],
    quantity: Annotated[int, typer.Argument(help="How many more, or less.")],
    notes: Annotated[list[str] | None, typer.Argument()] = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "correction",
    hold_s: Annotated[int | None, typer.Option("--for", click_type=DURATION, help="How long.")] = None,
    kind: Annotated[Literal["in", "out"] | None, typer.Option(help="Which kind.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing.")] = False,
) -> None:
    """Correct the stock of a product.

    Corrections append;
    nothing is edited.

        shop adjust MOUSE-001 -1 --reason damaged
        shop adjust MOUSE-001  3
    """
    record = {"sku": sku, "quantity": quantity, "reason": reason, "hold_s": hold_s, "notes": notes} | {
        "kind": kind,
        "dry_run": dry_run,
    }
    output(ctx).talk("Nobody else is at it.")
    output(ctx).result(record, message=f"Adjusted {sku} by {quantity}.", ident=sku)


def where(ctx: typer.Context) -> None:
    """Tell which folder is used."""
    home = shared(ctx, "home")
    output(ctx).result({"home": home}, message=f"In {home}.")

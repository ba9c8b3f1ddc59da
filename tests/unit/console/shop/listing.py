"""Commands that write lists."""

from __future__ import annotations

import typer  # noqa: TC002 - Typer reads the annotations

from invctl.console.command import output
from invctl.console.output import Column

COLUMNS = [Column("sku", "SKU"), Column("on_hand"), Column("name")]
STOCK = [
    {"sku": "MOUSE-001", "on_hand": 5, "name": "Souris café"},
    {"sku": "LAPTOP-001", "on_hand": 1500, "name": "[bold]Laptop[/bold]"},
]


def stock(ctx: typer.Context) -> None:
    """Show what is there."""
    output(ctx).rows(COLUMNS, STOCK)


def many(ctx: typer.Context, count: int) -> None:
    """Write many lines."""
    output(ctx).rows(COLUMNS, ({"sku": f"SKU-{n}", "on_hand": n, "name": "x" * 100} for n in range(count)))


def plain() -> None:
    """Write without the help of the console, as a script may."""
    print("plain")  # noqa: T201 - to the test


def follow(ctx: typer.Context) -> None:
    """Show what happens."""
    emit = output(ctx).stream(COLUMNS)
    for record in STOCK:
        emit(record, [str(record["sku"]), (" arrived", "green")])

"""What a clerk's command costs at the least: a Typer command with `reserve`'s options that commits one row durably."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Optional

import apsw
import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def reserve(
    lines: Annotated[list[str], typer.Argument()],
    order: Annotated[str, typer.Option("--order")] = "",
    hold: Annotated[str, typer.Option("--for")] = "30m",
    clerk: Annotated[str, typer.Option("--clerk")] = "",
    request_id: Annotated[Optional[str], typer.Option("--request-id")] = None,  # noqa: UP045 - as Typer 0.28 documents it
    home: Annotated[str, typer.Option("--home")] = ".",
    output: Annotated[str, typer.Option("-o", "--output")] = "table",
    quiet: Annotated[bool, typer.Option("-q", "--quiet")] = False,
) -> None:
    """Commit one row, and say so."""
    connection = apsw.Connection(home)
    connection.execute("PRAGMA synchronous = FULL")
    body = json.dumps({"lines": lines, "order": order, "hold": hold, "clerk": clerk, "request": request_id})
    digest = hashlib.blake2b(body.encode(), digest_size=32).digest()
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO rows (body, hash) VALUES (?, ?)", (body, digest))
    connection.execute("COMMIT")
    if not quiet:
        print(json.dumps({"reserved": lines}) if output == "json" else f"reserved {' '.join(lines)}")


if __name__ == "__main__":
    app()

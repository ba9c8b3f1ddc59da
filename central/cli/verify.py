"""`invcentral verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Context, Exit

from central.cli.command import read
from central.cli.parameters import STORE
from central.cli.words import counted
from central.reads import list_stores
from central.verify import Verification, verify_store
from invctl.console.command import output
from invctl.console.exits import VERIFY_FAILED
from invctl.console.output import Column

if TYPE_CHECKING:
    from invctl.console.style import Part

_COLUMNS = [Column(name) for name in ("store", "ok", "events", "seq", "hash", "differences", "findings")]
SHOWN_MAX = 20


def verify(
    ctx: Context,
    store: Annotated[str | None, Argument(click_type=STORE, metavar="STORE", help="One store alone.")] = None,
) -> None:
    """Replay the archive, and compare what it comes to with what is shown: hash chain, levels, reservations.

    Exits 8 where something differs, and says what. What a store itself did wrong is said, too, and is no failure.

    For example:

        invcentral verify
        invcentral verify downtown
    """
    out = output(ctx)
    emit = out.stream(_COLUMNS) if out.fmt in ("table", "ndjson") else None
    results: list[Verification] = []
    with read(ctx) as connection:
        for each in [store] if store else [row.store for row in list_stores(connection)]:
            results.append(verify_store(connection, each))
            if emit:
                emit(results[-1].as_dict(), _message(results[-1]))
    if not results:
        out.talk("no store has spoken yet: there is nothing to verify")
    if not emit:
        out.rows(_COLUMNS, [result.as_dict() for result in results])
    if not all(result.ok for result in results):
        raise Exit(VERIFY_FAILED)


def _said(value: Any) -> str:
    """Write a JSON value in words: `on hand 9, reserved 1, version 6`."""
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_said(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "; ".join(f"({_said(each)})" for each in value)
    return "nothing" if value is None else str(value)


def _message(result: Verification) -> list[Part]:
    verdict: Part = ("holds", "bold green") if result.ok else ("does not hold", "bold red")
    parts: list[Part] = [
        (result.store, "bold cyan"),
        " ",
        verdict,
        f": {counted(result.events, 'event')} replayed, head {result.hash[:16]}",
    ]
    parts += [
        f"\n  {each.what} {each.key}: the archive says {_said(each.expected)}, shown is {_said(each.found)}"
        for each in result.differences[:SHOWN_MAX]
    ]
    if len(result.differences) > SHOWN_MAX:
        parts.append(f"\n  and {len(result.differences) - SHOWN_MAX} more differences")
    for finding in result.findings[:SHOWN_MAX]:
        parts += ["\n  ", ("the store's own:", "yellow"), f" {finding}"]
    if len(result.findings) > SHOWN_MAX:
        parts.append(f"\n  and {len(result.findings) - SHOWN_MAX} more of the store's own")
    return parts

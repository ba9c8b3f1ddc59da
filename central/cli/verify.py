"""`invcentral verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Context, Exit

from central.cli.command import read
from central.cli.parameters import STORE
from central.cli.words import counted, describe
from central.reads import list_stores
from central.tail import archived_event
from central.verify import Difference, Verification, verify_store
from invctl.console.command import output
from invctl.console.exits import VERIFY_FAILED
from invctl.console.output import Column

if TYPE_CHECKING:
    from central.tail import TailEvent
    from invctl.console.style import Part

_COLUMNS = [
    Column(name)
    for name in ("store", "ok", "events", "seq", "hash", "differences", "findings", "first_seq", "first_event")
]
SHOWN_MAX = 20


def verify(
    ctx: Context,
    store: Annotated[str | None, Argument(click_type=STORE, metavar="STORE", help="One store alone.")] = None,
) -> None:
    """Replay the archive, and compare what it comes to with what is shown: hash chain, levels, reservations.

    Exits 8 where something differs, and says what, and from which event on. What a store itself did wrong is said, too,
    and is no failure.

    For example:

        invcentral verify
        invcentral verify downtown
    """
    out = output(ctx)
    emit = out.stream(_COLUMNS) if out.fmt in ("table", "ndjson") else None
    results: list[Verification] = []
    records: list[dict[str, Any]] = []
    with read(ctx) as connection:
        for each in [store] if store else [row.store for row in list_stores(connection)]:
            result = verify_store(connection, each)
            first = archived_event(connection, each, result.first_seq) if result.first_seq else None
            results.append(result)
            records.append(result.as_dict() | {"first_event": first and _named(first)})
            if emit:
                emit(records[-1], _message(result, first))
    if not results:
        out.talk("no store has spoken yet: there is nothing to verify")
    if not emit:
        out.rows(_COLUMNS, records)
    for drifted in _drifted(results):
        out.talk(
            [("hint:", "bold"), f" `invcentral suspects clear {drifted} --rebuild` takes what the archive says of it"]
        )
    if not all(result.ok for result in results):
        raise Exit(VERIFY_FAILED)


def _said(value: Any) -> str:
    """Write a JSON value in words: `on hand 9, reserved 1, version 6`."""
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_said(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "; ".join(f"({_said(each)})" for each in value)
    return "nothing" if value is None else str(value)


def _told(difference: Difference) -> str:
    what, key, expected, found, seq = difference
    since = f" (from event {seq} on)" if seq else ""
    return f"{what} {key}: the archive says {_said(expected)}, shown is {_said(found)}{since}"


def _named(event: TailEvent) -> dict[str, Any]:
    shown = event.as_dict()
    return {name: shown[name] for name in ("seq", "id", "type", "time")}


def _drifted(results: list[Verification]) -> list[str]:
    """Return the first level that is not as the archive has it, if any: a hint about one is enough."""
    found = [f"{result.store} {each.key}" for result in results for each in result.differences if each.what == "level"]
    return found[:1]


def _message(result: Verification, first: TailEvent | None) -> list[Part]:
    verdict: Part = ("holds", "bold green") if result.ok else ("does not hold", "bold red")
    parts: list[Part] = [
        (result.store, "bold cyan"),
        " ",
        verdict,
        f": {counted(result.events, 'event')} replayed, head {result.hash[:16]}",
    ]
    if result.first_seq:
        told = describe(first) if first else "not in the archive"
        parts += ["\n  the first event from which on they differ is ", (str(result.first_seq), "bold"), f": {told}"]
    parts += [f"\n  {_told(each)}" for each in result.differences[:SHOWN_MAX]]
    if len(result.differences) > SHOWN_MAX:
        parts.append(f"\n  and {len(result.differences) - SHOWN_MAX} more differences")
    for finding in result.findings[:SHOWN_MAX]:
        parts += ["\n  ", ("the store's own:", "yellow"), f" {finding}"]
    if len(result.findings) > SHOWN_MAX:
        parts.append(f"\n  and {len(result.findings) - SHOWN_MAX} more of the store's own")
    return parts

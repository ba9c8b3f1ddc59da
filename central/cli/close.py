"""`invcentral close`."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from typer import Context, Exit, Option

from central import closing
from central.cli import words
from central.cli.command import open_engine
from central.cli.presence import tell_if_stopped
from central.closing import close_day, zone_of
from central.database import describe, reading
from invctl.console.command import output
from invctl.console.exits import VERIFY_FAILED
from invctl.console.options import Parsed
from invctl.console.output import Column
from invctl.errors import InvalidValueError

if TYPE_CHECKING:
    from central.closing import Close, StoreClose
    from invctl.console.style import Part

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = [
    Column(name)
    for name in (
        *("store", "complete", "why_not", "missing", "seq", "hash"),
        *("events", "confirmed", "sold", "received", "adjusted"),
        *("name", "timezone", "from", "until", "proved_until"),
    )
]
_PEOPLES = [
    Column("store", style="bold cyan"),
    Column("complete"),
    Column("seq", "Last event"),
    Column("hash", drop=1),
    Column("events", drop=3),
    Column("confirmed"),
    Column("sold"),
    Column("received"),
    Column("adjusted"),
    Column("until", "Ends", drop=2),
]
HASH_SHOWN = 16


def parse_date(text: str) -> date:
    """Read a date, `2026-11-24`. Raises InvalidValueError."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    # The ends of the calendar have no midnight in some time zones; and there are other ways to write it.
    if day is None or day.isoformat() != text or not 1970 <= day.year < 9999:
        raise InvalidValueError(
            f"{text!r} is not a date", hint="write it as 2026-11-24: a store's own day, in its zone"
        )
    return day


def close(
    ctx: Context,
    day: Annotated[date, Option("--date", click_type=Parsed("YYYY-MM-DD", parse_date), help="Which day.")],
    html: Annotated[
        str | None, Option("--html", metavar="FILE", help="Write the certificate there, too, as a page to print.")
    ] = None,
) -> None:
    """Certify that head office holds everything that each store committed until that day's midnight, in its time zone.

    For each admitted store: the last event until then with its hash, which says that everything up to there is the
    same here as at the store, and what the day's events come to. A store is complete once it is proved that nothing of
    it is missing up to a moment after its midnight; what is missing is said, and of whom. Exits 8 where a store is not
    complete.

    For example:

        invcentral close --date 2026-11-24
        invcentral close --date 2026-11-24 --html close-2026-11-24.html
    """
    out = output(ctx)
    with open_engine(ctx) as engine, reading(engine) as connection:
        found = close_day(connection, day)
        if not found.complete:
            tell_if_stopped(ctx, out, connection)
        database = describe(engine)
    if html:
        from central.cli.close_page import write  # noqa: PLC0415 - most closes are not printed

        write(html, found, database)
    if out.quiet or out.fmt in ("ndjson", "csv"):
        out.rows(_COLUMNS, [each.as_dict() for each in found.stores])
    else:
        out.result(found.as_dict(), message=_message(found))
    if out.fmt == "table" and not out.quiet:
        out.rows(_PEOPLES, [_for_people(each) for each in found.stores])
    if html:
        out.talk(f"the page to print is {html}")
    if not found.complete:
        raise Exit(VERIFY_FAILED)


def moment(each: StoreClose, instant_us: int) -> str:
    """Write an instant as the store's own clock shows it: `2026-11-25 00:00 EST`."""
    return f"{(_EPOCH + timedelta(microseconds=instant_us)).astimezone(zone_of(each.timezone)):%Y-%m-%d %H:%M %Z}"


def why_not(each: StoreClose) -> str:
    """Say why a store's day is not complete, and what to do."""
    more = f"; {words.counted(each.missing, 'event')} known to be missing" if each.missing else ""
    if each.why_not == closing.NOT_OVER:
        return f"its day ends at {moment(each, each.until_us)}"
    if each.why_not == closing.NEVER_PROVED:
        return f"it was never proved complete{more}: let it speak, and close again"
    if each.why_not == closing.NOT_PROVED:
        proved = moment(each, each.proved_us or 0)
        return f"it is proved complete up to {proved} only{more}: let it speak, and close again"
    return f"the archive of that day is not what its hashes say: `invcentral verify {each.store}`"


def verdict(found: Close) -> str:
    """Say how many stores are complete."""
    done = sum(each.complete for each in found.stores)
    of = words.counted(len(found.stores), "store")
    return f"{of}, all complete" if found.complete else f"{done} of {of} complete"


def _message(found: Close) -> list[Part]:
    style = "bold green" if found.complete else "bold red"
    word = "complete" if found.complete else "not complete"
    parts: list[Part] = [(found.day.isoformat(), "bold"), " is ", (word, style), f": {verdict(found)}"]
    for each in found.stores:
        if not each.complete:
            parts += ["\n  ", (each.store, "bold cyan"), f": {why_not(each)}"]
    if found.waiting:
        parts.append(f"\n  not part of it, as they wait to be admitted: {words.listed(found.waiting)}")
    return [*parts, "\n"]


def _for_people(each: StoreClose) -> dict[str, Any]:
    return {
        **each.as_dict(),
        "hash": each.hash and each.hash[:HASH_SHOWN],
        "seq": each.seq or None,
        "until": moment(each, each.until_us),
    }

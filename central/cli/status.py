"""`invcentral status`."""

from typing import Annotated, Any

from typer import Argument, Context, Option

from central import reads
from central.cli import words
from central.cli.columns import telling
from central.cli.command import home, opened, settings
from central.cli.times import LocalTime
from central.database import describe, reading
from central.home import is_held, status_path
from central.migrations import require_current
from central.tables import ADMITTED
from central.views import CentralRow, Status, StoreRow
from invctl.clock import SystemClock, parse_time
from invctl.console.command import output
from invctl.console.options import whole
from invctl.console.output import Column
from invctl.console.style import Part
from invctl.errors import BusyError, InvalidValueError, RefusedError, UnreachableError
from invctl.runtime.status import read_status, stands_still_s

_PEOPLES = [
    Column("store", style="bold cyan"),
    Column("status"),
    Column("head_seq", "Head", drop=1),
    Column("as_of_seq", "As of"),
    Column("behind"),
    Column("age"),
    Column("heard", drop=2),
    Column("open_reservations", "Open", drop=3),
    Column("suspects"),
    Column("doubt", folds=True),
]
_OPTIONAL = ("status", "behind", "open_reservations", "suspects", "doubt")


def status(
    ctx: Context,
    every_s: Annotated[
        int | None,
        Argument(
            click_type=whole(1, 3600, "SECONDS"), metavar="SECONDS", help="With --watch: how often, every 2 by default."
        ),
    ] = None,
    watch: Annotated[
        bool, Option("--watch", help="Draw one screen anew, with who is not well at its top, until Ctrl-C.")
    ] = False,
) -> None:
    """Show whether a central runs, and how far it is with each store.

    `Age` says up to how long ago a store's numbers are proved complete. Where the database cannot be read, what is
    known of the process in this home is shown all the same; the exit code is then 7.

    For example:

        invcentral status
        invcentral status --watch
        invcentral status --watch 10
    """
    if every_s is not None and not watch:
        raise InvalidValueError(f"{every_s} is taken with --watch alone", hint=f"invcentral status --watch {every_s}")
    if watch:
        from central.cli import status_board  # noqa: PLC0415 - one look does not need it

        status_board.watch(ctx, every_s or status_board.EVERY_S)
        return
    folder = home(ctx)
    database_url = settings(ctx).database_url
    process = read_status(status_path(folder)) if is_held(folder) else None
    if process is not None:
        process["stands_still_s"] = stands_still_s(status_path(folder))
    trouble: BusyError | RefusedError | UnreachableError | None = None
    now: Status | None = None
    with opened(database_url) as engine:
        database = describe(engine)
        try:
            require_current(engine)
            with reading(engine) as connection:
                now = reads.status(connection)
        except (BusyError, RefusedError, UnreachableError) as error:
            trouble = error
    running = is_held(folder)
    record = {"home": str(folder), "database": database, "running": running, "process": process}
    if now is not None:
        record |= now.as_dict()
    out = output(ctx)
    out.result(record, message=_message(record, now), ident="running" if running else "stopped")
    if trouble is not None:
        raise trouble
    if now is not None and out.fmt == "table" and not out.quiet:
        records = [_for_people(row) for row in now.stores]
        out.rows(telling(_PEOPLES, records, _OPTIONAL), records, empty="no store has spoken yet")


def _message(record: dict[str, Any], now: Status | None) -> list[Part]:
    """Tell all of it; `now` is None where the database cannot be read."""
    when = LocalTime(now.now_us if now else SystemClock().now_us())
    others = now is not None and any(each.living for each in now.centrals)
    parts: list[Part] = [
        ("head office", "bold"),
        f"  {record['home']}",
        ("\ndatabase", "bold"),
        f"     {record['database']}, {words.counted(now.events, 'event') if now else 'which cannot be read now'}",
        ("\nprocess", "bold"),
        "      ",
        *_process(record, when, others=others),
    ]
    return parts + _of_database(now, running=record["running"]) if now else parts


def _of_database(now: Status, *, running: bool) -> list[Part]:
    parts: list[Part] = []
    for number, each in enumerate(now.centrals):
        parts += [("\n" + ("" if number else "centrals").ljust(12), "bold"), f" {each.holder} ", *_central(each)]
    unserved = [str(shard.shard) for shard in now.shards if shard.shard not in now.served_by]
    # Where no central was ever seen, and none runs here, that is said already.
    if unserved and (now.centrals or running):
        parts += [("\nattention", "bold yellow"), f"    nobody serves {words.shards(unserved)} now"]
    for row in now.stores:
        for trouble in words.troubles(row, now.now_us):
            parts += [("\nattention", "bold yellow"), f"    {trouble}"]
    waiting = [row.store for row in now.stores if row.status != ADMITTED]
    if waiting:
        parts += [
            ("\nwaiting", "bold"),
            f"      {words.listed(waiting)}: waits to be admitted, see `invcentral stores list`",
        ]
    if now.stores:
        parts.append("\n")
    return parts


def _central(each: CentralRow) -> list[Part]:
    """Say what a central does, in the words that follow its name."""
    seen = f", seen {words.duration(each.seen_s)} ago"
    if not each.living:
        return [("is gone", "yellow"), f"{seen} last"]
    if not each.shards:
        return [("stands by", "green"), seen]
    return [("serves", "green"), f" {words.shards(list(map(str, each.shards)))}{seen}"]


def _process(record: dict[str, Any], when: LocalTime, *, others: bool) -> list[Part]:
    if not record["running"] and others:
        return [("not here", "bold"), ": no central runs in this home, but others do"]
    if not record["running"]:
        return [("not running", "bold red"), ": what is shown is as it was left; `invcentral run` starts it"]
    process = record["process"]
    if process is None:
        return [("starting", "yellow")]
    if process["stands_still_s"] is not None:
        since_us = SystemClock().now_us() - round(process["stands_still_s"] * 1_000_000)
        return [
            ("stands still", "bold red"),
            f" since {when.second(since_us)} {when.zone}, pid {process['pid']}",
            f": `kill -9 {process['pid']}` ends it, and loses nothing",
        ]
    parts: list[Part] = [
        *_doing(process),
        f" since {when.second(parse_time(process['since']))} {when.zone}, pid {process['pid']}",
        ("\nbroker", "bold"),
        f"       {process['broker']} ",
        ("connected", "green") if process["connected"] else ("not connected", "bold red"),
        f", namespace {process['namespace']}",
    ]
    parts += [*_pauses(process, when), *_lacks(process)]
    if process["metrics"]:
        parts += [("\nmetrics", "bold"), f"      {process['metrics']}/metrics"]
    elif process.get("metrics_trouble"):
        parts += [("\nmetrics", "bold"), "      ", ("none", "yellow"), f": {process['metrics_trouble']}"]
    latency = process["latency_ms"]
    if latency:
        parts += [
            ("\nlatency", "bold"),
            f"      half within {words.milliseconds(latency['p50'])}, 99% within {words.milliseconds(latency['p99'])}",
        ]
    return parts


def _pauses(process: dict[str, Any], when: LocalTime) -> list[Part]:
    """Say what is not asked at the moment, as it failed too often."""
    parts: list[Part] = []
    for name, breaker in process["breakers"].items():
        if breaker["state"] == "closed":
            continue
        since = when.second(parse_time(breaker["since"]))
        told = f" {name} failed {breaker['failures']} times in a row, not asked since {since} {when.zone}"
        if breaker["next_attempt_at"]:
            told += f", tried again at {when.second(parse_time(breaker['next_attempt_at']))}"
        parts += [("\npaused", "bold yellow"), f"      {told}: {breaker['why']}"]
    return parts


def _lacks(process: dict[str, Any]) -> list[Part]:
    """Say why it cannot do its work, as far as no pause says so."""
    paused = {name for name, breaker in process["breakers"].items() if breaker["state"] != "closed"}
    paused |= {f"{name}_breaker" for name in paused}
    reasons = process.get("reasons") or {}
    return [
        part
        for name, why in reasons.items()
        if name not in paused
        for part in (("\nnot ready", "bold yellow"), f"    {name}: {why}")
    ]


def _doing(process: dict[str, Any]) -> list[Part]:
    """Say what it does, in words that what it is since when follows: it runs since its start, whatever it does now."""
    if process["shards"]:
        return [("runs", "bold green")]
    if process["share"] == 0:
        return [("stands by", "bold green"), ", runs"]
    return [("waits for a lease", "bold yellow"), ", runs"]


def _for_people(row: StoreRow) -> dict[str, Any]:
    return {
        **row.as_dict(),
        "status": None if row.status == ADMITTED else "waits",
        "behind": row.lag or None,
        "age": words.bare_age(row.fresh),
        "doubt": words.doubts(row.fresh._replace(gap=False)),
        "heard": "never" if row.fresh.heard_s is None else f"{words.duration(row.fresh.heard_s)} ago",
    }

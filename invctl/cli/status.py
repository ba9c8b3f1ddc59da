"""`invctl status`."""

from typing import Any

from typer import Context

from invctl.cli.command import home, open_ledger
from invctl.cli.holding import store_time
from invctl.cli.invd import Invd, as_record, describe, running
from invctl.cli.link import in_words, last_known
from invctl.cli.times import StoreTime, spoken
from invctl.cli.words import counted, named
from invctl.clock import format_time
from invctl.console.command import output
from invctl.console.style import Part
from invctl.ledger import disk, reads
from invctl.settings import MEGABYTE, oddities


def status(ctx: Context) -> None:
    """Show how far the ledger is, what head office has of it, and whether the daemon runs.

    For example:

        invctl status
    """
    folder = home(ctx)
    invd = running(folder)
    with open_ledger(ctx) as ledger:
        when = store_time(ledger)
        store, numbers = ledger.store, reads.status(ledger)
        recounts = reads.recounts(ledger)
        frozen, damaged = ledger.frozen(), disk.noted(ledger.path)
        free, reserve = disk.free_bytes(folder), ledger.reserve_bytes
    link = numbers.link
    # Without a daemon nobody knows how the link stands; what was last known would read as if it were so now.
    nobody = "no daemon runs" if invd is None else "the daemon stands still" if invd.stands_still else None
    words = last_known(link, store.store, nobody) if nobody else in_words(link, store.store)
    record = {
        **store._asdict(),
        "home": str(folder),
        "head_seq": numbers.head_seq,
        "last_event_at": _time(numbers.last_event_us),
        "products": numbers.products,
        "open_reservations": numbers.open_reservations,
        "acked_seq": link.acked_seq,
        "acked_at": _time(link.acked_us),
        "pending_events": max(numbers.head_seq - link.acked_seq, 0),
        "oldest_pending_age_s": _age_s(numbers.oldest_pending_us, when.now_us),
        "link": "unknown" if nobody else link.state,
        "reason": nobody or link.reason or None,
        "suspects": link.suspects,
        "recounts": recounts,
        "damaged": damaged,
        "frozen": frozen or None,
        "disk_free_bytes": free,
        "disk_reserve_bytes": reserve,
        "disk_low": disk.is_low(free, reserve),
        "daemon": as_record(invd),
        "warnings": oddities(folder),
    }
    output(ctx).result(record, message=_message(record, words, invd, when), ident=store.store)


def _message(record: dict[str, Any], words: str, invd: Invd | None, when: StoreTime) -> list[Part]:
    pending = record["pending_events"]
    open_ = counted(record["open_reservations"], "open reservation")
    acked = f"has acknowledged event {record['acked_seq']}" if record["acked_seq"] else "has acknowledged nothing"
    if record["acked_at"]:
        acked += f", answered at {when.exact(record['acked_at'])}"
    if pending:
        acked += f"; {pending} pending, the oldest for {spoken(record['oldest_pending_age_s'])}"
    also = f" ({record['name']})" if record["name"] != record["store"] else ""
    told: list[Part] = [
        (record["store"], "bold cyan"),
        f"{also} in {record['home']}",
        f"\nledger    event {record['head_seq']}, {when.exact(record['last_event_at'])}",
        f"\nstock     {counted(record['products'], 'product')}, {open_}",
        f"\ncentral   {acked}",
        "\nlink      ",
        # What is wrong, and what to do about it, a line each.
        (words.replace("; ", f"\n{'':10}"), "green" if record["link"] == "up" else "yellow"),
        f"\ndaemon    {describe(invd, when)}",
    ]
    if why := record["damaged"]:
        told.append((f"\nwrites    refused, as it is damaged: {why}\n{'':10}{disk.HINT}", "bold red"))
    elif why := record["frozen"]:
        told.append((f"\nwrites    refused: {why}", "bold red"))
    if record["disk_low"]:
        free, reserve = (record[f"disk_{name}_bytes"] // MEGABYTE for name in ("free", "reserve"))
        low = f"{free} MB free, {reserve} MB are kept for ending what is reserved"
        told.append((f"\ndisk      {low}\n{'':10}nothing new is begun until there is room", "bold yellow"))
    if record["suspects"]:
        doubted = "its level; count it" if record["suspects"] == 1 else "their levels; count them"
        asked = [
            f"\nsuspect   {counted(record['suspects'], 'item')}: head office doubts {doubted}",
            f"`invcentral suspects list --store {record['store']}` there says which",
            "`invctl adjust SKU CHANGE --reason cycle_count` settles it; CHANGE may be 0",
        ]
        told.append((f"\n{'':10}".join(asked), "yellow"))
    if uncounted := record["recounts"]:
        asked = [
            f"\ncount     {counted(len(uncounted), 'item')}: {named(uncounted)}",
            "they were sold and received here while history was missing",
            "`invctl adjust SKU CHANGE --reason cycle_count` settles it; CHANGE may be 0",
        ]
        told.append((f"\n{'':10}".join(asked), "yellow"))
    told += [(f"\nsettings  {warning}", "yellow") for warning in record["warnings"]]
    return told


def _time(instant_us: int) -> str | None:
    return format_time(instant_us) if instant_us else None


def _age_s(instant_us: int, now_us: int) -> int | None:
    return max(now_us - instant_us, 0) // 1_000_000 if instant_us else None

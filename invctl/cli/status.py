"""`invctl status`."""

from typing import Any

from typer import Context

from invctl.cli.command import home, open_ledger
from invctl.cli.holding import store_time
from invctl.cli.invd import Invd, as_record, describe, running
from invctl.cli.link import in_words, last_known
from invctl.cli.times import StoreTime, spoken
from invctl.cli.words import named
from invctl.clock import format_time
from invctl.console.command import output
from invctl.console.style import Part
from invctl.language import _, _n, retold
from invctl.ledger import disk, reads
from invctl.ledger.writing import FROZEN_BY
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
    nobody = _("no daemon runs") if invd is None else _("the daemon stands still") if invd.stands_still else None
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
    open_ = _n("{n:,} open reservation", "{n:,} open reservations", record["open_reservations"])
    acked = (
        _("has acknowledged event {seq}", seq=record["acked_seq"])
        if record["acked_seq"]
        else _("has acknowledged nothing")
    )
    if record["acked_at"]:
        acked += _(", answered at {time}", time=when.exact(record["acked_at"]))
    if pending:
        age = spoken(record["oldest_pending_age_s"])
        acked += _("; {pending:,} pending, the oldest for {time}", pending=pending, time=age)
    also = f" ({record['name']})" if record["name"] != record["store"] else ""
    products = _n("{n:,} product", "{n:,} products", record["products"])
    told: list[Part] = [
        (record["store"], "bold cyan"),
        _("{also} in {home}", also=also, home=record["home"]),
        _about(_("ledger"), _("event {seq}, {time}", seq=record["head_seq"], time=when.exact(record["last_event_at"]))),
        _about(_("stock"), f"{products}, {open_}"),
        _about(_("central"), acked),
        _about(_("link"), ""),
        # What is wrong, and what to do about it, a line each.
        (words.replace("; ", _BELOW), "green" if record["link"] == "up" else "yellow"),
        _about(_("daemon"), describe(invd, when)),
    ]
    if why := record["damaged"]:
        refused = _("refused, as it is damaged: {why}", why=why)
        told.append((_about(_("writes"), refused, _(disk.HINT)), "bold red"))
    elif why := record["frozen"]:
        told.append((_about(_("writes"), _("refused: {why}", why=retold(why, *FROZEN_BY))), "bold red"))
    if record["disk_low"]:
        free, reserve = (record[f"disk_{name}_bytes"] // MEGABYTE for name in ("free", "reserve"))
        low = _("{free:,} MB free, {reserve:,} MB are kept for ending what is reserved", free=free, reserve=reserve)
        told.append((_about(_("disk"), low, _("nothing new is begun until there is room")), "bold yellow"))
    settles = _("`invctl adjust SKU CHANGE --reason cycle_count` settles it; CHANGE may be 0")
    if record["suspects"]:
        doubted = _n(
            "{n:,} item: head office doubts its level; count it",
            "{n:,} items: head office doubts their levels; count them",
            record["suspects"],
        )
        which = _("`invcentral suspects list --store {store}` there says which", store=record["store"])
        told.append((_about(_("suspect"), doubted, which, settles), "yellow"))
    if uncounted := record["recounts"]:
        items = _n("{n:,} item: {names}", "{n:,} items: {names}", len(uncounted), names=named(uncounted))
        missing = _("they were sold and received here while history was missing")
        told.append((_about(_("count"), items, missing, settles), "yellow"))
    told += [(_about(_("settings"), warning), "yellow") for warning in record["warnings"]]
    return told


_BELOW = f"\n{'':10}"


def _about(label: str, *lines: str) -> str:
    """Return a label, and behind it what there is to say: a line each."""
    return f"\n{label:10}{_BELOW.join(lines)}"


def _time(instant_us: int) -> str | None:
    return format_time(instant_us) if instant_us else None


def _age_s(instant_us: int, now_us: int) -> int | None:
    return max(now_us - instant_us, 0) // 1_000_000 if instant_us else None

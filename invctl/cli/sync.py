"""`invctl sync`."""

import time
from typing import Annotated

from typer import Context, Option

from invctl.cli.command import open_ledger
from invctl.cli.invd import Invd, how_to_end, running
from invctl.cli.link import NOT_TAKEN, explain, in_words
from invctl.clock import parse_time
from invctl.console.command import output
from invctl.console.options import DURATION
from invctl.console.progress import Progress
from invctl.errors import UnreachableError
from invctl.language import _, _n
from invctl.ledger import reads
from invctl.ledger.ledger import Ledger
from invctl.ledger.reads import LinkRow

TIMEOUT_S = 60
LOOK_EVERY_S = 0.02
# A heartbeat and the answer to it: after so long without progress, a refusal is none that has just been lifted.
SETTLED_S = 3.0
# To take back a history that was lost takes longer: head office waits whether another machine speaks for the store.
REJOINED_S = 20.0
# A daemon that says nothing of itself for so long is slow at least; it does so every second.
SILENT_S = 5.0
# Whether the daemon lives is asked less often: it takes files to tell.
LOOKS_A_DAEMON = 25


def sync(
    ctx: Context,
    wait: Annotated[bool, Option("--wait", help="Wait until nothing is pending.")] = False,
    timeout_s: Annotated[
        int, Option("--timeout", click_type=DURATION, show_default=False, help="How long at most: 60s by default.")
    ] = TIMEOUT_S,
) -> None:
    """Tell how much head office has not acknowledged yet; with --wait, wait until it has.

    What counts is what was committed when the command began. Exits 7 where the time runs out, no daemon runs, or head
    office does not take what this store sends.

    For example:

        invctl sync --wait --timeout 30s
    """
    out = output(ctx)
    begun_s = time.monotonic()
    with open_ledger(ctx) as ledger:
        store, head_seq = ledger.store.store, reads.head_seq(ledger)
        link = reads.link(ledger)
        # What it acknowledged once it may have lost since: then it refuses the store.
        if wait and (link.acked_seq < head_seq or link.state in NOT_TAKEN):
            with out.progress(_("to head office"), total=max(head_seq - link.acked_seq, 1)) as bar:
                link = _wait(ledger, link.acked_seq, head_seq, begun_s + timeout_s, bar)
    acked_seq = link.acked_seq
    pending = max(head_seq - acked_seq, 0)
    record = {
        "store": store,
        "head_seq": head_seq,
        "acked_seq": acked_seq,
        "pending_events": pending,
        "link": link.state,
        "waited_s": round(time.monotonic() - begun_s, 3),
    }
    if pending:
        message = _n(
            "{n:,} event not acknowledged yet: `invctl sync --wait` waits",
            "{n:,} events not acknowledged yet: `invctl sync --wait` waits",
            pending,
        )
    elif link.state in NOT_TAKEN:
        message = _(
            "head office had everything, up to event {head_seq}, but now the link is {link}",
            head_seq=head_seq,
            link=in_words(link, store),
        )
    else:
        message = _("head office has everything, up to event {head_seq}", head_seq=head_seq)
    out.result(record, message=message, ident=str(acked_seq))


def _wait(ledger: Ledger, acked_seq: int, head_seq: int, deadline_s: float, bar: Progress) -> LinkRow:
    """Wait until central has acknowledged `head_seq`, and does not refuse the store. Returns how the link is then.

    Raises UnreachableError when the deadline comes first, no daemon runs, or central does not take the events.
    """
    begun_at = acked_seq
    look, moved_s = 0, time.monotonic()
    invd: Invd | None = None
    while True:
        link, now_s = reads.link(ledger), time.monotonic()
        if link.acked_seq != acked_seq:
            acked_seq, moved_s = link.acked_seq, now_s
        bar.update(max(link.acked_seq - begun_at, 0))
        if link.acked_seq >= head_seq and link.state not in NOT_TAKEN:
            return link
        lacks = max(head_seq - link.acked_seq, 0)
        pending = {"pending_events": lacks, "acked_seq": link.acked_seq, "head_seq": head_seq}
        lacking = (
            _n("{n:,} event not acknowledged", "{n:,} events not acknowledged", lacks)
            if lacks
            else _("it may not have everything any more")
        )
        if look % LOOKS_A_DAEMON == 0:
            invd = running(ledger.home)
            if invd is None:
                hint = _("`invctl daemon start` starts it")
                raise UnreachableError(_("no daemon runs, and {lacking}", lacking=lacking), hint=hint, **pending)
            if invd.stands_still:
                raise UnreachableError(
                    _("the daemon stands still, and {lacking}", lacking=lacking), hint=how_to_end(invd), **pending
                )
        settled_s = REJOINED_S if link.state == "diverged" else SETTLED_S
        if link.state in NOT_TAKEN and now_s - moved_s >= settled_s and _is_of(link, invd):
            why, todo = explain(link, ledger.store.store)
            details = {**pending, "link": link.state, "reason": link.reason}
            raise UnreachableError(f"{lacking}: {why}", hint=todo, **details)
        if now_s >= deadline_s:
            message = _("time ran out with {lacking}", lacking=lacking)
            raise UnreachableError(message, hint=_why_not(ledger, link), **pending)
        look += 1
        time.sleep(LOOK_EVERY_S)


def _why_not(ledger: Ledger, link: LinkRow) -> str:
    """Say what is known of why nothing comes: how the link is, if the daemon is there to know."""
    invd = running(ledger.home)
    if invd is not None and (invd.silent_s or 0.0) >= SILENT_S:
        return _(
            "the daemon has said nothing for {seconds} s: see `invctl daemon status`", seconds=int(invd.silent_s or 0.0)
        )
    return _("the link is {link}", link=in_words(link, ledger.store.store))


def _is_of(link: LinkRow, invd: Invd | None) -> bool:
    """Say whether it is this daemon that was told so, and not one that ran before it."""
    return invd is not None and invd.since is not None and link.acked_us >= parse_time(invd.since)

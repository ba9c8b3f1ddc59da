"""`invctl restore`."""

from typing import Annotated

from typer import Argument, Context, Option

from invctl import settings
from invctl.cli.command import home
from invctl.cli.init import write_config
from invctl.cli.origin import origin
from invctl.cli.parameters import Clerk
from invctl.cli.times import StoreTime
from invctl.clock import SystemClock, format_time
from invctl.console.command import output
from invctl.language import _, marked
from invctl.ledger.restore import restore as restoring


def restore(
    ctx: Context,
    file: Annotated[str, Argument(help="A file that `invctl backup` made.")],
    trade: Annotated[
        bool, Option("--trade", help="Trade at once, before head office was heard. The ledger records that.")
    ] = False,
    force: Annotated[bool, Option("--force", help="Also over another store's ledger.")] = False,
    clerk: Clerk = None,
) -> None:
    """Put a backup in the place of the ledger. It is replayed first; what was there is kept beside it.

    Head office may hold later events than the backup. So this store refuses to write until its daemon has heard from
    head office, and has fetched what is missing.

    For example:

        invctl restore /mnt/backups/downtown-20261124T093000Z.db
    """
    out, place = output(ctx), home(ctx)
    with out.progress(_("replaying"), total=1) as bar:
        done = restoring(
            settings.folder(file),
            place,
            trade=trade,
            force=force,
            origin=origin(clerk, None),
            progress=lambda seq, total: bar.update(seq, total=total),
        )
    write_config(place / settings.CONFIG_FILE, None, None)
    taken_at = format_time(done.taken_us)
    record = {
        "store": done.store.store,
        "home": str(place),
        "taken_seq": done.taken_seq,
        "taken_at": taken_at,
        "seq": done.seq,
        "kept": None if done.kept is None else str(done.kept),
        "trade": trade,
    }
    when = StoreTime(done.store.timezone, SystemClock().now_us()).exact(taken_at)
    about = _(
        " in {place} is restored, up to event {taken_seq} of {when}", place=place, taken_seq=done.taken_seq, when=when
    )
    kept = _("; what was there is kept as {name}", name=done.kept.name) if done.kept else ""
    out.result(record, message=[(done.store.store, "bold cyan"), about, kept], ident=done.store.store)
    out.talk([(_("it means:"), "bold"), " ", _(_MEANS_TRADE if trade else _MEANS)])
    out.talk(_("next: `invctl daemon start`, then `invctl status`"))


_MEANS = marked(
    "head office may hold later events than this ledger. This store refuses to reserve,"
    " confirm and all else that writes, until its daemon has heard from head office; it then"
    " fetches what is missing by itself."
)
_MEANS_TRADE = marked(
    "head office may hold later events than this ledger: what was sold since may be sold"
    " again. That this store trades all the same is recorded in its ledger. Count what you"
    " sell, and let the daemon reach head office soon."
)

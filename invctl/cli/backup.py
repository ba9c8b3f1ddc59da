"""`invctl backup`."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Context, Option

from invctl.cli.command import open_ledger
from invctl.cli.holding import store_time
from invctl.clock import format_time
from invctl.console.command import output
from invctl.language import _, number
from invctl.ledger.backup import back_up, default_name
from invctl.settings import folder


def backup(
    ctx: Context,
    file: Annotated[
        str | None, Argument(help="Where to: a file, or a folder. By default here, named by store and time.")
    ] = None,
    force: Annotated[bool, Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Copy the ledger into one file, as of one moment, while clerks go on working. The copy is checked.

    `invctl restore` puts it in the place of a ledger.

    For example:

        invctl backup /mnt/backups
    """
    out = output(ctx)
    with open_ledger(ctx) as ledger:
        target = folder(file or ".")
        if target.is_dir():
            target /= default_name(ledger)
        pages = ledger.connection.pragma("page_count")
        with out.progress(_("copying"), total=pages) as bar:
            made = back_up(ledger, Path(target), force=force, progress=lambda done, _of: bar.update(done))
        taken_at = format_time(made.taken_us)
        when = store_time(ledger).exact(taken_at)
    record = {
        "file": str(made.file),
        "store": made.store,
        "seq": made.head.seq,
        "head_hash": made.head.hash.hex(),
        "taken_at": taken_at,
        "size_bytes": made.size_bytes,
    }
    size = f"{number(made.size_bytes / 1_000_000, ',.1f')} MB"
    about = _(
        " is backed up to {file}: up to event {seq} of {when}, {size}",
        file=made.file,
        seq=made.head.seq,
        when=when,
        size=size,
    )
    out.result(record, message=[(made.store, "bold cyan"), about], ident=str(made.file))

"""`invctl config show`."""

import os
from typing import Annotated

from typer import Context, Option

from invctl.cli import configured
from invctl.cli.command import home
from invctl.console.command import output
from invctl.console.options import typed
from invctl.console.output import Column
from invctl.language import _
from invctl.settings import oddities


def show(
    ctx: Context, origin: Annotated[bool, Option("--origin", help="Also say where each value comes from.")] = False
) -> None:
    """Show every setting of this store and its value; passwords are not shown.

    An option comes before the environment, that before config.toml, that before the default. A daemon that runs goes
    by what was so when it was started.

    For example:

        invctl config show --origin
    """
    folder = home(ctx)
    found = configured.all_settings(folder, os.environ, home_typed=typed(ctx, "home"))
    columns = [Column("setting", style="cyan"), Column("value", show=str, folds=True)]
    if origin:
        columns += [Column("origin", show=_), Column("source", "From", folds=True)]
    output(ctx).rows(columns, [{column.key: getattr(each, column.key) for column in columns} for each in found])
    if output(ctx).fmt == "table":
        for oddity in oddities(folder):
            output(ctx).talk([(_("warning:"), "bold yellow"), f" {oddity}"])

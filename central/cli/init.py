"""`invcentral init`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from central.cli.command import home, opened
from central.cli.words import counted
from central.database import describe, writing
from central.migrations import migrate
from central.settings import DATABASE_VARIABLE, RUN, config_text, load
from central.shards import found, shard_count
from invctl.console.command import output
from invctl.console.options import whole
from invctl.errors import NotFoundError, WrongStateError
from invctl.model.identifiers import SLOTS
from invctl.settings import CONFIG_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection


def init(
    ctx: Context,
    shards: Annotated[
        int | None,
        Option(
            "--shards",
            click_type=whole(1, SLOTS),
            help="Into how many shares stores are divided, for good. 1 by default.",
        ),
    ] = None,
    database_url: Annotated[
        str | None,
        Option("--database-url", metavar="URL", help="Where to keep everything; a SQLite file here by default."),
    ] = None,
) -> None:
    """Set up head office: its folder, its settings, its database. Done already, it brings the database up to date.

    For example:

        invcentral init
        invcentral init --database-url postgresql://office@db/central --shards 4
    """
    folder = home(ctx)
    _make_folder(folder, database_url)
    settings = load(folder, os.environ, database_url=database_url)
    with opened(settings.database_url, create=True) as engine:
        migrate(engine)
        with writing(engine) as connection:
            made_database = _found(connection, shards)
            count = shard_count(connection)
            connection.commit()
        where = describe(engine)
    # Only now: what cannot be opened must not stand in the settings, where it would be in the way of the right one.
    made_config = _write_config(folder, database_url)
    made = made_config or made_database
    record = {"home": str(folder), "database": where, "shards": count, "created": made}
    told = "is set up" if made else "was set up already; nothing was lost"
    hint = "" if not made else "\nnow: invcentral run"
    out = output(ctx)
    out.result(
        record,
        message=["head office ", (told, "bold green"), f": {folder}, {where}, {counted(count, 'shard')}{hint}"],
        ident=str(folder),
    )


def _make_folder(folder: Path, database_url: str | None) -> None:
    """Make what is missing of the folder. Raises WrongStateError where its settings name another database."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / RUN).mkdir(exist_ok=True)
    path = folder / CONFIG_FILE
    if database_url and path.exists():
        environ = {name: value for name, value in os.environ.items() if name != DATABASE_VARIABLE}
        if load(folder, environ).database_url != database_url:
            raise WrongStateError(
                f"{path} names another database", hint=f"change database_url there, or set {DATABASE_VARIABLE}"
            )


def _write_config(folder: Path, database_url: str | None) -> bool:
    """Write the settings, which may hold a password. False where they are there already: those stay."""
    path = folder / CONFIG_FILE
    if path.exists():
        return False
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(config_text(folder, database_url=database_url))
    return True


def _found(connection: Connection, shards: int | None) -> bool:
    """Fix the number of shards. False where that was done before."""
    try:
        shard_count(connection)
    except NotFoundError:
        found(connection, shards or 1)
        return True
    if shards is not None:
        found(connection, shards)
    return False

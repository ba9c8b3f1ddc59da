"""The schema's history, in Alembic, and how a database is brought up to it.

Alembic itself is loaded by `migrate` alone: every command asks whether the schema is current, and most find it so.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Column, MetaData, Table, Text, inspect, select, update

from central import tables
from central.database import describe, lock_setup, reading, writing
from invctl.errors import NotFoundError, RefusedError, WrongStateError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

# Every revision in versions/, oldest first.
REVISIONS = ("0001", "0002", "0003")

FOLDER = Path(__file__).parent
# Alembic's own table; its name and its column are fixed.
_version = Table("alembic_version", MetaData(), Column("version_num", Text))


def migrate(engine: Engine) -> None:
    """Bring the schema up to this program's, in one transaction. Done already, it does nothing.

    An upgrade takes every fence away: a central of the older program that runs meanwhile commits nothing more, asks
    for a new fence, and is told by `refuse_newer` that it is outdated. Raises RefusedError where the database is
    newer than the program.
    """
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with writing(engine) as connection:
        lock_setup(connection)
        before = _revision(connection)
        _refuse(before, engine)
        if before == REVISIONS[-1]:
            return
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.execute(update(tables.shards).values(fence=None))
        connection.commit()


def require_current(engine: Engine) -> None:
    """Do nothing where the schema is this program's.

    Raises NotFoundError where there is none yet, WrongStateError where it is older, RefusedError where it is newer.
    """
    with reading(engine) as connection:
        revision = _revision(connection)
    if revision is None:
        raise NotFoundError(f"{describe(engine)} is no database of invcentral yet", hint="run: invcentral init")
    _refuse(revision, engine)
    if revision != REVISIONS[-1]:
        raise WrongStateError(
            f"{describe(engine)} has an older schema ({revision}; this program needs {REVISIONS[-1]})",
            hint="make a backup, and run: invcentral init",
        )


def refuse_newer(connection: Connection) -> None:
    """Raise RefusedError where the database was meanwhile upgraded for a newer program, in the caller's transaction."""
    _refuse(_revision(connection), connection.engine)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_version.name):
        return None
    return connection.execute(select(_version.c.version_num)).scalar()


def _refuse(revision: str | None, engine: Engine) -> None:
    if revision is not None and revision not in REVISIONS:
        raise RefusedError(
            f"{describe(engine)} was made by a newer invcentral (its schema is {revision})",
            hint="upgrade this program",
        )

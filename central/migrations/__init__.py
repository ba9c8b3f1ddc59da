"""The schema's history, in Alembic, and how a database is brought up to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine


def migrate(engine: Engine) -> None:
    """Bring the schema up to this program's. Done already, it does nothing.

    Raises RefusedError where the database is newer than the program.
    """
    raise NotImplementedError


def require_current(engine: Engine) -> None:
    """Do nothing where the schema is this program's.

    Raises NotFoundError where there is none yet, WrongStateError where it is older, RefusedError where it is newer.
    """
    raise NotImplementedError

"""A schema of PostgreSQL that belongs to one run: tables of a head office that is there already are never touched."""

from __future__ import annotations

import json
import os
import secrets
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import make_url, text
from sqlalchemy.exc import ArgumentError

from central.database import open_database, writing
from invctl.clock import SystemClock
from invctl.errors import InvalidValueError, InventoryError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_RECORD = "schema.json"
_PREFIX = "invctl_run_"
_NOT_SHOWN = ("password", "sslpassword", "options")


@contextmanager
def schema_of_its_own(url: str, folder: Path, *, keep: bool, say: Callable[[str], None]) -> Iterator[str]:
    """Make a schema in the database at `url`, and give the URL that leads into it. It is removed in the end.

    The folder, a run's, notes the schema, so that whoever clears the folder of a killed run removes it as well.
    With `keep` it stays. `say` is told of it, and where it cannot be removed.

    Raises InvalidValueError where the URL is none of PostgreSQL, UnreachableError where no server answers.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # It may be half a password.
        raise InvalidValueError("the database's URL cannot be read", hint="postgresql://user@host/name") from None
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise InvalidValueError(
            f"{parsed.get_backend_name()} is not PostgreSQL", hint="without --central-url a run has a SQLite of its own"
        )
    schema = f"{_PREFIX}{secrets.token_hex(8)}"
    _execute(url, f"CREATE SCHEMA {schema}")
    if not keep:
        _note(folder / _RECORD, url, schema)
    given = parsed.query.get("options", ())
    options = " ".join([*([given] if isinstance(given, str) else given), f"-csearch_path={schema}"])
    try:
        yield parsed.update_query_dict({"options": options}).render_as_string(hide_password=False)
    finally:
        if keep:
            shown = parsed.set(drivername="postgresql", password=None).difference_update_query(_NOT_SHOWN)
            remove = shlex.join(["psql", shown.render_as_string(), "-c", f"DROP SCHEMA {schema} CASCADE"])
            say(f"kept in schema {schema} (to remove it: {remove})")
        else:
            _drop(url, schema, say)


def drop_left_schema(folder: Path, *, say: Callable[[str], None]) -> None:
    """Remove the schema of a run that was killed, if it had one."""
    if (record := folder / _RECORD).exists():
        noted = json.loads(record.read_text(encoding="utf-8"))
        _drop(noted["url"], noted["schema"], say)


def _note(record: Path, url: str, schema: str) -> None:
    # The URL may hold a password.
    fd = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump({"url": url, "schema": schema}, file)


def _drop(url: str, schema: str, say: Callable[[str], None]) -> None:
    assert schema.startswith(_PREFIX)
    try:
        _execute(url, f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    except InventoryError as error:
        say(f"the schema {schema} is still there: {error.message}")


def _execute(url: str, statement: str) -> None:
    engine = open_database(url, clock=SystemClock())
    try:
        with writing(engine) as connection:
            connection.execute(text(statement))
            connection.commit()
    except UnreachableError as error:
        # Its hint is for head office's own settings.
        raise UnreachableError(error.message, hint="check that the server runs, and --central-url") from error
    finally:
        engine.dispose()

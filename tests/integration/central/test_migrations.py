"""The schema is brought up in steps, ends as the tables say, and is never used by a program of another age."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text, update

from central import migrations, stores, tables
from central.centrals import list_centrals
from central.database import open_database, reading, writing
from central.migrations import FOLDER, REVISIONS, migrate, require_current
from central.reads import list_stores
from central.shards import found, list_shards, shard_count
from invctl.clock import ManualClock
from invctl.errors import InvalidValueError, NotFoundError, RefusedError, WrongStateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    opened = open_database(empty_url, clock=ManualClock(), create=True)
    yield opened
    opened.dispose()


def test_the_migrated_schema_is_that_of_the_tables(engine: Engine) -> None:
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, tables.metadata) == []
        found_tables = set(inspect(connection).get_table_names())
    assert found_tables == set(tables.metadata.tables) | {"alembic_version"}


def test_on_sqlite_it_is_the_same_to_the_letter(empty_sqlite: str, tmp_path: Path) -> None:
    """What Alembic does not compare: checks, STRICT, WITHOUT ROWID, the condition of an index."""
    migrated = open_database(empty_sqlite, clock=ManualClock(), create=True)
    migrate(migrated)
    made = create_engine(f"sqlite:///{tmp_path}/made.db")
    tables.metadata.create_all(made)
    assert schema_of(migrated) == schema_of(made)
    made.dispose()
    migrated.dispose()


def schema_of(engine: Engine) -> dict[str, list[str]]:
    """Every CREATE statement, its parts in order: the order of constraints means nothing."""
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'")
        ).all()
    return {
        row.name: sorted(re.split(r",\s*\n", re.sub(r"[ \t]+", " ", row.sql.replace("\n)", ",\n)")).strip()))
        for row in rows
    }


def test_on_postgresql_the_checks_and_indexes_are_the_same(empty_postgres: str, postgres_server: str) -> None:
    migrated = open_database(empty_postgres, clock=ManualClock())
    migrate(migrated)
    first = definitions(migrated)
    with migrated.begin() as connection:
        tables.metadata.drop_all(connection)
        tables.metadata.create_all(connection)
    assert definitions(migrated) == first
    migrated.dispose()


def definitions(engine: Engine) -> list[tuple[str, ...]]:
    with engine.connect() as connection:
        checks = connection.execute(
            text(
                "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
                " WHERE connamespace = current_schema()::regnamespace AND conname NOT LIKE 'alembic%'"
            )
        ).all()
        indexes = connection.execute(
            text("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()")
        ).all()
    assert checks
    return sorted(tuple(row) for row in [*checks, *indexes] if "alembic" not in row[0])


def test_every_revision_is_listed_in_order() -> None:
    script = ScriptDirectory(str(FOLDER))
    assert [each.revision for each in script.walk_revisions()] == list(reversed(REVISIONS))
    assert script.get_current_head() == REVISIONS[-1]


def test_migrating_twice_changes_nothing(engine: Engine) -> None:
    migrate(engine)
    with writing(engine) as connection:
        found(connection)
        connection.commit()
    migrate(engine)
    require_current(engine)
    with reading(engine) as connection:
        assert shard_count(connection) == 1


def test_a_database_of_the_first_schema_is_brought_up_with_what_it_holds(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shutil.copytree(FOLDER, tmp_path / "first")
    for later in (first / "versions").glob("000[2-9]_*.py"):
        later.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "FOLDER", first)
        patched.setattr(migrations, "REVISIONS", REVISIONS[:1])
        migrate(engine)
        with writing(engine) as connection:
            found(connection)
            stores.admit(connection, "downtown")
            connection.commit()
    with pytest.raises(WrongStateError):
        require_current(engine)
    migrate(engine)
    require_current(engine)
    with reading(engine) as connection:
        assert [each.store for each in list_stores(connection)] == ["downtown"]
        assert list_centrals(connection) == []


def test_a_database_without_a_schema_is_told_how_to_get_one(engine: Engine) -> None:
    with pytest.raises(NotFoundError) as caught:
        require_current(engine)
    assert "invcentral init" in caught.value.hint


def test_an_older_schema_is_told_how_to_be_upgraded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(engine)
    monkeypatch.setattr(migrations, "REVISIONS", (*REVISIONS, "9999"))
    with pytest.raises(WrongStateError) as caught:
        require_current(engine)
    assert "invcentral init" in caught.value.hint


@pytest.mark.fault_tolerance
def test_a_newer_schema_is_refused(engine: Engine) -> None:
    migrate(engine)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.commit()
    with pytest.raises(RefusedError, match="newer"):
        require_current(engine)
    with pytest.raises(RefusedError, match="newer"):
        migrate(engine)


@pytest.mark.fault_tolerance
def test_a_migration_that_dies_leaves_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on SQLite all of it is one transaction, with the record of the revision."""
    monkeypatch.setattr("sqlalchemy.engine.Connection.commit", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        migrate(engine)
    monkeypatch.undo()
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == []
    migrate(engine)
    require_current(engine)


def test_the_number_of_shards_is_fixed_once(empty_postgres: str) -> None:
    engine = open_database(empty_postgres, clock=ManualClock())
    migrate(engine)
    with writing(engine) as connection:
        with pytest.raises(NotFoundError):
            shard_count(connection)
        found(connection, 4)
        found(connection, 4)
        assert shard_count(connection) == 4
        assert [(each.shard, each.position) for each in list_shards(connection)] == [(0, 0), (1, 0), (2, 0), (3, 0)]
        with pytest.raises(WrongStateError) as caught:
            found(connection, 2)
    assert caught.value.details == {"shards": 4}
    engine.dispose()


@pytest.mark.parametrize("shards", [0, 65, 2])
def test_sqlite_has_one_shard(sqlite_url: str, shards: int) -> None:
    engine = open_database(sqlite_url, clock=ManualClock())
    with writing(engine) as connection, pytest.raises(InvalidValueError):
        found(connection, shards)
    engine.dispose()


def test_a_status_of_its_own_making_is_refused(url: str) -> None:
    """What central decides itself is guarded; see the tables."""
    engine = open_database(url, clock=ManualClock())
    with writing(engine) as connection:
        connection.execute(tables.stores.insert(), [{"store": "downtown", "status": "pending", "slot": 1, "shard": 0}])
        with pytest.raises(Exception, match="ck_stores_status"):
            connection.execute(update(tables.stores).values(status="banned"))
    engine.dispose()

"""Central's database on both servers: SQLite always, PostgreSQL where one answers, in a schema of its own."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from central.tables import metadata
from invctl.clock import ManualClock
from tests.integration.central.head_office import HeadOffice, set_up
from tests.integration.central.histories import START_US, History
from tests.servers import postgres_url_of_a_server, schema_of_its_own

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """The URL of a server that answers."""
    return postgres_url_of_a_server()


@pytest.fixture
def empty_postgres(postgres_server: str) -> Iterator[str]:
    with schema_of_its_own(postgres_server) as url:
        yield url


@pytest.fixture
def empty_sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/central.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest) -> str:
    """A database with nothing in it."""
    value: str = request.getfixturevalue("empty_sqlite" if request.param == "sqlite" else "empty_postgres")
    return value


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str) -> Iterator[str]:
    with schema_of_its_own(postgres_server) as url:
        set_up(url)
        yield url


@pytest.fixture
def postgres_url(migrated_postgres: str) -> Iterator[str]:
    yield migrated_postgres
    engine = create_engine(migrated_postgres)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL synchronous_commit = off"))
        for table in reversed(metadata.sorted_tables):
            if table.name not in {"meta", "shards"}:
                connection.execute(table.delete())
        connection.execute(text("UPDATE shards SET fence = NULL, holder = '', fenced_us = NULL, position = 0"))
    engine.dispose()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("central") / "template.db"
    set_up(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    copied = shutil.copy(migrated_sqlite, tmp_path / "central.db")
    return f"sqlite:///{copied}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A database that was set up, and is empty."""
    value: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return value


@pytest.fixture
def clock() -> ManualClock:
    """The database's clock where that is SQLite; an hour after the stores' histories begin."""
    return ManualClock(START_US + 3_600_000_000)


@pytest.fixture
def office(url: str, clock: ManualClock) -> Iterator[HeadOffice]:
    opened = HeadOffice(url, clock)
    yield opened
    opened.close()


@pytest.fixture
def history() -> History:
    return History(random.Random(7))

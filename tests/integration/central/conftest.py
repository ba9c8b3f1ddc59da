"""Central's database on both servers: SQLite always, PostgreSQL where one answers, in a schema of its own."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from invctl.clock import ManualClock
from tests.integration.central.head_office import HeadOffice
from tests.integration.central.histories import START_US, History

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEFAULT_POSTGRES = "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """The URL of a server that answers; skips where there is none."""
    url = os.environ.get("INVCTL_TEST_POSTGRES_URL", DEFAULT_POSTGRES)
    url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(url, connect_args={"connect_timeout": 2})
    try:
        with engine.connect():
            return url
    except OperationalError:
        pytest.skip("needs a PostgreSQL server: INVCTL_TEST_POSTGRES_URL, or one on 127.0.0.1:5432")
    finally:
        engine.dispose()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    schema = f"invctl_test_{uuid4().hex}"
    admin = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    try:
        yield f"{postgres_server}{'&' if '?' in postgres_server else '?'}options=-csearch_path%3D{schema}"
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        admin.dispose()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/central.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
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

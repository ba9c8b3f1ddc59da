"""A run's own schema, on a real PostgreSQL: nobody else's tables are touched, and nothing is left."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from central.database import open_database, reading
from invctl.clock import SystemClock
from invctl.errors import InvalidValueError, UnreachableError
from scripts.chain.schema import drop_left_schema, schema_of_its_own
from tests.servers import postgres_url_of_a_server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def server() -> str:
    return postgres_url_of_a_server()


@pytest.fixture
def said() -> list[str]:
    return []


def schemas(server: str) -> set[str]:
    engine = create_engine(server)
    with engine.connect() as connection:
        found = set(connection.execute(text("SELECT schema_name FROM information_schema.schemata")).scalars())
    engine.dispose()
    return found


def drop(server: str, schema: str) -> None:
    engine = create_engine(server)
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


def schema_at(url: str) -> str:
    """Where a central that is given this URL has its tables."""
    engine = open_database(url, clock=SystemClock())
    with reading(engine) as connection:
        found: str = connection.execute(text("SELECT current_schema()")).scalar_one()
    engine.dispose()
    return found


@pytest.mark.business
def test_it_is_there_during_the_run_and_gone_afterwards(server: str, tmp_path: Path, said: list[str]) -> None:
    with schema_of_its_own(server, tmp_path, keep=False, say=said.append) as url:
        own = schema_at(url)
        assert own in schemas(server)
        assert own != schema_at(server)
        # An option of the user's own is kept.
        joint = "&" if "?" in server else "?"
        with schema_of_its_own(
            f"{server}{joint}options=-capplication_name%3Dmine", tmp_path / "other", keep=True, say=said.append
        ) as other:
            assert "application_name" in other
            kept = schema_at(other)
            assert kept != own
    assert own not in schemas(server)
    assert kept in schemas(server)
    (told,) = said
    match = re.fullmatch(r"kept in schema (\w+) \(to remove it: psql (\S+) -c '(.*)'\)", told)
    assert match
    name, url, statement = match.groups()
    assert (name, statement) == (kept, f"DROP SCHEMA {kept} CASCADE")
    assert url.startswith("postgresql://")
    drop(server, kept)


@pytest.mark.fault_tolerance
def test_that_of_a_killed_run_is_removed_with_its_folder(server: str, tmp_path: Path, said: list[str]) -> None:
    with schema_of_its_own(server, tmp_path, keep=False, say=said.append) as url:
        own = schema_at(url)
        record = next(tmp_path.iterdir())
        assert record.stat().st_mode & 0o077 == 0
        # As the next run does that finds the folder.
        drop_left_schema(tmp_path, say=said.append)
        assert own not in schemas(server)
    assert said == []


@pytest.mark.fault_tolerance
def test_a_server_that_is_gone_by_then_is_said_and_does_not_stop_the_next_run(tmp_path: Path, said: list[str]) -> None:
    schema = f"invctl_run_{secrets.token_hex(8)}"
    record = f'{{"url": "postgresql://postgres@127.0.0.1:1/none", "schema": "{schema}"}}'
    (tmp_path / "schema.json").write_text(record)
    drop_left_schema(tmp_path, say=said.append)
    assert len(said) == 1
    assert said[0].startswith(f"the schema {schema} is still there: ")
    drop_left_schema(tmp_path / "without", say=pytest.fail)


@pytest.mark.fault_tolerance
def test_a_server_that_is_not_there_is_told_with_the_option_that_named_it(tmp_path: Path) -> None:
    with (
        pytest.raises(UnreachableError) as caught,
        schema_of_its_own("postgresql://postgres@127.0.0.1:1/none", tmp_path, keep=False, say=pytest.fail),
    ):
        pass
    assert caught.value.hint == "check that the server runs, and --central-url"


@pytest.mark.business
@pytest.mark.parametrize("url", ["sqlite:////tmp/central.db", "mysql://root:hush@127.0.0.1/x", "hush"])
def test_what_is_no_postgresql_is_refused(url: str, tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidValueError, match=re.compile("PostgreSQL|cannot be read")) as caught,
        schema_of_its_own(url, tmp_path, keep=False, say=pytest.fail),
    ):
        pass
    assert "hush" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []

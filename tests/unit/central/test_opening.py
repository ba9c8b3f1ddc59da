"""Which URLs and which SQLite central opens. Nothing connects."""

from __future__ import annotations

import sys

import pysqlite3.dbapi2 as sqlite
import pytest

from central.database import describe, open_database
from central.shards import shard_of, slots_of
from central.sqlite import check_version
from invctl.clock import ManualClock
from invctl.errors import InvalidValueError, RefusedError
from invctl.model.identifiers import SLOTS


@pytest.mark.parametrize(
    "url",
    [
        "",
        "central.db",
        "s3cret",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///central.db?timeout=0",
        "sqlite:///file:central.db?uri=true",
        "mysql://root:s3cret@localhost/db",
        "postgresql://anna:s3cret@host:port/db",
        "postgresql://anna:pass:s3cret/db@host:99999999999999999999x/db",
    ],
)
def test_what_central_cannot_use_is_said_without_a_secret(url: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        open_database(url, clock=ManualClock())
    assert "s3cret" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert "sqlite:////" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////var/lib/central.db", "sqlite:////var/lib/central.db"),
        ("postgresql://anna:s3cret@host:5433/db?sslmode=require", "postgresql://anna:***@host:5433/db"),
        ("postgresql+psycopg://host/db?password=s3cret", "postgresql://host/db"),
        ("postgres://host/db", "postgresql://host/db"),
    ],
)
def test_a_database_is_described_without_a_secret(url: str, shown: str) -> None:
    assert describe(open_database(url, clock=ManualClock())) == shown


@pytest.mark.parametrize("version", [(3, 7, 0), (3, 40, 1), (3, 51, 2)])
def test_a_sqlite_that_may_corrupt_the_file_is_refused(
    version: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RefusedError):
        check_version(version)
    monkeypatch.setattr(sqlite, "sqlite_version_info", version)
    with pytest.raises(RefusedError, match=r"\.".join(map(str, version))):
        open_database("sqlite:////var/lib/central.db", clock=ManualClock())


@pytest.mark.parametrize("version", [(3, 6, 23), (3, 51, 3), (3, 53, 4), (4, 0, 0)])
def test_a_sound_sqlite_is_used(version: tuple[int, int, int]) -> None:
    check_version(version)


def test_postgresql_without_its_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "central.postgres", raising=False)
    monkeypatch.delattr("central.postgres", raising=False)
    with pytest.raises(InvalidValueError) as caught:
        open_database("postgresql://host/db", clock=ManualClock())
    assert "invctl[postgres]" in caught.value.hint


@pytest.mark.parametrize("shards", [1, 2, 3, 7, 64])
def test_every_slot_belongs_to_one_shard(shards: int) -> None:
    slots = [slots_of(shard, shards) for shard in range(shards)]
    assert sorted(slot for some in slots for slot in some) == list(range(SLOTS))
    assert all(shard_of(slot, shards) == shard for shard, some in enumerate(slots) for slot in some)
    assert max(map(len, slots)) - min(map(len, slots)) <= 1

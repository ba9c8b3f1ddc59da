"""How a database is opened: durable, consistent, bounded in time, and silent about passwords."""

from __future__ import annotations

import threading
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING

import pysqlite3.dbapi2 as sqlite
import pytest
from sqlalchemy import create_engine, select, text, update
from sqlalchemy.exc import OperationalError

from central import database, postgres, shards, tables
from central import sqlite as central_sqlite
from central.database import describe, hurry, now_us, open_database, reading, writing
from invctl.clock import ManualClock, SystemClock
from invctl.errors import BusyError, RefusedError, UnreachableError
from tests.integration.central.head_office import HeadOffice, each_statement
from tests.integration.central.histories import START_US

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine


def setting(connection: Connection, name: str) -> str:
    return str(connection.exec_driver_sql(name).scalar_one())


def test_sqlite_is_durable_and_shared(sqlite_url: str) -> None:
    engine = open_database(sqlite_url, clock=ManualClock())
    with reading(engine) as connection:
        assert setting(connection, "PRAGMA journal_mode") == "wal"
        assert setting(connection, "PRAGMA synchronous") == "2"
        assert setting(connection, "PRAGMA foreign_keys") == "1"
        assert setting(connection, "PRAGMA busy_timeout") == "5000"
    engine.dispose()


@pytest.mark.parametrize("options", ["", " -csynchronous_commit%3Doff -cstatement_timeout%3D0"])
def test_postgresql_is_durable_and_bounded_whatever_the_url_says(postgres_url: str, options: str) -> None:
    engine = open_database(postgres_url + options, clock=ManualClock(), idle_in_transaction_s=2.5)
    with writing(engine) as connection:
        assert setting(connection, "SHOW synchronous_commit") == "on"
        assert setting(connection, "SHOW idle_in_transaction_session_timeout") == "2500ms"
        assert setting(connection, "SHOW statement_timeout") == "30s"
        assert setting(connection, "SHOW lock_timeout") == "5s"
        assert setting(connection, "SHOW transaction_isolation") == "read committed"
        assert connection.execute(select(tables.meta.c.shards)).scalar_one() == 1
    engine.dispose()


@pytest.mark.fault_tolerance
def test_whoever_stops_inside_a_transaction_is_cut_off(postgres_url: str) -> None:
    engine = open_database(postgres_url, clock=ManualClock(), idle_in_transaction_s=0.001)
    admin = create_engine(postgres_url)

    def stop_inside() -> None:
        with writing(engine) as connection, admin.connect() as other:
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            alive = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
            while other.execute(alive, {"pid": pid}).scalar_one():
                other.rollback()
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(UnreachableError):
        stop_inside()
    admin.dispose()
    engine.dispose()


def test_a_file_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/central.db", clock=ManualClock())
    with pytest.raises(UnreachableError) as caught, reading(engine):
        pass
    assert "invcentral init" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_path_with_odd_characters_is_opened(tmp_path: Path) -> None:
    folder = tmp_path / "a b?c%d#e"
    folder.mkdir()
    url = f"sqlite:///{folder}/central.db".replace("%", "%25").replace("?", "%3F")
    engine = open_database(url, clock=ManualClock(), create=True)
    with reading(engine):
        pass
    engine.dispose()
    assert (folder / "central.db").exists() or list(folder.iterdir()) == []


def test_what_is_no_database_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "central.db"
    path.write_bytes(b"This is a shopping list." * 100)
    with pytest.raises(RefusedError) as caught, reading(open_database(f"sqlite:///{path}", clock=ManualClock())):
        pass
    assert "INVCENTRAL_DATABASE_URL" in caught.value.hint


def test_a_file_system_without_wal_is_refused(empty_sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own driver for file systems without locks has no shared memory either, as a network drive has none."""
    connect = sqlite.connect
    monkeypatch.setattr(sqlite, "connect", lambda name, **options: connect(name + "&vfs=unix-dotfile", **options))
    with (
        pytest.raises(RefusedError, match="WAL"),
        reading(open_database(empty_sqlite, clock=ManualClock(), create=True)),
    ):
        pass


@pytest.mark.concurrency
def test_a_second_writer_waits_and_is_told(office: HeadOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(central_sqlite, "BUSY_TIMEOUT_S", 0.01)
    monkeypatch.setattr(postgres, "LOCK_TIMEOUT_S", 0.01)
    other = open_database(office.url, clock=ManualClock())
    with writing(office.engine) as first:
        first.execute(update(tables.shards).values(holder="first"))
        with pytest.raises(BusyError) as caught, writing(other) as second:
            second.execute(update(tables.shards).values(holder="second"))
        assert "again" in caught.value.hint
    with writing(other) as connection:
        connection.execute(update(tables.shards).values(holder="second"))
        connection.commit()
    other.dispose()


@pytest.mark.concurrency
def test_on_sqlite_who_is_told_to_hurry_waits_no_longer_and_writes_where_nobody_does(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(central_sqlite, "BUSY_TIMEOUT_S", 3600.0)
    other, engine = (open_database(sqlite_url, clock=ManualClock()) for _ in range(2))
    tries = threading.Semaphore(0)

    def note(statement: str) -> None:
        if statement == "BEGIN IMMEDIATE":
            tries.release()

    def write() -> None:
        with writing(engine) as connection:
            connection.execute(update(tables.shards).values(holder="hurried"))
            connection.commit()

    with writing(other), each_statement(engine, note):
        outcome: Queue[BaseException] = Queue()
        threading.Thread(target=lambda: outcome.put(caught_of(write)), daemon=True).start()
        for _ in range(3):
            assert tries.acquire(timeout=60)
        hurry(engine)
        assert isinstance(outcome.get(timeout=60), BusyError)
        with pytest.raises(BusyError):
            write()
    write()
    with writing(engine) as connection:
        assert setting(connection, "PRAGMA busy_timeout") == "3600000"
    other.dispose()
    engine.dispose()


def caught_of(work: Callable[[], None]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - which one is the question
        work()
    return caught.value


@pytest.mark.concurrency
def test_on_sqlite_a_writer_is_alone_before_it_reads(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else both would read, and the second one's write would fail at once, however long it was ready to wait."""
    monkeypatch.setattr(central_sqlite, "BUSY_TIMEOUT_S", 0.01)
    engine = open_database(sqlite_url, clock=ManualClock())
    with writing(engine):
        with pytest.raises(BusyError), writing(engine):
            pass
        with reading(engine) as connection:
            assert shards.shard_count(connection) == 1
    engine.dispose()


def holder(engine: Engine) -> str:
    with reading(engine) as connection:
        return shards.list_shards(connection)[0].holder


def test_leaving_without_a_commit_rolls_back(office: HeadOffice) -> None:
    with writing(office.engine) as connection:
        connection.execute(update(tables.shards).values(holder="nobody"))
    assert holder(office.engine) == "central-1"

    def fail() -> None:
        with writing(office.engine) as connection:
            connection.execute(update(tables.shards).values(holder="nobody"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert holder(office.engine) == "central-1"


def test_a_reader_sees_one_state_throughout(office: HeadOffice) -> None:
    with reading(office.engine) as connection:
        assert shards.list_shards(connection)[0].holder == "central-1"
        office.mint("central-2")
        assert shards.list_shards(connection)[0].holder == "central-1"
    assert holder(office.engine) == "central-2"


def test_what_is_written_while_reading_is_lost_or_refused(office: HeadOffice) -> None:
    def write() -> None:
        with reading(office.engine) as connection:
            connection.execute(update(tables.shards).values(holder="nobody"))

    if office.engine.dialect.name == "postgresql":
        with pytest.raises(UnreachableError, match="read-only"):
            write()
    else:
        write()
    assert holder(office.engine) == "central-1"


@pytest.mark.fault_tolerance
def test_a_commit_that_fails_leaves_nothing_open(
    sqlite_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL ends a transaction whose COMMIT fails; SQLite may not."""
    office = HeadOffice(sqlite_url, clock)

    def disk_full(_: object) -> None:
        error = sqlite.OperationalError("database or disk is full")
        error.sqlite_errorname = "SQLITE_FULL"
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(office.engine.dialect, "do_commit", disk_full)
        with pytest.raises(UnreachableError, match="full"):
            office.mint("central-2")
    office.mint("central-3")
    assert holder(office.engine) == "central-3"
    office.close()


@pytest.mark.fault_tolerance
def test_a_fault_in_the_program_does_not_look_like_an_outage(office: HeadOffice) -> None:
    with pytest.raises(Exception, match="no_such_table") as caught, reading(office.engine) as connection:
        connection.exec_driver_sql("SELECT * FROM no_such_table")
    assert not isinstance(caught.value, (BusyError, UnreachableError, RefusedError))


@pytest.mark.fault_tolerance
def test_an_interrupt_stays_an_interrupt(office: HeadOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(office.engine.dialect, "do_execute", interrupted)
    with pytest.raises(KeyboardInterrupt), reading(office.engine) as connection:
        connection.exec_driver_sql("SELECT 1")


@pytest.mark.fault_tolerance
def test_a_server_that_is_not_there_is_unreachable_and_its_password_stays_secret() -> None:
    engine = open_database("postgresql://anna:s3cret@127.0.0.1:1/db?password=s3cret", clock=ManualClock())
    with pytest.raises(UnreachableError) as caught, reading(engine):
        pass
    told = f"{caught.value} {caught.value.hint} {caught.value.details} {describe(engine)}"
    assert "s3cret" not in told
    assert "INVCENTRAL_DATABASE_URL" in caught.value.hint
    assert describe(engine) == "postgresql://anna:***@127.0.0.1:1/db"


def test_more_users_than_connections_are_told_to_try_again(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "POOL_CONNECTIONS_MAX", 1)
    monkeypatch.setattr(database, "POOL_WAIT_S", 0.01)
    engine = open_database(sqlite_url, clock=ManualClock())
    with reading(engine), pytest.raises(BusyError, match="all 1 connections"), reading(engine):
        pass
    engine.dispose()


def test_the_clock_is_the_databases(office: HeadOffice, clock: ManualClock) -> None:
    with reading(office.engine) as connection:
        first = now_us(connection)
        if office.engine.dialect.name == "sqlite":
            assert first == clock.now_us() == START_US + 3_600_000_000
            clock.advance(1.5)
            assert now_us(connection) == first + 1_500_000
        else:
            # Within a transaction it goes on, and it is the same time as ours.
            assert first < now_us(connection)
            assert abs(first - SystemClock().now_us()) < 60_000_000


def test_values_of_a_failing_statement_are_not_told(office: HeadOffice) -> None:
    with pytest.raises(Exception, match="shards") as caught, writing(office.engine) as connection:
        connection.execute(tables.shards.insert(), [{"shard": 0, "holder": "Mrs Customer", "position": 0}])
    assert not isinstance(caught.value, OperationalError)
    assert "Mrs Customer" not in str(caught.value)


@pytest.mark.fault_tolerance
def test_a_file_that_was_replaced_is_opened_anew(sqlite_url: str, tmp_path: Path) -> None:
    engine = open_database(sqlite_url, clock=ManualClock())
    file = Path(str(engine.url.database))

    def holders() -> list[str]:
        with reading(engine) as connection:
            return [each.holder for each in shards.list_shards(connection)]

    def hold(holder: str) -> None:
        with writing(engine) as connection:
            connection.execute(update(tables.shards).values(holder=holder))
            connection.commit()

    hold("before")
    older = tmp_path / "older.db"
    copier = sqlite.connect(file)
    copier.execute("VACUUM INTO ?", (str(older),))
    copier.close()
    hold("after")
    assert holders() == ["after"]
    for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
        (file.parent / name).unlink()
    with pytest.raises(UnreachableError, match="unable to open"):
        holders()
    older.rename(file)
    assert holders() == ["before"]
    hold("again")
    assert holders() == ["again"]
    engine.dispose()

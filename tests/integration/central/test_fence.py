"""Once another holder has minted its fence, the old one is told."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import text

from central import migrations, tables
from central.apply import apply_intakes
from central.database import open_database, reading, writing
from central.fence import FenceLostError, lock_and_check, mint, take_over
from central.shards import list_shards
from invctl.clock import ManualClock
from invctl.errors import BusyError, NotFoundError, RefusedError

ROOT = Path(__file__).parents[3]

if TYPE_CHECKING:
    from tests.integration.central.head_office import HeadOffice
    from tests.integration.central.histories import History


def test_each_fence_is_new_and_its_holder_is_shown(office: HeadOffice, clock: ManualClock) -> None:
    tokens = {office.mint(f"central-{number}") for number in range(5)}
    assert len(tokens) == 5
    assert all(len(token) == 32 for token in tokens)
    with reading(office.engine) as connection:
        [shard] = list_shards(connection)
    assert shard.holder == "central-4"
    if office.engine.dialect.name == "sqlite":
        assert shard.fenced_us == clock.now_us()


def test_the_holder_gets_the_last_position(office: HeadOffice, history: History) -> None:
    history.created()
    office.admit("downtown")
    office.take(history)
    with writing(office.engine) as connection:
        assert lock_and_check(connection, 0, office.fence) == 1


def test_an_older_fence_is_lost(office: HeadOffice) -> None:
    old = office.fence
    office.mint("central-2")
    with writing(office.engine) as connection, pytest.raises(FenceLostError):
        lock_and_check(connection, 0, old)


@pytest.mark.parametrize("shard", [-1, 1])
def test_there_is_no_fence_for_a_shard_that_is_not_there(office: HeadOffice, shard: int) -> None:
    with writing(office.engine) as connection:
        with pytest.raises(NotFoundError):
            mint(connection, shard, "central-1", office.chance)
        with pytest.raises(FenceLostError):
            lock_and_check(connection, shard, office.fence)


@pytest.mark.fault_tolerance
def test_an_upgrade_takes_the_fences_away_and_an_older_program_gets_no_new_one(
    empty_url: str, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.integration.central.head_office import HeadOffice, set_up

    set_up(empty_url)
    office = HeadOffice(empty_url, clock)
    # Done again, it is no upgrade: whoever works goes on.
    migrations.migrate(office.engine)
    with writing(office.engine) as connection:
        assert lock_and_check(connection, 0, office.fence) == 0
    newer = shutil.copytree(migrations.FOLDER, tmp_path / "migrations")
    (newer / "versions" / "9999_later.py").write_text(
        f"revision, down_revision = '9999', {migrations.REVISIONS[-1]!r}\nbranch_labels = depends_on = None\n"
        "def upgrade(): pass\n"
    )
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "FOLDER", newer)
        patched.setattr(migrations, "REVISIONS", (*migrations.REVISIONS, "9999"))
        migrations.migrate(office.engine)
    with writing(office.engine) as connection, pytest.raises(FenceLostError):
        lock_and_check(connection, 0, office.fence)
    with pytest.raises(RefusedError, match="newer"):
        office.mint()
    assert office.rows(tables.shards)[0].fence is None
    office.close()


@pytest.mark.parametrize("fence", ["", "None", "0"])
def test_nobody_holds_a_shard_for_which_nobody_minted(postgres_url: str, sqlite_url: str, fence: str) -> None:
    for url in (postgres_url, sqlite_url):
        engine = open_database(url, clock=ManualClock())
        with writing(engine) as connection, pytest.raises(FenceLostError):
            lock_and_check(connection, 0, fence)
        engine.dispose()


@pytest.mark.concurrency
def test_a_new_fence_waits_for_the_apply_under_way_and_stops_the_next(
    postgres_url: str, history: History, clock: ManualClock
) -> None:
    """The row lock is what a plain read would lack: the old holder would then commit after the new one minted."""
    from tests.integration.central.head_office import HeadOffice

    office = HeadOffice(postgres_url, clock)
    office.admit("downtown")
    history.created()
    history.product("MOUSE-001")
    minted = threading.Event()

    def take_over() -> None:
        office.mint("central-2")
        minted.set()

    successor = threading.Thread(target=take_over)
    with writing(office.engine) as connection:
        lock_and_check(connection, 0, office.fence)
        successor.start()
        waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%shards%'")
        with office.engine.connect() as other:
            while not other.execute(waiting).scalar_one():
                other.rollback()
        assert not minted.is_set()
        connection.commit()
    successor.join()
    with pytest.raises(FenceLostError):
        apply_intakes(office.engine, 0, office.fence, [history.intake()])
    office.close()


@pytest.mark.concurrency
def test_who_may_not_wait_for_a_shard_s_row_is_told_that_it_is_busy(postgres_url: str, clock: ManualClock) -> None:
    from tests.integration.central.head_office import HeadOffice

    office = HeadOffice(postgres_url, clock)
    with writing(office.engine) as connection:
        lock_and_check(connection, 0, office.fence)
        with writing(office.engine) as other, pytest.raises(BusyError):
            mint(other, 0, "central-2", office.chance, wait_s=0.001)
    office.close()


@pytest.mark.fault_tolerance
def test_one_that_stands_still_between_the_statements_of_a_pipeline_is_cut_off(
    postgres_url: str, clock: ManualClock
) -> None:
    from tests.integration.central.head_office import HeadOffice

    office = HeadOffice(postgres_url, clock)
    successor = open_database(postgres_url, clock=clock, idle_in_transaction_s=0.5)
    with writing(office.engine) as connection:
        lock_and_check(connection, 0, office.fence)
        line = connection.connection.driver_connection
        assert isinstance(line, psycopg.Connection)
        with contextlib.suppress(psycopg.OperationalError), line.pipeline():
            line.execute("SELECT 1")
            # As `executemany` leaves it when the process is stopped: no Sync follows, so the server waits for more.
            line.pgconn.send_flush_request()
            line.pgconn.flush()
            deadline_s = time.monotonic() + 60
            fence = ""
            while not fence:
                assert time.monotonic() < deadline_s
                with contextlib.suppress(BusyError):
                    fence, ended = take_over(successor, 0, "central-2", office.chance, wait_s=0.001)
            assert ended == [line.info.backend_pid]
        connection.invalidate()
    with writing(successor) as connection:
        assert lock_and_check(connection, 0, fence) == 0
    successor.dispose()
    office.close()


@pytest.mark.concurrency
def test_one_that_works_is_not_cut_off(postgres_url: str, clock: ManualClock) -> None:
    from tests.integration.central.head_office import HeadOffice

    office = HeadOffice(postgres_url, clock)
    with writing(office.engine) as connection:
        lock_and_check(connection, 0, office.fence)
        with pytest.raises(BusyError):
            take_over(office.engine, 0, "central-2", office.chance, wait_s=0.001)
        assert lock_and_check(connection, 0, office.fence) == 0
    office.close()


HOLDER = """
import sys
from central import tables
from central.database import open_database, writing
from central.fence import lock_and_check
from invctl.clock import SystemClock

url, fence = sys.argv[1:]
engine = open_database(url, clock=SystemClock(), idle_in_transaction_s=0.2)
with writing(engine) as connection:
    position = lock_and_check(connection, 0, fence)
    connection.execute(tables.shards.update().values(position=position + 1))
    print("inside", flush=True)
    sys.stdin.readline()
    connection.commit()
print("committed", flush=True)
"""


@pytest.mark.concurrency
@pytest.mark.fault_tolerance
def test_a_process_that_is_stopped_inside_its_transaction_is_cut_off_and_commits_nothing(
    postgres_url: str, clock: ManualClock
) -> None:
    """Else its row lock would keep the shard from the next holder for as long as it stands still."""
    from tests.integration.central.head_office import HeadOffice

    office = HeadOffice(postgres_url, clock)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, postgres_url, office.fence],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as stopped:
        try:
            assert stopped.stdout is not None
            assert stopped.stdout.readline() == "inside\n"
            stopped.send_signal(signal.SIGSTOP)
            # It waits for the row, which the server takes from whoever stands still.
            office.mint("central-2")
            stopped.send_signal(signal.SIGCONT)
            out, err = stopped.communicate("go on\n")
        finally:
            stopped.kill()
    assert (stopped.returncode, out) == (1, "")
    assert "UnreachableError" in err
    with reading(office.engine) as connection:
        [shard] = list_shards(connection)
    assert (shard.holder, shard.position) == ("central-2", 0)
    office.close()

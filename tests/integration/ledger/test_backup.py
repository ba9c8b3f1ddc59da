"""A backup is the ledger of one moment, whole under its name or not there, whoever works meanwhile."""

from __future__ import annotations

import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest

from invctl.clock import ManualClock, SystemClock
from invctl.errors import InvalidValueError, RefusedError
from invctl.ledger import backup, disk
from invctl.ledger.backup import back_up, default_name
from invctl.ledger.ledger import FILE, Ledger
from tests.integration.ledger.processes import working
from tests.unit.ledger.support import assert_sound, head, hold, new_ledger, tables

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.fault_tolerance

# In WAL mode, as the ledger's header has it, a file would want a log beside it.
ROLLBACK_JOURNAL = b"\x01\x01"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with new_ledger(tmp_path / "store", ManualClock(), MOUSE=1_000_000, LAPTOP=5) as ledger:
        hold(ledger, MOUSE=2, LAPTOP=1)
        yield ledger


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder


def names(folder: Path) -> list[str]:
    """Return what lies in a folder, hidden or not."""
    return sorted(path.name for path in folder.iterdir())


def opened(file: Path, folder: Path) -> Ledger:
    """Open a backup as a ledger."""
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(file.read_bytes())
    return Ledger.open(folder, clock=ManualClock())


def test_a_backup_is_the_ledger_in_one_plain_file(ledger: Ledger, place: Path, tmp_path: Path) -> None:
    # What it takes is still in the log, not yet in the file.
    assert (ledger.home / f"{FILE}-wal").stat().st_size > 0
    made = back_up(ledger, place / "one.db")
    assert names(place) == ["one.db"]
    assert (made.file, made.store, made.head.seq) == (place / "one.db", "downtown", head(ledger))
    assert made.head.hash == ledger.row("SELECT hash FROM events WHERE seq = ?", (made.head.seq,))[0]
    assert made.size_bytes == made.file.stat().st_size
    assert made.taken_us == ledger.now_us()
    content = made.file.read_bytes()
    assert content[18:20] == ROLLBACK_JOURNAL
    # Nothing beside it is needed, nor made, to read it where it may only be read.
    made.file.chmod(0o444)
    with closing(apsw.Connection(str(made.file), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchall() == [(made.head.seq,)]
    assert names(place) == ["one.db"]
    with opened(made.file, tmp_path / "copy") as copy:
        assert tables(copy) == tables(ledger)
        assert_sound(copy)


def test_it_is_named_by_store_and_time(ledger: Ledger) -> None:
    assert default_name(ledger) == "downtown-20260101T000000Z.db"


def test_a_file_that_is_there_stays_unless_forced(ledger: Ledger, place: Path) -> None:
    (place / "one.db").write_text("precious")
    with pytest.raises(RefusedError, match=r"there is a file at .* already") as caught:
        back_up(ledger, place / "one.db")
    assert "--force" in caught.value.hint
    assert (place / "one.db").read_text() == "precious"
    back_up(ledger, place / "one.db", force=True)
    assert (place / "one.db").read_bytes().startswith(b"SQLite format 3\0")
    assert names(place) == ["one.db"]


def test_one_that_comes_while_the_copy_is_made_stays_too(
    ledger: Ledger, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sync(_: Path) -> None:
        (place / "one.db").write_text("precious")

    monkeypatch.setattr(backup, "sync", sync)
    with pytest.raises(RefusedError, match=r"there is a file at .* already"):
        back_up(ledger, place / "one.db")
    assert (place / "one.db").read_text() == "precious"
    assert names(place) == ["one.db"]


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_the_ledger_itself_is_never_its_backup(ledger: Ledger, suffix: str) -> None:
    before = tables(ledger)
    with pytest.raises(InvalidValueError, match="is the ledger itself"):
        back_up(ledger, ledger.home / (FILE + suffix), force=True)
    assert tables(ledger) == before
    assert_sound(ledger)


def test_a_link_or_a_folder_is_no_place(ledger: Ledger, place: Path) -> None:
    (place / "folder").mkdir()
    (place / "link").symlink_to(ledger.path)
    for name in ("folder", "link"):
        with pytest.raises(InvalidValueError):
            back_up(ledger, place / name, force=True)


def test_where_no_folder_is_nothing_is_made(ledger: Ledger, place: Path) -> None:
    for file in (place / "nowhere" / "one.db", ledger.path / "one.db"):
        with pytest.raises(RefusedError, match="cannot be used for a backup"):
            back_up(ledger, file)


def test_a_ledger_noted_as_damaged_is_replayed_before_it_is_copied(ledger: Ledger, place: Path) -> None:
    disk.note(ledger.path, "planted")
    back_up(ledger, place / "sound.db")
    raw = apsw.Connection(str(ledger.path))
    raw.execute("UPDATE stock SET on_hand = 4 WHERE sku = 'LAPTOP'")
    raw.close()
    with pytest.raises(disk.DamagedError, match="does not hold: stock of LAPTOP"):
        back_up(ledger, place / "unsound.db")
    assert names(place) == ["sound.db"]


def test_a_copy_that_does_not_hold_is_thrown_away(ledger: Ledger, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a stick gives back other bytes than it was given."""
    whole = backup.single_file

    def damaged(connection: apsw.Connection) -> None:
        whole(connection)
        with Path(connection.filename).open("r+b") as file:
            file.seek(5 * 4096)
            file.write(b"\xff" * 4096)

    monkeypatch.setattr(backup, "single_file", damaged)
    with pytest.raises(RefusedError, match="the copy does not hold"):
        back_up(ledger, place / "one.db")
    assert names(place) == []
    # That of the medium says nothing of the ledger.
    assert disk.noted(ledger.path) is None
    hold(ledger, MOUSE=1)


def test_a_copy_of_another_moment_is_thrown_away(ledger: Ledger, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shortened(connection: apsw.Connection) -> None:
        connection.execute("PRAGMA journal_mode = DELETE; DROP TRIGGER events_keep_delete").fetchall()
        connection.execute("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)")

    monkeypatch.setattr(backup, "single_file", shortened)
    with pytest.raises(RefusedError, match=f"it ends with event {head(ledger) - 1}, not {head(ledger)}"):
        back_up(ledger, place / "one.db")
    assert names(place) == []


@pytest.mark.concurrency
def test_clerks_go_on_while_it_is_copied_and_it_is_of_one_moment(ledger: Ledger, place: Path, tmp_path: Path) -> None:
    made: list[int] = []

    def sell(_done: int, _total: int) -> None:
        # In another connection, between two steps of the copy: it would be started over by it, or block it.
        with Ledger.open(ledger.home, clock=ManualClock(), queue_timeout_s=0) as other:
            hold(other, MOUSE=1)
            made.append(head(other))

    before = tables(ledger)
    monkey = pytest.MonkeyPatch()
    monkey.setattr(backup, "PAGES_AT_ONCE", 2)
    try:
        copied = back_up(ledger, place / "one.db", progress=sell)
    finally:
        monkey.undo()
    assert len(made) > 5
    assert copied.head.seq == made[0] - 1
    with opened(copied.file, tmp_path / "copy") as copy:
        assert tables(copy) == before
        assert_sound(copy)
    assert head(ledger) == made[-1]


@pytest.mark.concurrency
def test_backups_under_busy_writers_are_sound(tmp_path: Path, place: Path) -> None:
    # By the workers' own clock.
    with new_ledger(tmp_path / "busy", SystemClock(), MOUSE=1_000_000) as ledger:
        with working(3, "take_turns", ledger.home) as workers:
            for worker in workers:
                worker.tell()
                worker.hear()
            for number in range(5):
                made = back_up(ledger, place / f"{number}.db")
                with opened(made.file, tmp_path / f"copy{number}") as copy:
                    assert_sound(copy)
                    assert head(copy) == made.head.seq
                # They go on selling.
                while head(ledger) == made.head.seq:
                    continue
            for worker in workers:
                worker.tell()
            sold = [worker.hear() for worker in workers]
        # All that they sold is there.
        assert max(map(max, sold)) == head(ledger)
        assert_sound(ledger)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_on_a_full_disk_there_is_one_clear_error_and_no_half_file(ledger: Ledger, small: Path) -> None:
    for _ in range(300):
        hold(ledger, MOUSE=1)
    with pytest.raises(RefusedError, match=r"the backup cannot be written to .*full") as caught:
        back_up(ledger, small / "one.db")
    assert "make room" in caught.value.hint
    assert names(small) == []
    # The ledger's own disk is not full.
    hold(ledger, MOUSE=1)
    assert_sound(ledger)
    assert disk.noted(ledger.path) is None


def test_a_file_that_may_not_grow_is_told_alike(ledger: Ledger, place: Path) -> None:
    import resource
    import signal

    before_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8 * 4096, limits[1]))
        with pytest.raises(RefusedError, match="the backup cannot be written to"):
            back_up(ledger, place / "one.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before_handler)
    assert names(place) == []

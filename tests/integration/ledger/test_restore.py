"""A backup in the place of a ledger: whole or not at all, nothing lost of what was there, and nobody in between."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from invctl.clock import ManualClock, SystemClock
from invctl.errors import BusyError, NotFoundError, RefusedError
from invctl.ledger import disk, migrations, swap
from invctl.ledger import restore as module
from invctl.ledger.backup import back_up
from invctl.ledger.ledger import FILE, Ledger
from invctl.ledger.restore import RESTORED, restore
from invctl.ledger.writing import FrozenError, Origin
from invctl.model import events
from invctl.settings import LOCK_FILE, PID_FILE, RUN
from tests.integration.ledger.processes import Worker
from tests.unit.ledger.support import assert_sound, head, hold, new_ledger, tables, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.fault_tolerance

KEPT = "ledger.replaced-20260101T000000Z.db"


class Place:
    """A store's folder with a backup of earlier; what it sold since is in its log alone."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.home = folder / "store"
        self.file = folder / "one.db"
        with new_ledger(self.home, self.clock, MOUSE=100, LAPTOP=5) as ledger:
            hold(ledger, MOUSE=2)
            back_up(ledger, self.file)
            self.then = tables(ledger)
            hold(ledger, MOUSE=3)
            self.now = tables(ledger)

    def restore(self, **options: Any) -> module.Restored:
        return restore(self.file, self.home, clock=self.clock, **options)

    def open(self, home: Path | None = None) -> Ledger:
        return Ledger.open(home or self.home, clock=self.clock)

    def kept(self, folder: Path, name: str = KEPT) -> Ledger:
        """Open what was kept, with its log if it has one."""
        folder.mkdir()
        for suffix in ("", "-wal"):
            if (self.home / (name + suffix)).exists():
                shutil.copy(self.home / (name + suffix), folder / (FILE + suffix))
        return self.open(folder)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def but_link(found: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {**found, "link": []}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_backup_is_in_place_frozen_and_what_was_there_is_kept(place: Place, tmp_path: Path) -> None:
    done = place.restore()
    assert done.kept == place.home / KEPT
    assert (done.store.store, done.taken_seq, done.seq) == ("downtown", len(place.then["events"]), done.taken_seq)
    with place.open() as ledger:
        assert but_link(tables(ledger)) == but_link(place.then)
        assert ledger.link_state()[0] == RESTORED
        assert "was restored" in ledger.link_state()[1]
        with pytest.raises(FrozenError, match="restored"):
            hold(ledger, MOUSE=1)
        assert ledger.connection.pragma("journal_mode") == "wal"
        assert_sound(ledger)
    with place.kept(tmp_path / "kept") as kept:
        assert tables(kept) == place.now
        assert_sound(kept)
    assert not [name for name in names(place.home) if name.startswith(".")]
    # It is one file, so nothing of it is lost by whoever copies that.
    assert f"{KEPT}-wal" not in names(place.home)


def test_to_trade_at_once_is_recorded(place: Place) -> None:
    done = place.restore(trade=True, origin=Origin("ann"))
    with place.open() as ledger:
        *_, event = written(ledger)
        assert (event.type, event.store, event.subject) == (events.LEDGER_RESTORED, "downtown", "downtown")
        taken_at = written(ledger)[-2].time
        assert event.data == {"taken_seq": done.taken_seq, "taken_at": taken_at, "trade": True, "clerk": "ann"}
        assert event.lines == []
        assert ledger.link_state() == ("unknown", "")
        assert done.seq == done.taken_seq + 1 == head(ledger)
        hold(ledger, MOUSE=1)
        assert_sound(ledger)


def test_a_backup_of_a_ledger_that_was_frozen_trades_only_where_that_is_said(place: Place) -> None:
    place.restore()
    with place.open() as ledger:
        back_up(ledger, place.file, force=True)
    place.restore()
    with place.open() as ledger, pytest.raises(FrozenError):
        hold(ledger, MOUSE=1)
    place.restore(trade=True)
    with place.open() as ledger:
        hold(ledger, MOUSE=1)


def test_a_home_without_a_ledger_gets_one(place: Place, tmp_path: Path) -> None:
    done = restore(place.file, tmp_path / "new" / "store", clock=place.clock)
    assert done.kept is None
    with place.open(tmp_path / "new" / "store") as ledger:
        assert but_link(tables(ledger)) == but_link(place.then)
        with pytest.raises(FrozenError):
            hold(ledger, MOUSE=1)


def test_a_log_without_its_ledger_is_not_played_into_the_new_one(place: Place) -> None:
    """As it lies there when somebody has removed the damaged file by hand, and not what belonged to it."""
    log = (place.home / f"{FILE}-wal").read_bytes()
    (place.home / FILE).unlink()
    place.restore()
    assert (place.home / f"{KEPT}-wal").read_bytes() == log
    with place.open() as ledger:
        assert but_link(tables(ledger)) == but_link(place.then)
        assert_sound(ledger)


def test_what_was_kept_can_be_restored_again(place: Place) -> None:
    kept = place.restore().kept
    assert kept is not None
    before = kept.read_bytes()
    again = restore(kept, place.home, clock=place.clock)
    assert again.kept == place.home / KEPT.replace("Z.db", "Z-2.db")
    with place.open() as ledger:
        assert but_link(tables(ledger)) == but_link(place.now)
    # Nothing is made beside it, nor changed in it, by reading it.
    assert kept.read_bytes() == before
    assert {name for name in names(place.home) if name.startswith(kept.name)} == {kept.name}


def test_a_whole_copy_of_the_folder_serves_as_well(place: Place, tmp_path: Path) -> None:
    shutil.copytree(place.home, tmp_path / "copy")
    place.restore()
    restore(tmp_path / "copy" / FILE, place.home, clock=place.clock)
    with place.open() as ledger:
        assert but_link(tables(ledger)) == but_link(place.now)


def test_the_note_of_damage_goes_with_the_file_that_was_damaged(place: Place, tmp_path: Path) -> None:
    # It is in the log, which a damaged ledger keeps.
    disk.note(place.home / FILE, "planted")
    place.restore(trade=True)
    assert disk.noted(place.home / FILE) is None
    with place.open() as ledger:
        hold(ledger, MOUSE=1)
        assert_sound(ledger)
    with place.kept(tmp_path / "kept") as kept:
        assert tables(kept) == place.now
    assert (place.home / f"{KEPT}-wal").stat().st_size > 0


@pytest.mark.parametrize("content", [b"", b"\0" * 8192, b"not a database " * 1000])
def test_what_is_no_database_is_kept_as_it_is(place: Place, content: bytes) -> None:
    with place.open() as ledger:
        # What is in the log would mend the file.
        ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    (place.home / FILE).write_bytes(content)
    place.restore(trade=True)
    assert (place.home / KEPT).read_bytes() == content
    with place.open() as ledger:
        assert_sound(ledger)


def test_who_could_use_the_old_file_can_use_the_new_one(place: Place) -> None:
    (place.home / FILE).chmod(0o660)
    if os.geteuid() == 0:
        os.chown(place.home / FILE, 1234, 1235)
    before = (place.home / FILE).stat()
    place.restore()
    after = (place.home / FILE).stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino


class TestRefused:
    @pytest.fixture(autouse=True)
    def nothing_is_changed(self, place: Place) -> Iterator[None]:
        yield
        with place.open() as ledger:
            assert tables(ledger) == place.now
            assert_sound(ledger)
        found = names(place.home) - {FILE, f"{FILE}-wal", f"{FILE}-shm", "writers", RUN}
        assert found == set()

    def test_no_such_file(self, place: Place) -> None:
        place.file = place.file.with_name("nowhere.db")
        with pytest.raises(NotFoundError, match="there is no file"):
            place.restore()

    @pytest.mark.parametrize("content", [b"", b"\0" * 8192, b"not a database " * 1000])
    def test_no_ledger(self, place: Place, content: bytes) -> None:
        place.file.write_bytes(content)
        with pytest.raises(RefusedError, match="is not a backup that can be used") as caught:
            place.restore()
        assert "nothing was changed" in caught.value.hint
        assert str(place.home) not in caught.value.message.replace(str(place.file), "")

    def test_a_folder(self, place: Place) -> None:
        place.file.unlink()
        place.file.mkdir()
        with pytest.raises(RefusedError, match="is not a backup that can be used"):
            place.restore()

    def test_another_programs_database(self, place: Place) -> None:
        place.file.unlink()
        other = apsw.Connection(str(place.file))
        other.execute("CREATE TABLE cats (name TEXT); PRAGMA user_version = 1").fetchall()
        other.close()
        with pytest.raises(RefusedError, match="is not a backup that can be used"):
            place.restore()

    def test_a_newer_format(self, place: Place) -> None:
        self._alter(place, f"PRAGMA user_version = {migrations.NEWEST + 1}")
        with pytest.raises(RefusedError, match=f"format {migrations.NEWEST + 1}, this program knows"):
            place.restore()

    def test_a_changed_event(self, place: Place) -> None:
        self._alter(place, "DROP TRIGGER events_keep_update; UPDATE events SET body = x'00' WHERE seq = 2")
        with pytest.raises(disk.DamagedError, match=r"the backup .*one.db does not hold") as caught:
            place.restore()
        assert "an older backup" in caught.value.hint

    def test_a_changed_level(self, place: Place) -> None:
        self._alter(place, "UPDATE stock SET on_hand = 101 WHERE sku = 'MOUSE'")
        with pytest.raises(disk.DamagedError, match="stock of MOUSE: on hand is 101 in the table"):
            place.restore()
        with pytest.raises(disk.DamagedError):
            place.restore(force=True, trade=True)

    def test_a_damaged_page(self, place: Place) -> None:
        content = bytearray(place.file.read_bytes())
        content[5 * 4096 : 6 * 4096] = b"\xff" * 4096
        place.file.write_bytes(content)
        with pytest.raises(disk.DamagedError, match=r"the backup .* (does not hold|is damaged)"):
            place.restore()

    def test_another_stores(self, place: Place, tmp_path: Path) -> None:
        with Ledger.create(tmp_path / "other", "midtown", clock=place.clock) as other:
            back_up(other, place.file, force=True)
        with pytest.raises(RefusedError, match="is of store downtown, the backup of midtown") as caught:
            place.restore()
        assert "--force" in caught.value.hint

    def test_another_ledger_of_the_same_store(self, place: Place, tmp_path: Path) -> None:
        with new_ledger(tmp_path / "other", place.clock, seed=2) as other:
            back_up(other, place.file, force=True)
        with pytest.raises(RefusedError, match="is of another ledger of downtown"):
            place.restore()

    def test_while_a_daemon_serves_the_store(self, place: Place) -> None:
        import fcntl

        (place.home / RUN).mkdir()
        (place.home / RUN / PID_FILE).write_text("4711\n")
        with (place.home / RUN / LOCK_FILE).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(RefusedError, match="a daemon serves") as caught:
                place.restore()
        assert "daemon stop" in caught.value.hint

    def test_while_something_else_holds_the_daemons_lock(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        import fcntl

        monkeypatch.setattr(module, "_DAEMON_ENDS_S", 0.0)
        (place.home / RUN).mkdir()
        with (place.home / RUN / LOCK_FILE).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(RefusedError, match="a daemon serves"):
                place.restore()

    @pytest.mark.concurrency
    def test_while_another_process_has_the_ledger_open(self, place: Place) -> None:
        worker = Worker("look", place.home)
        try:
            assert worker.hear() == len(place.now["events"])
            with pytest.raises(BusyError, match=r"another process has .* open"):
                place.restore()
        finally:
            worker.close()

    @pytest.mark.concurrency
    def test_while_another_process_writes(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "QUEUE_TIMEOUT_S", 0.01)
        worker = Worker("stay", place.home)
        try:
            assert worker.hear() == "inside"
            with pytest.raises(BusyError, match="busy"):
                place.restore()
        finally:
            worker.close()

    @staticmethod
    def _alter(place: Place, sql: str) -> None:
        raw = apsw.Connection(str(place.file))
        raw.execute(sql).fetchall()
        raw.close()


def test_a_daemon_that_is_about_to_end_is_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes its pid away first, and `daemon stop` waits for that alone."""
    import fcntl

    (place.home / RUN).mkdir()
    lock = (place.home / RUN / LOCK_FILE).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    monkeypatch.setattr(time, "sleep", lambda _: lock.close())
    place.restore()
    assert lock.closed


def test_another_stores_takes_the_place_where_that_is_forced(place: Place, tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "other", "midtown", clock=place.clock) as other:
        back_up(other, place.file, force=True)
    place.restore(force=True)
    with place.open() as ledger:
        assert ledger.store.store == "midtown"
    with place.kept(tmp_path / "kept") as kept:
        assert tables(kept) == place.now


@pytest.mark.concurrency
def test_who_waited_for_a_turn_does_not_write_into_what_was_put_away(place: Place) -> None:
    """Planted: a clerk has the old file open, which `restore` never lets happen, and is told to try again."""
    with place.open() as waiting:
        (place.home / FILE).rename(place.home / "away.db")
        for suffix in ("-wal", "-shm"):
            (place.home / (FILE + suffix)).unlink()
        shutil.copy(place.file, place.home / FILE)
        with pytest.raises(BusyError, match="was replaced by another file") as caught:
            hold(waiting, MOUSE=1)
        assert caught.value.hint == "try again"
    with place.open() as ledger:
        assert_sound(ledger)
        assert head(ledger) == len(place.then["events"])


def test_an_opening_during_which_the_file_is_replaced_begins_anew(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from invctl.ledger import ledger as ledger_module

    opened = ledger_module._opened
    kept: list[apsw.Connection] = []

    def late(path: Path, file: disk.FileId | None) -> tuple[apsw.Connection, Any]:
        found = opened(path, file)
        if not kept:
            kept.append(found[0])
            shutil.copy(place.file, tmp_path / "fresh.db")
            (tmp_path / "fresh.db").replace(path)
            for suffix in ("-wal", "-shm"):
                path.with_name(FILE + suffix).unlink()
        return found

    monkeypatch.setattr(ledger_module, "_opened", late)
    with place.open() as ledger:
        assert len(tables(ledger)["events"]) == len(place.then["events"])
        assert ledger.connection is not kept[0]
    with pytest.raises(apsw.ConnectionClosedError):
        kept[0].execute("SELECT 1")


class CutError(BaseException):
    """The process ends here."""


STEPS: list[tuple[Any, str]] = [
    (Path, "hardlink_to"),
    (Path, "unlink"),
    (Path, "replace"),
    (Path, "chmod"),
    (disk, "sync_folder"),
    (disk, "note"),
    (disk, "forget"),
    (swap, "_folded"),
    (module, "sync"),
]


def cut_everywhere(
    monkeypatch: pytest.MonkeyPatch, new: Callable[[], Place], look: Callable[[Place], None]
) -> Iterator[str]:
    """Cut a restore off before its first step that changes a folder, its second, and so on."""
    at = 0
    while True:
        at += 1
        left, place = at, new()
        cut_at = ""

        def counting(name: str, step: Any) -> Any:
            def counted(*args: Any, **kwargs: Any) -> Any:
                nonlocal left, cut_at
                left -= 1
                if left == 0:
                    cut_at = name
                    raise CutError
                return step(*args, **kwargs)

            return counted

        with monkeypatch.context() as patch:
            for owner, name in STEPS:
                patch.setattr(owner, name, counting(name, getattr(owner, name)))
            with suppress(CutError):
                place.restore()
        if not cut_at:
            return
        look(place)
        yield cut_at


@pytest.mark.parametrize("damaged", [False, True])
def test_cut_off_anywhere_the_old_or_the_new_is_in_place_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    folders = (tmp_path / str(number) for number in range(100))
    seen: set[str] = set()

    def new() -> Place:
        folder = next(folders)
        folder.mkdir()
        place = Place(folder)
        if damaged:
            disk.note(place.home / FILE, "planted")
        return place

    def look(place: Place) -> None:
        noted = disk.noted(place.home / FILE)
        whole = [but_link(place.then), but_link(place.now)]
        found: dict[str, list[Any]] = {}
        try:
            with place.open() as ledger:
                found = but_link(tables(ledger))
                if noted:
                    with pytest.raises(disk.DamagedError):
                        hold(ledger, MOUSE=1)
        except disk.DamagedError:
            # It stands there without its log, where all of it was.
            assert noted
        seen.add("new" if found == whole[0] else "old" if found == whole[1] else "half")
        assert found in whole or noted
        kept = [name for name in sorted(names(place.home)) if name.startswith("ledger.replaced") and name.endswith("b")]
        if found != whole[1]:
            with place.kept(place.home.parent / "kept", kept[0]) as old:
                assert tables(old) == place.now
        # Begun again, it is completed.
        for stale in place.home.glob(".restore-*"):
            shutil.rmtree(stale)
        place.restore(trade=True)
        with place.open() as ledger:
            hold(ledger, MOUSE=1)
            assert_sound(ledger)

    cuts = list(cut_everywhere(monkeypatch, new, look))
    assert {"hardlink_to", "replace", "sync_folder", "forget"} <= set(cuts)
    assert {"old", "new"} <= seen
    assert ("half" in seen) == damaged
    assert ("note" in cuts) == damaged


@pytest.mark.concurrency
def test_a_clerk_who_stands_in_the_queue_is_told_to_try_again(tmp_path: Path) -> None:
    clock = SystemClock()
    with new_ledger(tmp_path / "store", clock, MOUSE=5) as ledger:
        back_up(ledger, tmp_path / "one.db")
    found: list[Any] = []
    prepared = module._prepared

    def slow(*args: Any, **kwargs: Any) -> Any:
        done = prepared(*args, **kwargs)
        # Meanwhile a clerk sells: it is in the file that is kept.
        with Ledger.open(tmp_path / "store") as other:
            found.append(hold(other, MOUSE=1))
        return done

    patch = pytest.MonkeyPatch()
    patch.setattr(module, "_prepared", slow)
    try:
        kept = restore(tmp_path / "one.db", tmp_path / "store").kept
    finally:
        patch.undo()
    assert kept is not None
    with Ledger.open(tmp_path / "store") as ledger:
        assert_sound(ledger)
    restore(kept, tmp_path / "store", trade=True)
    with Ledger.open(tmp_path / "store") as ledger:
        assert ledger.row("SELECT reservation FROM reservations") == (found[0],)

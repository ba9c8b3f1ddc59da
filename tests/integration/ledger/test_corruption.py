"""A file that gives back other bytes than it was given: found, told in one error, and never written to again.

A property over many seeds: whatever was changed, in the file, in its log, or in both, nobody meets a traceback, nothing
that was changed is called sound, and once SQLite has found the damage nobody writes any more.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from invctl.clock import ManualClock
from invctl.errors import InventoryError, NotFoundError, RefusedError
from invctl.ledger import adjustments, disk, products, reads, reservations
from invctl.ledger.backup import back_up
from invctl.ledger.disk import DamagedError
from invctl.ledger.ledger import FILE, Ledger
from invctl.ledger.restore import restore
from invctl.ledger.verify import examine
from tests.unit.ledger.support import assert_sound, hold, new_ledger, tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.fault_tolerance

PAGE = 4096
# By hand there may be more: CORRUPTION_SEEDS=2000.
SEEDS = int(os.environ.get("CORRUPTION_SEEDS", "40"))


class Store(NamedTuple):
    """A store at rest: the bytes of its file and of its log, of one with all in the file, a backup, what it says."""

    file: bytes
    log: bytes
    folded: bytes
    backup: Path
    rows: dict[str, list[Any]]

    def spoilt(self, where: str, damage: Callable[[bytearray, Random], None], chance: Random) -> tuple[bytes, bytes]:
        """Return the bytes of file and log with one of them, or both, damaged; `whole` has all in the file."""
        file, log = bytearray(self.folded if where == "whole" else self.file), bytearray(self.log)
        if where == "whole":
            log.clear()
        if where != "log":
            damage(file, chance)
        if where in ("log", "both"):
            damage(log, chance)
        return bytes(file), bytes(log)

    def laid_out(self, home: Path, file: bytes, log: bytes) -> Path:
        """Write a file and a log into a new folder."""
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        (home / FILE).write_bytes(file)
        (home / f"{FILE}-wal").write_bytes(log)
        return home


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("store")
    clock = ManualClock()
    with new_ledger(folder / "home", clock, MOUSE=1000, LAPTOP=500, CABLE=0) as ledger:
        trade(ledger, clock, 40)
        ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        # Of which the log has the last part.
        trade(ledger, clock, 10)
        back_up(ledger, folder / "backup.db")
        rows = tables(ledger)
        file, log = (folder / "home" / FILE).read_bytes(), (folder / "home" / f"{FILE}-wal").read_bytes()
        ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        folded = (folder / "home" / FILE).read_bytes()
    return Store(file, log, folded, folder / "backup.db", rows)


def trade(ledger: Ledger, clock: ManualClock, times: int) -> None:
    for number in range(times):
        key = hold(ledger, MOUSE=2, LAPTOP=1, order=f"A-{number}")
        if number % 3 == 0:
            reservations.confirm(ledger, key, {"MOUSE": 1})
        elif number % 3 == 1:
            reservations.cancel(ledger, key)
        else:
            clock.advance(1000)


def flip(content: bytearray, chance: Random) -> None:
    for _ in range(chance.choice((1, 1, 8))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def zero_a_page(content: bytearray, chance: Random) -> None:
    at = chance.randrange(len(content) // PAGE) * PAGE
    content[at : at + PAGE] = bytes(PAGE)


def fill_a_sector(content: bytearray, chance: Random) -> None:
    at = chance.randrange(len(content) // 512) * 512
    content[at : at + 512] = chance.randbytes(512)


def swap_pages(content: bytearray, chance: Random) -> None:
    one, other = (chance.randrange(len(content) // PAGE) * PAGE for _ in range(2))
    content[one : one + PAGE], content[other : other + PAGE] = (
        content[other : other + PAGE],
        content[one : one + PAGE],
    )


def cut_off(content: bytearray, chance: Random) -> None:
    del content[chance.randrange(len(content)) :]


def spoil_the_header(content: bytearray, chance: Random) -> None:
    at = chance.randrange(100)
    content[at : at + 8] = chance.randbytes(8)


def add_junk(content: bytearray, chance: Random) -> None:
    content += chance.randbytes(chance.choice((1, 100, PAGE)))


DAMAGES = [flip, zero_a_page, fill_a_sector, swap_pages, cut_off, spoil_the_header, add_junk]


def outcome(what: Callable[[], Any]) -> str:
    """Do it. Returns what came of it, in a word; anything but one of our own errors is none."""
    try:
        what()
    except InventoryError as error:
        told = error
    else:
        return "done"
    assert told.message
    assert told.hint
    if not isinstance(told, DamagedError):
        return type(told).__name__
    assert "invctl restore" in told.hint
    return "damaged"


def use(home: Path) -> Counter[str]:
    """Do with a ledger what clerks and daemons do, each as a process of its own. Returns what came of it."""
    clock = ManualClock()
    seen: Counter[str] = Counter()

    def each(what: Callable[[Ledger], Any]) -> None:
        def opened() -> None:
            with Ledger.open(home, clock=clock) as ledger:
                what(ledger)

        noted = disk.noted(home / FILE)
        before = (home / FILE).read_bytes()
        came = outcome(opened)
        seen[came] += 1
        if came == "damaged":
            seen["noted"] += disk.noted(home / FILE) is not None
        if noted is not None:
            # Nothing was written, and nobody was told that it was.
            assert (home / FILE).read_bytes() == before

    each(reads.stock)
    each(reads.reservations)
    each(reads.history)
    each(reads.status)
    each(lambda ledger: hold(ledger, MOUSE=1))
    each(lambda ledger: hold(ledger, LAPTOP=1, hold_s=1))
    clock.advance(2)
    each(reservations.expire)
    each(lambda ledger: adjustments.adjust(ledger, {"MOUSE": -1}, "damaged"))
    each(lambda ledger: products.edit(ledger, "CABLE", {"price": 5}))
    return seen


def events_of(rows: dict[str, list[Any]]) -> list[Any]:
    return sorted(rows["events"])


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda it: it.__name__)
@pytest.mark.parametrize("where", ["whole", "file", "log"])
def test_nothing_that_was_changed_is_called_sound(
    store: Store, tmp_path: Path, damage: Callable[[bytearray, Random], None], where: str
) -> None:
    """`verify` of a changed event, level or reservation is never silent."""
    found = Counter[str]()
    for seed in range(SEEDS):
        home = store.laid_out(tmp_path / "home", *store.spoilt(where, damage, Random(seed)))
        try:
            with Ledger.open(home, clock=ManualClock()) as ledger:
                verdict = examine(ledger)
                if verdict.findings:
                    found["found"] += 1
                    assert disk.noted(home / FILE)
                    with pytest.raises(DamagedError):
                        hold(ledger, MOUSE=1)
                    continue
                kept = tables(ledger)
        except (RefusedError, NotFoundError):
            found["refused"] += 1
            continue
        # It is called sound: then it is, up to where its log is whole. A log that is cut off, or of which a part does
        # not fit its checksum, ends there, as one does that was never written further; head office knows what is lost.
        events = events_of(kept)
        assert events == events_of(store.rows)[: len(events)]
        if where != "log":
            assert {**kept, "link": []} == {**store.rows, "link": []}
        found["sound"] += 1
    assert found.total() == SEEDS
    if where == "whole" and damage is not add_junk:
        assert found["found"] + found["refused"] > SEEDS // 5, found


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda it: it.__name__)
@pytest.mark.parametrize("where", ["whole", "log", "both"])
def test_whoever_meets_it_is_told_in_our_words_and_from_then_on_nothing_is_written(
    store: Store, tmp_path: Path, damage: Callable[[bytearray, Random], None], where: str
) -> None:
    seen = Counter[str]()
    for seed in range(SEEDS // 4):
        home = store.laid_out(tmp_path / "home", *store.spoilt(where, damage, Random(seed)))
        came = use(home)
        seen += came
        if came["noted"]:
            with pytest.raises(InventoryError), Ledger.open(home, clock=ManualClock()) as ledger:
                hold(ledger, MOUSE=1)
        # And a backup puts an end to it.
        restore(store.backup, home, trade=True, force=True, clock=ManualClock())
        with Ledger.open(home, clock=ManualClock()) as ledger:
            hold(ledger, MOUSE=1)
            if seed % 10 == 0:
                assert_sound(ledger)
    if damage is zero_a_page and where == "whole":
        assert seen["damaged"], seen
        assert seen["noted"], seen


@pytest.mark.parametrize("seed", range(12))
def test_damage_under_a_process_that_has_it_open_is_told_and_noted(store: Store, tmp_path: Path, seed: int) -> None:
    """As a daemon has it, for months; its pages are in no cache."""
    chance = Random(seed)
    home = store.laid_out(tmp_path / "home", store.file, store.log)
    with Ledger.open(home, clock=ManualClock()) as ledger:
        reads.stock(ledger)
        ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        ledger.connection.execute("PRAGMA cache_size = 1").fetchall()
        with (home / FILE).open("r+b") as file:
            size = (home / FILE).stat().st_size
            for at in range(PAGE, size, PAGE):
                file.seek(at)
                file.write(chance.randbytes(PAGE))
        assert outcome(lambda: reads.stock(ledger)) == "damaged"
        assert disk.noted(home / FILE)
        before = (home / FILE).read_bytes()
        for what in (lambda: hold(ledger, MOUSE=1), lambda: reservations.expire(ledger)):
            assert outcome(what) == "damaged"
        assert (home / FILE).read_bytes() == before


def test_another_file_in_its_place_is_noticed_by_who_has_it_open(store: Store, tmp_path: Path) -> None:
    home = store.laid_out(tmp_path / "home", store.file, store.log)
    with Ledger.open(home, clock=ManualClock()) as ledger:
        (tmp_path / "other").write_bytes(b"another program's file " * 1000)
        (tmp_path / "other").replace(home / FILE)
        with pytest.raises(InventoryError, match="was replaced by another file") as caught:
            hold(ledger, MOUSE=1)
        assert caught.value.code == "busy"
        # What this one has open is sound: nothing is noted on its account.
        assert reads.stock(ledger)
        assert disk.noted(home / FILE) is None
    assert (home / FILE).read_bytes().startswith(b"another program's file ")


def test_a_log_of_another_ledger_is_found(store: Store, tmp_path: Path) -> None:
    """As it comes to lie there when a file is copied without what belongs to it."""
    clock = ManualClock()
    with new_ledger(tmp_path / "other", clock, seed=2, PHONE=1) as other:
        log = (other.home / f"{FILE}-wal").read_bytes()
    home = store.laid_out(tmp_path / "home", store.file, log)
    try:
        with Ledger.open(home, clock=clock) as ledger:
            kept = tables(ledger)
            findings = examine(ledger).findings
    except InventoryError:
        return
    # Played into a file that it is not of, it is either all of another ledger, or a mixture that does not hold.
    assert findings or events_of(kept) != events_of(store.rows)


def test_the_first_note_stays_and_says_why_and_when(tmp_path: Path) -> None:
    disk.note(tmp_path / FILE, "one thing\nin two lines")
    disk.note(tmp_path / FILE, "another")
    assert disk.noted(tmp_path / FILE) == "one thing in two lines"
    assert (tmp_path / disk.NOTE).read_text().startswith("20")
    disk.forget(tmp_path / FILE)
    assert disk.noted(tmp_path / FILE) is None
    disk.forget(tmp_path / FILE)
    (tmp_path / disk.NOTE).write_bytes(b"\xff")
    assert disk.noted(tmp_path / FILE)
    with pytest.raises(DamagedError):
        disk.refuse(tmp_path / FILE)


def test_where_nothing_can_be_noted_the_damage_itself_is_still_told(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / FILE).write_bytes(b"x" * PAGE)
    (tmp_path / "store" / disk.NOTE).symlink_to(tmp_path / "nowhere" / "below")
    with pytest.raises(DamagedError, match="not a database"):
        Ledger.open(tmp_path / "store")

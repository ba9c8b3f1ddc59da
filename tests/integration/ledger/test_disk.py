"""The disk is full, cannot be written, or gives back other bytes than it was given."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from invctl.clock import ManualClock
from invctl.errors import BusyError, InventoryError, NotFoundError, RefusedError
from invctl.ledger import adjustments, products, reads, reservations
from invctl.ledger.database import translated
from invctl.ledger.ledger import FILE, Ledger
from invctl.ledger.verify import verify
from invctl.ledger.writing import Origin
from tests.unit.ledger.support import assert_sound, hold, level, new_ledger, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.fault_tolerance,
    # The child of a fork does one thing and ends; no lock that another thread may hold is of any use to it.
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]

PAGE = 4096


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with new_ledger(tmp_path / "store", ManualClock(), MOUSE=1_000_000) as ledger:
        yield ledger
        hold(ledger, MOUSE=1)
        assert_sound(ledger)


def until_refused(ledger: Ledger) -> tuple[RefusedError, dict[str, list[Any]]]:
    """Reserve until it is refused. Returns the refusal, and all that the ledger held just before."""
    while True:
        before = tables(ledger)
        try:
            hold(ledger, MOUSE=1)
        except RefusedError as error:
            return error, before


def test_a_full_disk_refuses_and_leaves_nothing_half_written(ledger: Ledger) -> None:
    pages = ledger.connection.pragma("page_count")
    ledger.connection.pragma("max_page_count", pages + 3)
    refusal, before = until_refused(ledger)
    assert refusal.message == "the disk is full; nothing was written"
    assert tables(ledger) == before
    assert reads.stock(ledger, "MOUSE")[0]
    assert_sound(ledger)
    ledger.connection.pragma("max_page_count", pages + 1000)


def test_a_file_that_may_not_grow_refuses_and_leaves_nothing_half_written(ledger: Ledger) -> None:
    """As a quota does, or a file system's own limit: the write-ahead log cannot take the next transaction."""
    import resource
    import signal

    before_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (ledger.home / f"{FILE}-wal").stat().st_size
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10 * PAGE, limits[1]))
        refusal, before = until_refused(ledger)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before_handler)
    assert refusal.message.startswith(("the disk failed under the ledger", "the disk is full"))
    assert tables(ledger) == before


def test_a_ledger_that_may_only_be_read_is_read(ledger: Ledger) -> None:
    ledger.connection.pragma("query_only", 1)
    before = tables(ledger)
    with pytest.raises(RefusedError, match="cannot be written") as caught:
        hold(ledger, MOUSE=1)
    assert "modes" in caught.value.hint
    assert reads.stock(ledger, "MOUSE")[0]
    assert tables(ledger) == before
    ledger.connection.pragma("query_only", 0)


def as_nobody(work: Callable[[], object]) -> str:
    """Do it in a process that is not root, whom no mode would stop. Returns what came of it."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            if os.geteuid() == 0:
                os.setresuid(65534, 65534, 65534)
            said = repr(work())
        except InventoryError as error:
            said = f"{type(error).__name__}: {error.message}"
        except BaseException as error:  # noqa: BLE001 - it is told, in the test's own process
            said = f"RAW {error!r}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


@pytest.fixture
def others() -> Iterator[Path]:
    """Give a store's folder that anybody can come to."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        new_ledger(folder / "store", ManualClock(), MOUSE=5).close()
        yield folder / "store"
        (folder / "store").chmod(0o755)


def test_a_folder_that_cannot_be_written_is_refused_with_the_reason(others: Path) -> None:
    def sell() -> str:
        with Ledger.open(others, clock=ManualClock()) as ledger:
            return hold(ledger, MOUSE=1)

    def look() -> object:
        with Ledger.open(others, clock=ManualClock()) as ledger:
            return level(ledger, "MOUSE")

    # Another user's, read-only by its modes alone.
    for path in others.iterdir():
        path.chmod(0o444)
    others.chmod(0o555)
    assert as_nobody(sell).startswith("RefusedError: ")
    assert "RAW" not in as_nobody(look)
    # The log is gone, too, so that it would have to be made.
    others.chmod(0o755)
    for suffix in ("-wal", "-shm"):
        (others / (FILE + suffix)).unlink()
    others.chmod(0o555)
    assert as_nobody(look).startswith("RefusedError: ")
    # Not even a look.
    (others / FILE).chmod(0)
    assert as_nobody(look).startswith("RefusedError: the ledger at ")
    others.chmod(0)
    assert as_nobody(look).startswith("RefusedError: the ledger at ")


def test_where_the_queues_file_cannot_be_had_nothing_is_written(others: Path) -> None:
    def sell() -> str:
        with Ledger.open(others, clock=ManualClock()) as ledger:
            return hold(ledger, MOUSE=1)

    for path in others.iterdir():
        path.chmod(0o666)
    (others / "writers").chmod(0o444)
    assert "RefusedError: the ledger cannot be written: " in as_nobody(sell)
    (others / "writers").chmod(0o666)
    others.chmod(0o777)
    assert as_nobody(sell).startswith("'R-")


def test_no_ledger_is_opened_where_nobody_may_write(others: Path) -> None:
    (others / "locked").mkdir(mode=0o555)
    for home in (others / "locked", others / "locked" / "below"):
        said = as_nobody(partial(Ledger.create, home, "midtown"))
        assert said.startswith("RefusedError: "), said
    with pytest.raises(NotFoundError):
        Ledger.open(others / "locked")


def work(ledger: Ledger, clock: ManualClock) -> None:
    """Let a little of everything happen."""
    for number in range(24):
        key = hold(ledger, MOUSE=2, LAPTOP=1, order=f"A-{number}", origin=Origin("ann", f"till-{number}"))
        if number % 3 == 0:
            reservations.confirm(ledger, key, {"MOUSE": 1})
        elif number % 3 == 1:
            reservations.cancel(ledger, key)
        else:
            clock.advance(1000)
    adjustments.adjust(ledger, {"MOUSE": -1}, "damaged", note="wet")
    products.edit(ledger, "MOUSE", {"price": 5})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, list[Any]]]:
    """Give the bytes of a ledger's file, and what its tables say."""
    home = tmp_path_factory.mktemp("whole")
    clock = ManualClock()
    with new_ledger(home, clock, MOUSE=100, LAPTOP=50, CABLE=0) as ledger:
        work(ledger, clock)
        found = tables(ledger)
        ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return (home / FILE).read_bytes(), found


def flip(file: bytearray, chance: Random) -> None:
    file[chance.randrange(len(file))] ^= 1 << chance.randrange(8)


def zero_a_page(file: bytearray, chance: Random) -> None:
    at = chance.randrange(len(file) // PAGE) * PAGE
    file[at : at + PAGE] = bytes(PAGE)


def swap_pages(file: bytearray, chance: Random) -> None:
    one, other = (chance.randrange(len(file) // PAGE) * PAGE for _ in range(2))
    file[one : one + PAGE], file[other : other + PAGE] = file[other : other + PAGE], file[one : one + PAGE]


def cut_off(file: bytearray, chance: Random) -> None:
    del file[chance.randrange(1, len(file)) :]


@pytest.mark.parametrize(
    ("damage", "times"),
    [(flip, 120), (zero_a_page, 20), (swap_pages, 20), (cut_off, 20)],
    ids=lambda it: getattr(it, "__name__", None),
)
def test_damage_is_refused_or_found_and_never_a_surprise(
    tmp_path: Path, whole: tuple[bytes, dict[str, list[Any]]], damage: Callable[[bytearray, Random], None], times: int
) -> None:
    sound, rows = whole
    clock = ManualClock()
    seen = 0
    for seed in range(times):
        damaged = bytearray(sound)
        damage(damaged, Random(seed))
        (tmp_path / FILE).write_bytes(damaged)
        try:
            with Ledger.open(tmp_path, clock=clock) as ledger:
                findings = verify(ledger).findings
                seen += bool(findings)
                if not findings:
                    # Nothing but unused bytes were hit, or what is merely a hint: all that counts is as it was.
                    kept = tables(ledger)
                    assert {**kept, "link": []} == {**rows, "link": []}
        except RefusedError:
            seen += 1
        for suffix in ("-wal", "-shm"):
            (tmp_path / (FILE + suffix)).unlink(missing_ok=True)
    assert seen > times // 3


def test_what_is_no_database_at_all_is_refused(tmp_path: Path) -> None:
    for content in (b"\0" * 8192, b"not a database, but longer than its header would be" * 100):
        (tmp_path / FILE).write_bytes(content)
        with pytest.raises(RefusedError, match="is damaged: file is not a database"):
            Ledger.open(tmp_path)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (apsw.IOError, "the disk failed under the ledger"),
        (apsw.CorruptError, "is damaged"),
        (apsw.NotADBError, "is damaged"),
        (apsw.FullError, "the disk is full"),
        (apsw.ReadOnlyError, "cannot be written"),
        (apsw.CantOpenError, "cannot be opened"),
        (apsw.ConstraintError, "does not take the change"),
        (apsw.SQLError, "is not a ledger"),
    ],
)
def test_whatever_sqlite_says_it_is_said_in_our_words(tmp_path: Path, error: type[Exception], said: str) -> None:
    with pytest.raises(RefusedError, match=said) as caught, translated(tmp_path / FILE):
        raise error("planted")
    assert caught.value.hint
    with pytest.raises(BusyError), translated(tmp_path / FILE):
        raise apsw.BusyError("planted")


def test_a_backup_of_the_folder_is_a_ledger_of_its_own(tmp_path: Path) -> None:
    clock = ManualClock()
    with new_ledger(tmp_path / "store", clock, MOUSE=5) as ledger:
        hold(ledger, MOUSE=1)
        shutil.copytree(tmp_path / "store", tmp_path / "copy")
        with Ledger.open(tmp_path / "copy", clock=clock) as copy:
            assert tables(copy) == tables(ledger)
            hold(copy, MOUSE=2)
            assert_sound(copy)
        assert level(ledger, "MOUSE") == (5, 1, 2)

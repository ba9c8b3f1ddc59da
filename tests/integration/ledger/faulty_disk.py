"""A disk that fails at a chosen write, or forgets at a power cut what was not flushed: a layer under SQLite."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import apsw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

NAME = "faulty"
_BASE = apsw.vfs_names()[0]


class Fault(Enum):
    """How a write fails."""

    FULL = "no space left"
    IO = "input/output error"
    SHORT_FULL = "no space left, and a part was written"
    SHORT_IO = "input/output error, and a part was written"
    FLUSH = "input/output error, at the next flush"
    FORGET = "input/output error, at the next flush, and nothing of it is ever flushed unless it is written anew"


_AT_A_FLUSH = (Fault.FLUSH, Fault.FORGET)
# What a kernel holds, and forgets, as one.
_PAGE_BYTES = 4096


class PowerCutError(apsw.IOError):
    """The machine is off: nothing is written any more."""


class Disk:
    """Counts the writes, truncations and flushes of a ledger's files, and fails one of them, or all from there on."""

    def __init__(self) -> None:
        self.calls = 0
        self.failed = 0
        self._fail_at = 0
        self._fault = Fault.FULL
        self._lasting = False
        self._off_at = 0
        self._flushed: dict[Path, bytes] = {}
        self._since: defaultdict[Path, list[tuple[int, bytes]]] = defaultdict(list)
        self._forgotten: defaultdict[Path, set[int]] = defaultdict(set)

    def fail(self, fault: Fault, at: int, *, lasting: bool) -> None:
        """Fail the `at`-th call from now, counted from 1; with `lasting` all that follow, too."""
        self.calls, self.failed = 0, 0
        self._fail_at, self._fault, self._lasting = at, fault, lasting

    def mend(self) -> None:
        """Fail no more."""
        self._fail_at = 0

    def cut_power(self, at: int) -> None:
        """Write nothing any more from the `at`-th call on; remember until then what was flushed."""
        self.calls, self._off_at = 0, at

    @property
    def is_off(self) -> bool:
        """Whether the power has been cut."""
        return 0 < self._off_at <= self.calls

    def come_back(self, chance: Random) -> None:
        """Leave of each file what was flushed, and any of the writes since then, whole, in part, or not at all."""
        self._off_at = 0
        for path in self._flushed.keys() | self._since.keys():
            content = bytearray(self._flushed.get(path, b""))
            for offset, data in self._since[path]:
                kept = data[: chance.choice((0, len(data), len(data), chance.randrange(len(data) + 1)))]
                if kept:
                    content.extend(bytes(max(offset - len(content), 0)))
                    content[offset : offset + len(kept)] = kept
            if path.exists():
                path.write_bytes(content)
        self._flushed.clear()
        self._since.clear()
        self._forgotten.clear()

    def watch(self, path: Path) -> None:
        """Take what a file has now as flushed."""
        self._flushed.setdefault(path, path.read_bytes())

    def write(self, file: DiskFile, data: bytes, offset: int) -> None:
        fault = self._next(flush=False)
        if fault in (Fault.SHORT_FULL, Fault.SHORT_IO):
            file.really_write(data[: len(data) // 2], offset)
        self._raise(fault)
        file.really_write(data, offset)
        self._since[file.path].append((offset, data))
        # The rest of its pages is flushed with it.
        self._forgotten[file.path].difference_update(_pages(offset, data))

    def truncate(self, file: DiskFile, size: int) -> None:
        self._raise(self._next(flush=False))
        file.really_truncate(size)

    def flush(self, file: DiskFile, flags: int) -> None:
        fault = self._next(flush=True)
        if fault is Fault.FORGET:
            for offset, data in self._since.pop(file.path, ()):
                self._forgotten[file.path].update(_pages(offset, data))
        self._raise(fault)
        file.really_flush(flags)
        if self._off_at:
            self._flushed[file.path] = self._on_the_disk(file.path)
            self._since[file.path].clear()

    def _on_the_disk(self, path: Path) -> bytes:
        """Return what a flush leaves there: of what was forgotten, what was there before."""
        now, before = bytearray(path.read_bytes()), self._flushed.get(path, b"")
        for page in self._forgotten[path]:
            there = slice(page * _PAGE_BYTES, min((page + 1) * _PAGE_BYTES, len(now)))
            now[there] = before[there].ljust(len(now[there]), b"\0")
        return bytes(now)

    def _next(self, *, flush: bool) -> Fault | None:
        self.calls += 1
        if self._off_at and self.calls >= self._off_at:
            raise PowerCutError
        due = (
            self.calls >= self._fail_at if self._lasting or self._fault in _AT_A_FLUSH else self.calls == self._fail_at
        )
        if not self._fail_at or not due or (self._fault in _AT_A_FLUSH and not flush):
            return None
        if self.failed and not self._lasting:
            return None
        self.failed += 1
        return self._fault

    @staticmethod
    def _raise(fault: Fault | None) -> None:
        if fault in (Fault.FULL, Fault.SHORT_FULL):
            raise apsw.FullError(fault.value)
        if fault is not None:
            raise apsw.IOError(fault.value)


def _pages(offset: int, data: bytes) -> range:
    """Return the pages that a write is in."""
    return range(offset // _PAGE_BYTES, (offset + len(data) - 1) // _PAGE_BYTES + 1)


class DiskFile(apsw.VFSFile):
    """A file of SQLite's, on such a disk."""

    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        self.path = Path(name.filename() if isinstance(name, apsw.URIFilename) else str(name))
        super().__init__(_BASE, name, flags)
        if self.path.exists():
            disk.watch(self.path)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's names
        self._disk.write(self, bytes(data), offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.truncate(self, newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.flush(self, flags)

    def really_write(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)

    def really_truncate(self, size: int) -> None:
        super().xTruncate(size)

    def really_flush(self, flags: int) -> None:
        super().xSync(flags)


class _Layer(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__(NAME, _BASE, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return DiskFile(self._disk, name, flags)


@contextmanager
def faulty_disk() -> Iterator[Disk]:
    """Let every ledger that is opened meanwhile be on such a disk."""
    disk = Disk()
    layer = _Layer(disk)
    try:
        yield disk
    finally:
        layer.unregister()

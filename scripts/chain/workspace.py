"""The folder of one run: its databases, its logs, and who it belongs to.

It says whose it is, so that the next run can clear what a killed one left: its processes and itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from scripts.chain.identity import Identity
from scripts.chain.processes import ProcessTable, Tether, kill_leftovers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PREFIX = "invctl-"
_OWNER = "owner.json"
_STATE = "processes.json"


class Workspace:
    """A run's folder and its children. Leaving it ends the children and removes the folder, unless it is kept."""

    def __init__(self, path: Path, *, keep: bool, tether: Tether | None = None) -> None:
        """Made by `create`, for a folder that is there already."""
        self.path = path
        self.keep = keep
        self.processes = ProcessTable(path / _STATE, path / "logs", tether)

    @classmethod
    def create(cls, kind: str, *, keep: bool = False, parent: Path | None = None, tether: Tether | None = None) -> Self:
        """Make `invctl-KIND-XXXX` in the parent folder, by default the system's for temporary files."""
        path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{kind}-", dir=parent)).resolve()
        draft = path / "owner.new"
        draft.write_text(json.dumps(asdict(Identity.of_this_process()) | {"keep": keep}), encoding="utf-8")
        draft.rename(path / _OWNER)
        return cls(path, keep=keep, tether=tether)

    def close(self) -> None:
        """End the children, then remove the folder, or leave it as nobody's when it is kept."""
        self.processes.close()
        if self.keep:
            _disown(self.path)
        else:
            shutil.rmtree(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Leftover:
    """What a run left that was killed: its folder, the processes that were killed now, and whether it is kept."""

    path: Path
    killed: list[str]
    kept: bool


def clear_leftovers(
    parent: Path | None = None, *, before_removal: Callable[[Path], None] = lambda _: None
) -> list[Leftover]:
    """Kill the processes of runs whose owner is dead, and remove their folders but for those to be kept.

    Looks in the parent folder, by default the system's for temporary files, at this user's folders alone.
    `before_removal` gets each folder that is about to be removed, when its processes have ended.
    """
    cleared: list[Leftover] = []
    for path in sorted((parent or Path(tempfile.gettempdir())).glob(f"{_PREFIX}*")):
        # Without an owner's file it is kept, or another program's. And another run that starts now may be at it.
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            if _is_ours(path):
                with _locked(path):
                    cleared += _clear(path, before_removal)
    return cleared


def _is_ours(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Clear a folder alone. Raises BlockingIOError where another run is at it."""
    folder = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(folder)


def _clear(path: Path, before_removal: Callable[[Path], None]) -> list[Leftover]:
    owner = json.loads((path / _OWNER).read_text(encoding="utf-8"))
    if Identity(owner["pid"], owner["started"]).alive():
        return []
    killed = kill_leftovers(path / _STATE)
    if owner["keep"]:
        _disown(path)
    else:
        before_removal(path)
        shutil.rmtree(path)
    return [Leftover(path, killed, owner["keep"])]


def _disown(path: Path) -> None:
    (path / _OWNER).unlink()
    (path / _STATE).unlink(missing_ok=True)

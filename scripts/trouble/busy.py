"""Disks and databases in trouble: held busy by another process, or full."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from invctl.errors import RefusedError
from invctl.ledger import reservations
from invctl.ledger.ledger import FILE, Ledger
from invctl.ledger.writing import Origin
from scripts.trouble.scenario import OtherwiseError, Scenario
from scripts.trouble.scene import OTHER_STORE, STORE
from scripts.trouble.small_disk import SmallDisk, small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.chain.processes import Child
    from scripts.trouble.scene import Scene

BUSY_CODE = 6
REFUSED_CODE = 8
_MEGABYTE = 1_000_000
_HELD_MAX = 600
_EVENTS_MORE = 15
_HOLD = """
import sys, apsw

connection = apsw.Connection(sys.argv[1])
connection.set_busy_timeout(10_000)
connection.execute("BEGIN IMMEDIATE")
print(".", end="", flush=True)
sys.stdin.read()
"""


def _started(scene: Scene) -> tuple[Child, Child]:
    scene.found()
    central = scene.central()
    daemon = scene.invd()
    scene.invd(OTHER_STORE)
    scene.until_level()
    return central, daemon


def _unharmed(scene: Scene, *children: Child) -> None:
    for child in children:
        scene.expect(child.alive(), f"{child.name} was not started again: {child.log_tail(2)}")


@contextmanager
def _held_busy(file: Path) -> Iterator[None]:
    """Hold an SQLite file for writing, as a tool does that somebody left open.

    By a process of its own: here it would end as soon as anybody else in this process closes the file.
    """
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        if holder.stdout.read(1) != b".":
            raise OtherwiseError(f"{file} cannot be held")
        yield
        holder.stdin.close()


def _ledger_busy(scene: Scene) -> None:
    central, daemon = _started(scene)
    scene.trade(OTHER_STORE)
    with _held_busy(scene.chain.home(STORE) / FILE):
        refused = scene.sell("while-busy")
        scene.expect(refused.code == BUSY_CODE, f"the clerk is told to try again, with 6: {refused}")
        scene.expect(scene.clerk("stock").code == 0, "who reads does not wait")
    scene.expect(scene.sell("while-busy").code == 0, "tried again, it is done")
    scene.trade(STORE)
    scene.until_applied(STORE, scene.head_seq() + _EVENTS_MORE)
    _unharmed(scene, central, daemon)


def _times_busy(central: Child) -> int:
    """Return how often a central has told that its database was busy."""
    return central.log.read_text(encoding="utf-8", errors="replace").count('"error": "busy"')


def _central_busy(scene: Scene) -> None:
    central, daemon = _started(scene)
    scene.trade()
    before = _times_busy(central)
    with _held_busy(scene.chain.central_file):
        # Its lease may end before it applies anything: it cannot be seen to live, either.
        scene.until(lambda: _times_busy(central) > before, f"{central.name} says that its database is busy")
        applied = scene.applied()
        scene.expect(scene.sell("while-busy").code == 0, "a clerk does not depend on head office")
        scene.expect(scene.applied() == applied, "nothing is applied")
        scene.expect(scene.acked_seq() <= applied, "nothing is acknowledged that is not committed")
    scene.until_applied(STORE, scene.head_seq() + _EVENTS_MORE)
    _unharmed(scene, central, daemon)


def _on_small_disk(scene: Scene, folder: Path, megabytes: int) -> SmallDisk:
    """Move a folder to a disk of its own."""
    disk = scene.held.enter_context(small_disk(scene.path / "disk", megabytes))
    moved = disk.path / folder.name
    shutil.move(folder, moved)
    folder.symlink_to(moved)
    return disk


def _store_disk_full(scene: Scene) -> None:
    disk = _on_small_disk(scene, scene.chain.home(STORE), 160)
    central, daemon = _started(scene)
    scene.trade(OTHER_STORE)
    scene.expect(scene.clerk("receive", scene.sku, str(_HELD_MAX + 2)).code == 0, "stock is received")
    last = scene.clerk("reserve", scene.sku).record["reservation"]
    with Ledger.open(scene.chain.home(STORE)) as ledger:
        held = [reservations.reserve(ledger, {scene.sku: 1}).event.subject for _ in range(_HELD_MAX)]
        scene.until_level(STORE)
        disk.fill(leave_bytes=40 * _MEGABYTE)
        low = scene.clerk("reserve", scene.sku)
        scene.expect((low.code, low.record["error"]) == (REFUSED_CODE, "disk_low"), f"nothing new is begun: {low}")
        scene.expect(scene.clerk("cancel", held.pop()).code == 0, "what is reserved can be ended")
        disk.fill()
        ended = _end_until_refused(ledger, held)
    refused = scene.clerk("confirm", last)
    scene.expect(refused.code == REFUSED_CODE, f"on the full disk the clerk is told so, with 8: {refused}")
    scene.expect(scene.clerk("verify").code == 0, "nothing is half-written")
    disk.empty()
    scene.expect(scene.clerk("confirm", last).code == 0, "with room again, it is done")
    for reservation in held[:ended]:
        shown = scene.clerk("show", reservation).record["status"]
        scene.expect(shown == "cancelled", f"{reservation} was cancelled before the disk was full, and is {shown}")
    _unharmed(scene, central, daemon)


def _end_until_refused(ledger: Ledger, held: list[str]) -> int:
    """Cancel one reservation after the other, until there is no room for that. Returns how many were cancelled."""
    for number, reservation in enumerate(held):
        try:
            reservations.cancel(ledger, reservation, origin=Origin("ana"))
        except RefusedError:
            return number
    raise OtherwiseError("the full disk took it all")


def _central_disk_full(scene: Scene) -> None:
    scene.chain.central.mkdir()
    disk = _on_small_disk(scene, scene.chain.central, 24)
    central, daemon = _started(scene)
    scene.trade()
    disk.fill()
    scene.until_logged(central, "apply.failed")
    applied = scene.applied()
    scene.expect(scene.sell("while-full").code == 0, "a clerk does not depend on head office")
    scene.until(lambda: scene.head_seq() > applied, "the store is ahead")
    scene.expect(scene.acked_seq() <= scene.applied(), "nothing is acknowledged that is not committed")
    disk.empty()
    scene.until_applied(STORE, scene.head_seq() + _EVENTS_MORE)
    _unharmed(scene, central, daemon)


SCENARIOS = (
    Scenario(
        "ledger-busy",
        "another process holds a store's ledger for writing, and does not let go",
        "clerks are told to try again (exit 6); who reads does not wait; let go, all goes on, with nothing restarted",
        _ledger_busy,
    ),
    Scenario(
        "central-busy",
        "another process holds head office's SQLite for writing, for longer than a turn may take",
        "nothing is acknowledged; clerks go on; let go, all arrives with no process restarted",
        _central_busy,
    ),
    Scenario(
        "store-disk-full",
        "a store's disk, of its own, gets low and then full to the last byte, under its daemon",
        "low: nothing new is begun (exit 8), what is reserved can be ended; full: the clerk is told so (8), nothing"
        " is half-written; with room again all goes on, with nothing restarted",
        _store_disk_full,
    ),
    Scenario(
        "central-disk-full",
        "head office's disk, of its own, is full to the last byte, while stores trade",
        "nothing is acknowledged that is not committed; with room again all arrives with no process restarted",
        _central_disk_full,
    ),
)

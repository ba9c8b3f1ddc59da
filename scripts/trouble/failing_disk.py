"""Disks that are going: reading, writing or flushing comes back with EIO under a clerk, a daemon or head office."""

from __future__ import annotations

from operator import le
from typing import TYPE_CHECKING

from invctl.ledger.disk import NOTE
from invctl.ledger.ledger import FILE
from scripts.trouble.failing_calls import ALWAYS, FLUSH, READ, WRITE, Failing, times
from scripts.trouble.scenario import Scenario
from scripts.trouble.scene import OTHER_STORE, STORE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scripts.chain.processes import Child
    from scripts.trouble.scene import Scene

REFUSED_CODE = 8
_KINDS = {"writing": WRITE, "flushing": FLUSH}
# The first call alone, a later one, and all.
_WHEN = ("1", "3", ALWAYS)
_MET = 3
_EVENTS_MORE = 15
_TOLD = ("refused", "uncertain")


def _files(database: Path) -> list[Path]:
    """Return an SQLite file and its log."""
    return [database, database.with_name(f"{database.name}-wal")]


def _clerks_disk_fails(scene: Scene) -> None:
    scene.found()
    scene.central()
    scene.invd(OTHER_STORE)
    # At first nobody else has the file open: then whoever comes next reads the whole log.
    _refused_under_clerks(scene, "alone")
    daemon = scene.invd()
    scene.until_level()
    _refused_under_clerks(scene, "beside-invd")
    scene.expect(daemon.alive(), f"{daemon.name} was not started again: {daemon.log_tail(2)}")


def _refused_under_clerks(scene: Scene, name: str) -> None:
    for kind, calls in _KINDS.items():
        refused = 0
        for when in _WHEN:
            log = scene.path / f"{name}-{kind}-{when}.strace"
            how = Failing(calls, _files(scene.chain.home(STORE) / FILE), when)
            refused += _asked_twice(scene, log, how)
        scene.expect(refused > 0, f"{kind} failed under a command that needs it")
        verdict = scene.clerk("verify")
        scene.expect(verdict.code == 0, f"the ledger holds after {kind} failed: {verdict.out}{verdict.err}")


def _asked_twice(scene: Scene, log: Path, how: Failing) -> bool:
    """Reserve on a disk that fails, and again on one that does not. Returns whether the first was refused."""
    on_hand, reserved = scene.stock()
    request = ("reserve", scene.sku, "--request-id", log.stem)
    asked = scene.clerk(*request, through=how.command(log))
    done = asked.code == 0
    scene.expect(done or times(log) > 0, f"what is refused is so for a call that failed: {asked}")
    if not done:
        told = asked.code, asked.record["error"], len(asked.err.splitlines())
        scene.expect(
            asked.code == REFUSED_CODE and asked.record["error"] in _TOLD and told[-1] == 1,
            f"the clerk gets one error, with 8: {told} {asked.err}",
        )
    scene.expect(
        scene.stock() == (on_hand, reserved + done), f"what is not confirmed is not done ({log.stem}): {asked}"
    )
    again = scene.clerk(*request)
    scene.expect(again.code == 0, f"on a sound disk it is done: {again.err}")
    scene.expect(scene.stock() == (on_hand, reserved + 1), f"the same request reserved once ({log.stem})")
    return not done


def _started(scene: Scene) -> tuple[Child, Child]:
    scene.found()
    central, daemon = scene.central(), scene.invd()
    scene.invd(OTHER_STORE)
    scene.until_level()
    scene.trade()
    return central, daemon


def _meets(scene: Scene, child: Child, kind: str, files: Sequence[Path], said: str) -> None:
    """Let calls of a daemon fail until it has met that several times and said so. Clerks work meanwhile."""
    log = scene.path / f"{child.name}-{kind}.strace"
    before = _count(child, said)
    with scene.failing(lambda: [child.pid], Failing(_KINDS[kind], files), log):
        scene.until(lambda: times(log) >= _MET and _count(child, said) > before, f"{child.name} says that {kind} fails")
        scene.expect(scene.sell(f"{child.name}-{kind}").code == 0, "a clerk does not depend on it")
        scene.expect(scene.acked_seq() <= scene.applied(), "nothing is acknowledged that is not committed")


def _count(child: Child, said: str) -> int:
    return child.log.read_text(encoding="utf-8", errors="replace").count(said)


def _some_more_is_applied(scene: Scene, *stores: str) -> None:
    for store in stores or (STORE, OTHER_STORE):
        scene.until_applied(store, scene.head_seq(store) + _EVENTS_MORE)


def _daemons_disk_fails(scene: Scene) -> None:
    central, daemon = _started(scene)
    for kind in _KINDS:
        _some_more_is_applied(scene)
        _meets(scene, daemon, kind, _files(scene.chain.home(STORE) / FILE), "the disk failed")
    _some_more_is_applied(scene)
    for child in (central, daemon):
        scene.expect(child.alive(), f"{child.name} was not started again: {child.log_tail(2)}")


def _centrals_disk_fails(scene: Scene) -> None:
    central, daemon = _started(scene)
    for kind in _KINDS:
        _some_more_is_applied(scene)
        _meets(scene, central, kind, _files(scene.chain.central_file), "the database fails")
    _some_more_is_applied(scene)
    for child in (central, daemon):
        scene.expect(child.alive(), f"{child.name} was not started again: {child.log_tail(2)}")


def _store_unreadable(scene: Scene) -> None:
    scene.found()
    central, daemon = scene.central(), scene.invd()
    scene.invd(OTHER_STORE)
    scene.until_level()
    scene.trade(OTHER_STORE)
    home = scene.chain.home(STORE)
    sold = 0

    def is_noted() -> bool:
        nonlocal sold
        # What the daemon is to read.
        sold += scene.sell(f"until-damaged-{sold}").code == 0
        return (home / NOTE).exists()

    with scene.failing(lambda: [daemon.pid], Failing(READ, _files(home / FILE)), scene.path / "unreadable.strace"):
        scene.until(is_noted, "the daemon notes that the ledger is damaged")
    refused = scene.sell("while-damaged")
    told = refused.code, refused.record["error"]
    scene.expect(told == (REFUSED_CODE, "damaged"), f"nobody writes to it any more: {told}")
    scene.expect(scene.stock()[0] >= sold, "who reads is served")
    _some_more_is_applied(scene, OTHER_STORE)
    scene.stop(daemon)
    backup = str(scene.path / "backup.db")
    for command in (("backup", backup), ("restore", backup)):
        done = scene.clerk(*command)
        scene.expect(done.code == 0, f"`invctl {command[0]}` makes all pages anew: {done.err}")
    scene.invd()
    scene.until(lambda: scene.sell("while-damaged").code == 0, "the store sells again")
    scene.until_level(STORE)
    scene.expect(central.alive(), f"{central.name} was not started again: {central.log_tail(2)}")


def _central_unreadable(scene: Scene) -> None:
    central, daemon = _started(scene)
    _some_more_is_applied(scene)
    files = _files(scene.chain.central_file)
    with scene.failing(lambda: [central.pid], Failing(READ, files), scene.path / "unreadable.strace"):
        scene.until_ended(central, REFUSED_CODE)
    scene.expect("restore a backup" in central.log_tail(3), f"it says why, and what to do: {central.log_tail(3)}")
    scene.expect(scene.sell("no-head-office").code == 0, "a clerk does not depend on head office")
    scene.expect(scene.acked_seq() <= scene.applied(), "nothing is acknowledged that is not committed")
    verdict = scene.office("verify", "-o", "json")
    scene.expect(verdict.code == 0, f"its database holds: {verdict.err}")
    scene.central()
    _some_more_is_applied(scene)
    scene.expect(daemon.alive(), f"{daemon.name} was not started again: {daemon.log_tail(2)}")


def _postgres_disk_fails(scene: Scene) -> None:
    postgres = scene.use_postgres_of_its_own()
    central, daemon = _started(scene)
    _some_more_is_applied(scene)
    with scene.failing(postgres.pids, Failing(FLUSH), scene.path / "postgres.strace"):
        scene.until(lambda: not postgres.pids(), "PostgreSQL gives up, as it does where a flush fails")
        scene.expect(scene.sell("while-away").code == 0, "a clerk does not depend on head office")
        acked = [scene.acked_seq(store) for store in (STORE, OTHER_STORE)]
    postgres.start()
    applied = [scene.applied(store) for store in (STORE, OTHER_STORE)]
    scene.expect(all(map(le, acked, applied)), f"all that was acknowledged ({acked}) is there again ({applied})")
    _some_more_is_applied(scene)
    for child in (central, daemon):
        scene.expect(child.alive(), f"{child.name} was not started again: {child.log_tail(2)}")


_GOES_ON = (
    "nothing is acknowledged that is not committed; it says so; on a sound disk all arrives with nothing restarted"
)

SCENARIOS = (
    Scenario(
        "disk-fails-invctl",
        "writing and flushing fail (EIO) under `invctl reserve`: once, later, always; alone, and beside `invd`",
        "one error, with 8, and what is not confirmed is not done, also not later; asked again it is done once",
        _clerks_disk_fails,
    ),
    Scenario(
        "disk-fails-invd",
        "reading, writing and flushing the ledger fail (EIO) under `invd`, one after the other, while clerks trade",
        f"clerks go on; {_GOES_ON}",
        _daemons_disk_fails,
    ),
    Scenario(
        "disk-fails-invcentral",
        "reading, writing and flushing its SQLite fail (EIO) under `invcentral`, one after the other",
        f"clerks go on; {_GOES_ON}",
        _centrals_disk_fails,
    ),
    Scenario(
        "disk-unreadable-store",
        "every reading of the ledger fails (EIO) under `invd`, which SQLite calls damage; then the disk is sound again",
        "it is noted, and nobody writes to that ledger any more (8, `damaged`); reads go on; `invctl backup` and"
        " `restore` make it anew, and the store goes on",
        _store_unreadable,
    ),
    Scenario(
        "disk-unreadable-central",
        "every reading of its SQLite fails (EIO) under `invcentral`, which SQLite calls damage",
        "`invcentral` ends with 8 and says why; clerks go on; its database holds, and started again all arrives",
        _central_unreadable,
    ),
    Scenario(
        "disk-fails-postgres",
        "every flush fails (EIO) under the PostgreSQL of `invcentral`, which gives up; it is started on a sound disk",
        "clerks go on; all that was acknowledged is there again; all arrives with `invcentral` not restarted",
        _postgres_disk_fails,
    ),
)

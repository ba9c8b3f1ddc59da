"""Head office in trouble: stopped past its lease, put back to a backup, emptied."""

from __future__ import annotations

import os
import signal
from functools import partial
from operator import le
from typing import TYPE_CHECKING

from scripts.trouble.scenario import Scenario
from scripts.trouble.scene import OTHER_STORE, STORE, Trap, copy_database, put_database_back

if TYPE_CHECKING:
    from scripts.chain.processes import Child
    from scripts.trouble.scene import Scene

_EVENTS_MORE = 15
_KILLS = 3


def _both_trade(scene: Scene) -> None:
    scene.invd()
    scene.invd(OTHER_STORE)
    scene.trade()


def _some_more_is_applied(scene: Scene) -> None:
    """Wait until head office has some more of both stores than they have now."""
    for store in (STORE, OTHER_STORE):
        scene.until_applied(store, scene.head_seq(store) + _EVENTS_MORE)


def _goes_on_beside(scene: Scene, stopped: Child, second: Child) -> None:
    """See that the second central does the work while the first stands still, and what the first does then."""
    _some_more_is_applied(scene)
    scene.expect(stopped.alive(), f"{stopped.name} stands still")
    before = _leases_lost(stopped)
    os.kill(stopped.pid, signal.SIGCONT)
    # It finds out, and says so.
    scene.until(lambda: _leases_lost(stopped) > before, f"{stopped.name} says that its lease is lost")
    _some_more_is_applied(scene)
    scene.expect(stopped.alive(), f"{stopped.name} goes on, beside the other one")
    scene.expect(second.alive(), f"{second.name} goes on")


def _leases_lost(child: Child) -> int:
    """Return how often a central has told that a lease is not its own any more."""
    told = child.log.read_text(encoding="utf-8", errors="replace")
    return told.count('"lease.lost"') + told.count('"lease.ended"')


def _stopped_past_its_lease(scene: Scene, *, postgres: bool) -> None:
    if postgres:
        scene.use_postgres()
    scene.found()
    first = scene.central()
    _both_trade(scene)
    _some_more_is_applied(scene)
    second = scene.central(number=2)
    scene.until_logged(second, "central.started")
    _some_more_is_applied(scene)
    os.kill(first.pid, signal.SIGSTOP)
    _goes_on_beside(scene, first, second)


def _stopped_inside_a_transaction(scene: Scene) -> None:
    scene.use_postgres()
    scene.found()
    first = scene.central(Trap("invcentral-before-commit", 3, "SIGSTOP"))
    _both_trade(scene)
    scene.until(lambda: _state(first) == "T", f"{first.name} stands still inside a transaction")
    _goes_on_beside(scene, first, scene.central(number=2))


def _state(child: Child) -> str:
    """Return the state of a process, as proc(5) has it: T is stopped."""
    with open(f"/proc/{child.pid}/stat", encoding="ascii", errors="replace") as stat:  # noqa: PTH123 - no path
        return stat.read().rpartition(")")[2].split()[0]


def _postgres_killed(scene: Scene) -> None:
    postgres = scene.use_postgres_of_its_own()
    scene.found()
    centrals = [scene.central(), scene.central(number=2)]
    _both_trade(scene)
    _some_more_is_applied(scene)
    for time in range(_KILLS):
        postgres.kill()
        scene.expect(scene.sell(f"while-away-{time}").code == 0, "a clerk does not depend on head office")
        acked = [scene.acked_seq(store) for store in (STORE, OTHER_STORE)]
        postgres.start()
        applied = [scene.applied(store) for store in (STORE, OTHER_STORE)]
        scene.expect(all(map(le, acked, applied)), f"all that was acknowledged ({acked}) is there again ({applied})")
        _some_more_is_applied(scene)
    for central in centrals:
        scene.expect(central.alive(), f"{central.name} was not started again: {central.log_tail(2)}")


def _restored(scene: Scene) -> None:
    scene.found()
    central = scene.central()
    _both_trade(scene)
    _some_more_is_applied(scene)
    backup = scene.path / "central-backup.db"
    copy_database(scene.chain.central_file, backup)
    then = scene.applied()
    _some_more_is_applied(scene)
    for _ in range(2):
        scene.stop(central)
        put_database_back(backup, scene.chain.central_file)
        scene.expect(scene.applied() <= then + 1, "head office is put back")
        central = scene.central()
        _some_more_is_applied(scene)


def _emptied(scene: Scene, *more: str) -> None:
    scene.found()
    central = scene.central()
    _both_trade(scene)
    _some_more_is_applied(scene)
    scene.stop(central)
    scene.reset_central(*more)
    scene.expect(scene.applied() <= 0, "head office is empty")
    scene.central()
    _some_more_is_applied(scene)


_TAKES_OVER = (
    "the other takes over and serves both stores; the first, awake again, commits nothing of what it had begun, gives"
    " its lease back and goes on"
)

SCENARIOS = (
    Scenario(
        "standby-takes-over",
        "`invcentral` is stopped (SIGSTOP) past its lease, with a standby on the same SQLite, and wakes up",
        _TAKES_OVER,
        partial(_stopped_past_its_lease, postgres=False),
    ),
    Scenario(
        "central-stopped-past-lease",
        "one of two `invcentral` on PostgreSQL is stopped (SIGSTOP) past its lease, and wakes up",
        _TAKES_OVER,
        partial(_stopped_past_its_lease, postgres=True),
    ),
    Scenario(
        "central-stopped-in-transaction",
        "`invcentral` is stopped (SIGSTOP) inside a transaction, with the shard locked in PostgreSQL; a second one"
        " starts, and the first wakes up",
        "the stalled transaction is cut off; " + _TAKES_OVER,
        _stopped_inside_a_transaction,
    ),
    Scenario(
        "postgres-killed",
        "all processes of the PostgreSQL under two centrals at work are killed (-9), three times, and it comes back",
        "clerks go on; all that was acknowledged is there again; all arrives with no central restarted",
        _postgres_killed,
    ),
    Scenario(
        "central-restored",
        "head office's database is put back to a backup, twice, while stores trade",
        "the stores are asked again from where the backup ends, and all of it comes back by itself",
        _restored,
    ),
    Scenario(
        "central-reset",
        "head office's database is emptied, and knows its stores alone, while they trade",
        "all of it comes back by itself",
        _emptied,
    ),
    Scenario(
        "central-forgets-stores",
        "head office's database is emptied, its stores forgotten, while they trade",
        "once they are admitted (here at once) all of it comes back by itself",
        lambda scene: _emptied(scene, "--forget-stores"),
    ),
)

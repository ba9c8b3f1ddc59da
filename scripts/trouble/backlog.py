"""A store that was away for so long that what it has to tell is no longer small."""

from __future__ import annotations

import shutil
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from invctl.clock import ManualClock, SystemClock
from invctl.ledger import adjustments, products, reservations
from invctl.ledger.ledger import Ledger
from scripts.chain.waiting import wait_until
from scripts.trouble.scenario import OtherwiseError, Scenario
from scripts.trouble.scene import OTHER_STORE, STORE

if TYPE_CHECKING:
    from scripts.chain.processes import Child
    from scripts.trouble.scene import Scene

DAYS = 30
_DAY_S = 86_400
_EVENTS_A_ROUND = 5
_MORE_MEMORY_MAX_MB = 64
_BEHIND_MAX = 200
"""25 s of the other store's trade: it is not held up by the backlog, however slow the machine."""
_LEVEL_WITHIN_S = 3600.0
"""It only ends a run that has failed."""


def _trade_alone(home: Path, sku: str, events: int) -> None:
    """Let a store trade for a month that ends now, with nobody to tell, until its ledger has so many events."""
    shutil.rmtree(home)
    clock = ManualClock(SystemClock().now_us() - DAYS * _DAY_S * 1_000_000)
    rounds = ceil(events / _EVENTS_A_ROUND)
    with Ledger.create(home, STORE, clock=clock) as ledger:
        # Nobody waits for these commits. The power may fail: then the run has, too.
        ledger.connection.execute("PRAGMA synchronous = OFF")
        products.add(ledger, sku, sku.title())
        adjustments.adjust(ledger, {sku: 100}, "received")
        for _ in range(rounds):
            held = reservations.reserve(ledger, {sku: 2}).event.subject
            reservations.confirm(ledger, held)
            cancelled = reservations.reserve(ledger, {sku: 1}).event.subject
            reservations.cancel(ledger, cancelled)
            adjustments.adjust(ledger, {sku: 2}, "received")
            clock.advance(DAYS * _DAY_S / rounds)


def _peak_mb(child: Child) -> float:
    """Return the most memory that a process ever had."""
    lines = Path(f"/proc/{child.pid}/status").read_text(encoding="ascii").splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) / 1024


def _offline_for_a_month(scene: Scene) -> None:
    home = scene.chain.home(STORE)
    _trade_alone(home, scene.sku, scene.backlog)
    scene.found()
    central, other = scene.central(), scene.invd(OTHER_STORE)
    scene.until_level(OTHER_STORE)
    # What a process takes at rest, also for the store that is to come.
    idle = {"invcentral": _peak_mb(central), "invd": _peak_mb(other)}
    scene.trade(OTHER_STORE)
    waiting = scene.head_seq()
    began_s = SystemClock().monotonic_s()
    daemon = scene.invd(STORE)
    furthest_behind = 0

    def is_level() -> bool:
        nonlocal furthest_behind
        furthest_behind = max(furthest_behind, scene.head_seq(OTHER_STORE) - scene.applied(OTHER_STORE))
        return scene.is_level()

    if not wait_until(is_level, timeout_s=_LEVEL_WITHIN_S, every_s=0.5):
        raise OtherwiseError(f"it did not come: {scene.applied()} of {waiting} events; {scene.last_words()}")
    took_s = SystemClock().monotonic_s() - began_s
    more = {"invcentral": _peak_mb(central) - idle["invcentral"], "invd": _peak_mb(daemon) - idle["invd"]}
    for name, megabytes in more.items():
        scene.expect(megabytes < _MORE_MEMORY_MAX_MB, f"{name} took {megabytes:.0f} MB more for the backlog")
    scene.expect(furthest_behind < _BEHIND_MAX, f"the other store was {furthest_behind} events behind")
    scene.remark(
        f"{waiting} events in {took_s:.0f} s; peak of memory: invd {idle['invd'] + more['invd']:.0f} MB"
        f" ({more['invd']:+.0f} over one at rest), invcentral {idle['invcentral'] + more['invcentral']:.0f} MB"
        f" ({more['invcentral']:+.0f}); the other store at most {furthest_behind} events behind"
    )


SCENARIOS = (
    Scenario(
        "offline-for-a-month",
        "a store trades for 30 days with no word to anybody (--backlog says how many events), then its daemon starts",
        "all of it arrives, with at most 64 MB more on either side, while what another store does arrives meanwhile",
        _offline_for_a_month,
    ),
)

"""A store that was away for so long that what it has to tell is no longer small."""

from __future__ import annotations

import shutil
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from invctl.clock import ManualClock, SystemClock
from invctl.ledger import adjustments, products, reservations
from invctl.ledger.ledger import Ledger
from scripts.chain.waiting import wait_until
from scripts.trouble import hoarder
from scripts.trouble.scenario import OtherwiseError, Scenario
from scripts.trouble.scene import OTHER_STORE, STORE

if TYPE_CHECKING:
    from scripts.chain.processes import Child
    from scripts.trouble.scene import Scene

DAYS = 30
_DAY_S = 86_400
_EVENTS_A_ROUND = 5
MORE_MEMORY_MAX_MIB = 64
_BEHIND_MAX = 200
"""25 s of the other store's trade: it is not held up by the backlog, however slow the machine."""
_SEEN_FROM = 200_000
"""So many events that whoever keeps them takes more than that."""
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


def _peak_mib(child: Child) -> float:
    """Return the most memory that a process ever had."""
    lines = Path(f"/proc/{child.pid}/status").read_text(encoding="ascii").splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) / 1024


class Return(NamedTuple):
    """What the return of a store took. Memory is by program, in MiB; `more_mib` is beyond one at rest."""

    events: int
    took_s: float
    peak_mib: dict[str, float]
    more_mib: dict[str, float]
    other_behind: int

    def told(self) -> str:
        """Return it in words."""
        peaks = ", ".join(
            f"{name} {self.peak_mib[name]:.0f} MiB ({self.more_mib[name]:+.0f})" for name in self.peak_mib
        )
        return (
            f"{self.events} events in {self.took_s:.0f} s; peak of memory, and over one at rest: {peaks};"
            f" the other store at most {self.other_behind} events behind"
        )


def _return_after_a_month(scene: Scene, events: int, *, hoarding: bool) -> Return:
    """Let a store trade alone for a month, then be heard. With `hoarding` both sides keep all that they handle."""
    _trade_alone(scene.chain.home(STORE), scene.sku, events)
    scene.found()
    central = scene.central(through=hoarder.through(hoarder.APPLIED) if hoarding else ())
    other = scene.invd(OTHER_STORE)
    scene.until_level(OTHER_STORE)
    # What a process takes at rest, also for the store that is to come.
    idle = {"invd": _peak_mib(other), "invcentral": _peak_mib(central)}
    scene.trade(OTHER_STORE)
    waiting = scene.head_seq()
    began_s = SystemClock().monotonic_s()
    daemon = scene.invd(STORE, through=hoarder.through(hoarder.PUBLISHED) if hoarding else ())
    furthest_behind = 0

    def is_level() -> bool:
        nonlocal furthest_behind
        furthest_behind = max(furthest_behind, scene.head_seq(OTHER_STORE) - scene.applied(OTHER_STORE))
        return scene.is_level()

    if not wait_until(is_level, timeout_s=_LEVEL_WITHIN_S, every_s=0.5):
        raise OtherwiseError(f"it did not come: {scene.applied()} of {waiting} events; {scene.last_words()}")
    took_s = SystemClock().monotonic_s() - began_s
    peak = {"invd": _peak_mib(daemon), "invcentral": _peak_mib(central)}
    return Return(waiting, took_s, peak, {name: peak[name] - idle[name] for name in peak}, furthest_behind)


def too_much(back: Return) -> list[str]:
    """Return what took more memory for a backlog than it may."""
    return [
        f"{name} took {more:.0f} MiB more for the backlog"
        for name, more in back.more_mib.items()
        if more > MORE_MEMORY_MAX_MIB
    ]


def _offline_for_a_month(scene: Scene) -> None:
    back = _return_after_a_month(scene, scene.backlog, hoarding=False)
    found = too_much(back)
    scene.expect(not found, f"memory is bounded: {'; '.join(found)}")
    scene.expect(back.other_behind < _BEHIND_MAX, f"the other store was {back.other_behind} events behind")
    scene.remark(back.told())


def _hoards_are_seen(scene: Scene) -> None:
    back = _return_after_a_month(scene, max(scene.backlog, _SEEN_FROM), hoarding=True)
    found = too_much(back)
    scene.expect(len(found) == len(back.more_mib), f"both are seen: {back.told()}")
    scene.remark(back.told())


SCENARIOS = (
    Scenario(
        "offline-for-a-month",
        "a store trades for 30 days with no word to anybody (--backlog says how many events), then its daemon starts",
        "all of it arrives, with at most 64 MiB more on either side, while what another store does arrives meanwhile",
        _offline_for_a_month,
    ),
    Scenario(
        "offline-for-a-month-hoarding",
        "the same with 200,000 events or more, and both sides made, from outside, to keep all that they handle",
        "all of it arrives, and each side is seen to take more than 64 MiB more: the fault above can fail",
        _hoards_are_seen,
    ),
)

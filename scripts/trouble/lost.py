"""Stores that lost history: put back to an older copy, restored, cloned, and killed while they rejoin."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from scripts.trouble.scenario import Scenario
from scripts.trouble.scene import OTHER_STORE, STORE, Trap

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.trouble.scene import Scene

FROZEN_CODE = 8
SOLD = 3
_EVENTS_MORE = 15


def _trading(scene: Scene) -> None:
    scene.found()
    scene.central()
    scene.invd(OTHER_STORE)
    scene.trade()


def _trade_on(scene: Scene, store: str = STORE) -> None:
    """Wait until clerks have done some more."""
    upto = scene.head_seq(store) + _EVENTS_MORE
    scene.until(lambda: scene.head_seq(store) >= upto, f"clerks of {store} do some more")


def _sold(scene: Scene) -> str:
    """Sell some units, and return the reservation."""
    scene.expect(scene.clerk("receive", scene.sku, "20").code == 0, "20 are received")
    sold = str(scene.clerk("reserve", f"{scene.sku}={SOLD}").record["reservation"])
    scene.expect(scene.clerk("confirm", sold).code == 0, f"{sold} is confirmed")
    return sold


def _is_refused(scene: Scene, home: Path | None = None) -> None:
    refused = scene.clerk("reserve", scene.sku, home=home)
    scene.expect(refused.code == FROZEN_CODE, f"the clerk is refused with 8: {refused}")
    scene.expect(refused.record["error"] == "frozen", f"and told why: {refused.err}")


def _is_sold(scene: Scene, sold: str, home: Path | None = None) -> None:
    shown = scene.clerk("show", sold, home=home)
    scene.expect(shown.code == 0 and shown.record["status"] == "confirmed", f"{sold} stays sold: {shown}")


def _put_back(scene: Scene) -> str:
    """Trade, and put the store back to before that, with nobody told. Returns what was sold in between."""
    _trading(scene)
    daemon = scene.invd()
    _trade_on(scene)
    yesterday = scene.copy_ledger(scene.path / "yesterday")
    _trade_on(scene)
    scene.stop_trading()
    sold = _sold(scene)
    scene.until_level(STORE)
    scene.stop(daemon)
    scene.put_back(yesterday)
    scene.expect(scene.clerk("show", sold).code != 0, f"the old copy knows nothing of {sold}")
    scene.trade(OTHER_STORE)
    return sold


def _store_put_back(scene: Scene) -> None:
    sold = _put_back(scene)
    # Nobody knows yet.
    scene.expect(scene.sell("decided-on-an-old-copy").code == 0, "what is decided before anybody knows is done")
    scene.invd()
    scene.until(lambda: scene.status()["link"] == "diverged", "the store sees that it lost history")
    _is_refused(scene)
    scene.until(lambda: scene.status()["frozen"] is None, "the store rejoins by itself")
    _is_sold(scene, sold)
    scene.trade(STORE)
    _trade_on(scene)


def _store_put_back_twice(scene: Scene) -> None:
    sold = _put_back(scene)
    again = scene.copy_ledger(scene.path / "again")
    for _ in range(2):
        daemon = scene.invd()
        scene.until(lambda: scene.status()["link"] == "diverged", "the store sees that it lost history")
        scene.until_level(STORE)
        _is_sold(scene, sold)
        scene.expect(scene.sell(f"before-{daemon.pid}").code == 0, "the store trades on")
        scene.until_level(STORE)
        scene.stop(daemon)
        scene.put_back(again)
    scene.invd()
    scene.until_level(STORE)
    _is_sold(scene, sold)


def _killed_while_it_rejoins(scene: Scene, point: str) -> None:
    sold = _put_back(scene)
    scene.until_killed(scene.invd(trap=Trap(point)))
    scene.invd()
    scene.until_level(STORE)
    _is_sold(scene, sold)


def _store_restored(scene: Scene) -> None:
    _trading(scene)
    daemon = scene.invd()
    _trade_on(scene)
    backup = str(scene.path / "backup.db")
    scene.expect(scene.clerk("backup", backup).code == 0, "a backup is made while clerks work")
    _trade_on(scene)
    scene.stop_trading()
    sold = _sold(scene)
    scene.until_level(STORE)
    scene.stop(daemon)
    scene.expect(scene.clerk("restore", backup).code == 0, "the backup is restored")
    _is_refused(scene)
    scene.trade(OTHER_STORE)
    scene.invd()
    scene.until(lambda: scene.status()["frozen"] is None, "the store trades again by itself")
    _is_sold(scene, sold)
    scene.trade(STORE)
    _trade_on(scene)


def _cloned(scene: Scene) -> Path:
    """Let a copy of the store run beside it, until head office has seen both."""
    _trading(scene)
    scene.invd()
    _trade_on(scene)
    twin = scene.copy_ledger(scene.path / "twin")
    _trade_on(scene)
    scene.stop_trading()
    scene.until_level(STORE)
    scene.invd(home=twin)
    scene.until(lambda: scene.status(home=twin)["link"] == "diverged", "the twin sees that it is one")
    _is_refused(scene, twin)
    scene.until(
        lambda: "another machine" in (scene.status(home=twin)["reason"] or ""), "the twin is told of the other machine"
    )
    return twin


def _store_cloned(scene: Scene) -> None:
    twin = _cloned(scene)
    scene.trade()
    _trade_on(scene)
    scene.until_level(OTHER_STORE)
    _is_refused(scene, twin)


def _clone_readmitted(scene: Scene) -> None:
    twin = _cloned(scene)
    sold = _sold(scene)
    scene.until_level(STORE)
    scene.stop(scene.daemon_of(STORE))

    def asks() -> bool:
        return bool(scene.office("stores", "show", STORE, "-o", "json").record["asking"])

    scene.until(asks, "the twin asks to rejoin")
    done = scene.office("stores", "readmit", STORE, "-o", "json")
    scene.expect(done.code == 0, f"an operator readmits the twin: {done.err}")
    scene.until(lambda: scene.status(home=twin)["frozen"] is None, "the twin rejoins")
    _is_sold(scene, sold, twin)
    scene.until(lambda: scene.status(home=twin)["link"] == "up", "the twin is the store now")
    # The first one does not fit any more.
    first = scene.invd()
    scene.until(lambda: scene.status()["link"] == "diverged", "the first machine sees that it is not the store now")
    _is_refused(scene)
    scene.stop(first)
    # From here on the twin is what is proved.
    scene.stop(scene.daemon_of(twin.name))
    scene.become(twin)
    scene.invd()


_REJOINS = "nothing of the ledger is half-written; it rejoins after the next start, and forgets nothing"

SCENARIOS = (
    Scenario(
        "store-put-back",
        "a store's file is put back to an older copy while the chain trades, with nobody told, and sells on it",
        "the store finds out and refuses with exit 8 and the reason; it rejoins by itself, what was sold stays sold,"
        " what was decided on the old copy comes again, and clerks go on",
        _store_put_back,
    ),
    Scenario(
        "store-put-back-twice",
        "a store's file is put back to the same older copy, three times in a row",
        "each time it rejoins by itself, and forgets nothing of the time before",
        _store_put_back_twice,
    ),
    Scenario(
        "store-restored",
        "`invctl restore` of a backup that was made while clerks worked, later in the same day's trade",
        "every write is refused with exit 8 until head office has sent what is missing; then clerks go on",
        _store_restored,
    ),
    Scenario(
        "store-cloned",
        "a copy of a store runs on a second machine, with a daemon of its own, while the store trades",
        "the store goes on; the copy is told of the other machine, and refuses every write with exit 8",
        _store_cloned,
    ),
    Scenario(
        "clone-readmitted",
        "the same, and an operator stops the first machine and lets the copy be the store",
        "the copy fetches what it lacks and trades on; the first machine, back again, is refused with exit 8",
        _clone_readmitted,
    ),
    *(
        Scenario(
            f"kill-{point}",
            f"`invd` of a store that was put back is killed (-9) {when}",
            _REJOINS,
            partial(_killed_while_it_rejoins, point=point),
        )
        for point, when in (
            ("invd-before-rejoin", "when it has fetched what it lacks, before it rejoins"),
            ("invd-inside-rejoin", "inside the transaction by which it rejoins, before its commit"),
            ("invd-after-rejoin", "right after it rejoined, before it told head office"),
        )
    ),
)

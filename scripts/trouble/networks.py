"""Partitions between machines: a store, head office or its PostgreSQL in a network of its own, on a bad cable."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from scripts.trouble.scenario import Scenario
from scripts.trouble.scene import OTHER_STORE, STORE

if TYPE_CHECKING:
    from scripts.chain.processes import Child
    from scripts.trouble.far_side import FarSide
    from scripts.trouble.scene import Scene

UNREACHABLE_CODE = 7
_EVENTS_MORE = 15
_EVENTS_UNHEARD = 8


class _Run(Protocol):
    def __call__(self, scene: Scene, lost: Lost) -> None: ...


class Lost(NamedTuple):
    """What goes to the far side is lost (`inwards`), what comes from there (`outwards`), or both."""

    inwards: bool
    outwards: bool


WAYS = {"in": Lost(inwards=True, outwards=False), "out": Lost(inwards=False, outwards=True), "both": Lost(True, True)}


def _applied_more(scene: Scene, store: str = STORE) -> None:
    scene.until_applied(store, scene.head_seq(store) + _EVENTS_MORE)


def _cut_for_a_moment(scene: Scene, far: FarSide, lost: Lost) -> None:
    """Cut until some events of the store wait for their acknowledgement. That is over before anybody's deadline."""
    far.cut(**lost._asdict())
    scene.until(lambda: scene.head_seq() >= scene.acked_seq() + _EVENTS_UNHEARD, "some events are not acknowledged")
    far.heal()
    _applied_more(scene)


def _silent(scene: Scene) -> dict[str, bool]:
    """Return of each store whether head office's status says that it is silent."""
    told: dict[str, Any] = scene.office("status", "-o", "json").record
    return {row["store"]: row["silent"] for row in told["stores"]}


def _unharmed(scene: Scene, *children: Child) -> None:
    for child in children:
        scene.expect(child.alive(), f"{child.name} was not started again: {child.log_tail(2)}")


def _store_is_cut_off(scene: Scene, lost: Lost) -> None:
    far = scene.far_side()
    scene.found()
    central = scene.central()
    other = scene.invd(OTHER_STORE)
    daemon = scene.invd(through=far.within, INVCTL_REDIS_URL=scene.broker_for(far))
    scene.until_level()
    scene.trade()
    _applied_more(scene)
    _cut_for_a_moment(scene, far, lost)
    far.cut(**lost._asdict())
    scene.until(lambda: scene.status()["daemon"]["connection"] != "connected", "the daemon notices the silence")
    scene.expect(scene.sell("cut-off").code == 0, "a clerk does not depend on the network")
    scene.until(lambda: _silent(scene) == {STORE: True, OTHER_STORE: False}, "head office says who is silent")
    scene.expect(scene.applied() < scene.head_seq(), "nothing of the store comes through")
    _applied_more(scene, OTHER_STORE)
    far.heal()
    _applied_more(scene)
    _unharmed(scene, central, daemon, other)


def _central_is_cut_off(scene: Scene, lost: Lost) -> None:
    far = scene.far_side()
    scene.found()
    central = scene.central(through=far.within, INVCTL_REDIS_URL=scene.broker_for(far))
    daemons = [scene.invd(), scene.invd(OTHER_STORE)]
    scene.until_level()
    scene.trade()
    _applied_more(scene)
    _cut_for_a_moment(scene, far, lost)
    far.cut(**lost._asdict())
    for store in (STORE, OTHER_STORE):
        scene.until(lambda: scene.status(store)["link"] == "unknown", f"{store} notices that head office is silent")  # noqa: B023 - asked in this round alone
    scene.until(lambda: all(_silent(scene).values()), "head office says that all are silent")
    before = scene.applied()
    scene.expect(scene.sell("cut-off").code == 0, "a clerk does not depend on head office")
    scene.expect(scene.applied() == before, "head office applies nothing without its lease")
    far.heal()
    for store in (STORE, OTHER_STORE):
        _applied_more(scene, store)
    _unharmed(scene, central, *daemons)


def _postgres_is_cut_off(scene: Scene, lost: Lost) -> None:
    far = scene.far_side()
    scene.use_postgres_of_its_own(far.far, through=far.within)
    scene.found()
    central = scene.central()
    daemons = [scene.invd(), scene.invd(OTHER_STORE)]
    scene.until_level()
    scene.trade()
    _applied_more(scene)
    _cut_for_a_moment(scene, far, lost)
    told = central.log.read_text(encoding="utf-8").count("the database")
    far.cut(**lost._asdict())
    scene.until(
        lambda: central.log.read_text(encoding="utf-8").count("the database") > told,
        "head office notices that its database is silent",
    )
    asked = scene.office("status", "-o", "json")
    scene.expect(asked.code == UNREACHABLE_CODE, f"its status ends with 7: {asked.code} {asked.err}")
    scene.expect(scene.sell("cut-off").code == 0, "a clerk does not depend on head office")
    acked = {store: scene.acked_seq(store) for store in (STORE, OTHER_STORE)}
    far.heal()
    for store, seq in acked.items():
        applied = scene.applied(store)
        scene.expect(seq <= applied, f"all that was acknowledged of {store} ({seq}) is there ({applied})")
        _applied_more(scene, store)
    _unharmed(scene, central, *daemons)


def _living(scene: Scene) -> int:
    """Return how many centrals head office's status calls living."""
    told: dict[str, Any] = scene.office("status", "-o", "json").record
    return sum(each["living"] for each in told["centrals"])


def _one_of_two_is_cut_off(scene: Scene, lost: Lost) -> None:
    far = scene.far_side()
    scene.use_postgres_of_its_own(far.near)
    scene.found()
    first = scene.central(through=far.within, INVCTL_REDIS_URL=scene.broker_for(far))
    second = scene.central(number=2)
    daemons = [scene.invd(), scene.invd(OTHER_STORE)]
    scene.until(lambda: _living(scene) == len((first, second)), "both centrals live")
    scene.trade()
    for store in (STORE, OTHER_STORE):
        _applied_more(scene, store)
    far.cut(**lost._asdict())
    scene.until(lambda: _living(scene) == 1, "head office says that one is gone")
    scene.expect(scene.sell("cut-off").code == 0, "a clerk does not depend on head office")
    for store in (STORE, OTHER_STORE):
        _applied_more(scene, store)
    far.heal()
    scene.until(lambda: _living(scene) == len((first, second)), "it is back")
    for store in (STORE, OTHER_STORE):
        _applied_more(scene, store)
    _unharmed(scene, first, second, *daemons)


_CASES: dict[str, tuple[_Run, str, str]] = {
    "store": (
        _store_is_cut_off,
        "a store, in a network of its own",
        "clerks and the other store go on; the daemon notices the silence, and head office says who is silent",
    ),
    "central": (
        _central_is_cut_off,
        "head office, in a network of its own",
        "clerks go on; the stores notice the silence, and head office says that all are silent and applies nothing",
    ),
    "postgres": (
        _postgres_is_cut_off,
        "head office's PostgreSQL, in a network of its own",
        "clerks go on; nothing is acknowledged that is not there; head office notices; its `status` exits 7 in time",
    ),
    "one-central": (
        _one_of_two_is_cut_off,
        "one of two `invcentral` on a PostgreSQL, in a network of its own",
        "clerks go on; head office says that it is gone, and the other one takes over and serves both stores",
    ),
}
_WAYS = {
    "in": "nothing reaches {}",
    "out": "nothing leaves {}",
    "both": "nothing reaches or leaves {}",
}

SCENARIOS = tuple(
    Scenario(
        f"net-{party}-{way}",
        f"{_WAYS[way].format(whom)}, past every deadline; packets are lost without a word",
        f"{comes}; healed, all arrives with nothing restarted",
        partial(run, lost=lost),
    )
    for party, (run, whom, comes) in _CASES.items()
    for way, lost in WAYS.items()
)

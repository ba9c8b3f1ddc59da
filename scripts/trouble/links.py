"""The way between a store and head office: a broker that dies, one that cuts off, a network that leads nowhere."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import redis

from invctl.errors import BusyError
from invctl.ledger.ledger import Ledger
from invctl.redis_connection import RedisAddress
from scripts.trouble.proxy import Proxy
from scripts.trouble.scenario import OtherwiseError, Scenario
from scripts.trouble.scene import OTHER_STORE, STORE

if TYPE_CHECKING:
    from scripts.chain.processes import Child
    from scripts.trouble.scene import Scene

_EVENTS_MORE = 15
# Longer than clerks at work take a turn.
_TURN_S = 2.0
_OUTPUT_LIMIT_BYTES = 256 * 1024
_FLOOD_FRAME_BYTES = 512 * 1024
_FLOOD_FRAMES_MAX = 400


def _started(scene: Scene) -> tuple[Child, Child]:
    scene.found()
    central = scene.central()
    scene.invd(OTHER_STORE)
    daemon = scene.invd()
    scene.until_level()
    scene.trade()
    return central, daemon


def _applied_more(scene: Scene, store: str = STORE) -> None:
    scene.until_applied(store, scene.head_seq(store) + _EVENTS_MORE)


def _unharmed(scene: Scene, *children: Child) -> None:
    for child in children:
        scene.expect(child.alive(), f"{child.name} was not started again: {child.log_tail(2)}")


def _broker_emptied(scene: Scene) -> None:
    central, daemon = _started(scene)
    for number in range(3):
        _applied_more(scene)
        scene.kill_broker()
        scene.until(lambda: scene.status()["daemon"]["connection"] == "lost", "the daemon sees that the broker is gone")
        scene.expect(scene.sell(f"without-broker-{number}").code == 0, "a clerk does not depend on the broker")
        scene.restart_broker()
    _applied_more(scene)
    _unharmed(scene, central, daemon)


def _too_slow(scene: Scene, *, of_store: bool) -> None:
    url = scene.real_broker_url
    central, daemon = _started(scene)
    slow, channel = (daemon, scene.down()) if of_store else (central, scene.up())
    with closing(redis.Redis.from_url(url)) as client:
        client.config_set("client-output-buffer-limit", f"pubsub {_OUTPUT_LIMIT_BYTES} 0 0")
        for number in range(3):
            _applied_more(scene)
            _stop_outside_a_turn(scene, slow)
            _flood(client, channel)
            sold = scene.sell(f"meanwhile-{number}")
            scene.expect(sold.code == 0, f"a clerk does not depend on it: {sold}")
            os.kill(slow.pid, signal.SIGCONT)
            scene.until_logged(slow, "bus.subscribed", number + 2)
    _applied_more(scene)
    _unharmed(scene, central, daemon)


def _stop_outside_a_turn(scene: Scene, child: Child) -> None:
    """Stop a process at a moment at which it does not hold the store's ledger: clerks would wait for it, and exit 6."""

    def stands_outside() -> bool:
        os.kill(child.pid, signal.SIGSTOP)
        try:
            with Ledger.open(scene.chain.home(STORE), queue_timeout_s=_TURN_S) as ledger, ledger.write():
                return True
        except BusyError:
            os.kill(child.pid, signal.SIGCONT)
            return False

    scene.until(stands_outside, f"{child.name} stands still outside of a transaction")


def _flood(client: redis.Redis, channel: str) -> None:
    """Publish until the broker cuts off a subscriber that reads too slowly."""
    before = _cut_off(client)
    for _ in range(_FLOOD_FRAMES_MAX):
        client.publish(channel, b"x" * _FLOOD_FRAME_BYTES)
        if _cut_off(client) > before:
            return
    raise OtherwiseError("the broker did not cut off the slow subscriber")


def _cut_off(client: redis.Redis) -> int:
    return int(client.info("stats")["client_output_buffer_limit_disconnections"])


def _proxy(scene: Scene) -> Proxy:
    port = RedisAddress.parse(scene.broker.url).where.rpartition(":")[2]
    return scene.held.enter_context(Proxy(int(port)))


def _partition(scene: Scene, *, outwards: bool, inwards: bool) -> None:
    proxy = _proxy(scene)
    scene.found()
    central = scene.central()
    scene.invd(OTHER_STORE)
    daemon = scene.invd(INVCTL_REDIS_URL=proxy.url)
    scene.until_level()
    scene.trade()
    for number in range(2):
        _applied_more(scene)
        proxy.shut(towards_broker=outwards, towards_client=inwards)
        scene.until(lambda: scene.status()["daemon"]["connection"] != "connected", "the daemon notices the silence")
        scene.expect(scene.sell(f"cut-off-{number}").code == 0, "a clerk does not depend on the network")
        if outwards:
            scene.expect(scene.applied() < scene.head_seq(), "nothing of the store comes through")
        _applied_more(scene, OTHER_STORE)
        proxy.open()
    _applied_more(scene)
    _unharmed(scene, central, daemon)


def _central_in_a_black_hole(scene: Scene) -> None:
    proxy = _proxy(scene)
    scene.found()
    central = scene.central(INVCTL_REDIS_URL=proxy.url)
    daemon = scene.invd()
    scene.invd(OTHER_STORE)
    scene.until_level()
    scene.trade()
    for _ in range(2):
        _applied_more(scene)
        proxy.shut(towards_broker=True, towards_client=True)
        scene.until(lambda: scene.status()["link"] == "unknown", "the store notices that head office is silent")
        before = scene.applied()
        scene.expect(scene.sell(f"silent-{before}").code == 0, "a clerk does not depend on head office")
        scene.expect(scene.applied() == before, "head office applies nothing without its lease")
        proxy.open()
    _applied_more(scene)
    _unharmed(scene, central, daemon)


_NOTICES = (
    "clerks and the other store go on; the daemon notices the silence; healed, all arrives with nothing restarted"
)

SCENARIOS = (
    Scenario(
        "broker-emptied",
        "the broker is killed (-9), three times, and comes back empty",
        "clerks go on; all arrives with nothing restarted",
        _broker_emptied,
    ),
    Scenario(
        "subscriber-too-slow-invd",
        "`invd` stands still while its channel is flooded until the broker cuts it off at its output limit; thrice",
        "it subscribes again, says `hello`, and goes on; nothing is missing",
        partial(_too_slow, of_store=True),
    ),
    Scenario(
        "subscriber-too-slow-invcentral",
        "the same with `invcentral`",
        "it subscribes again, loads its cursors, greets the stores, and goes on; nothing is missing",
        partial(_too_slow, of_store=False),
    ),
    Scenario(
        "partition-in",
        "nothing reaches a store any more, with no reset; what it sends still arrives; twice",
        _NOTICES,
        partial(_partition, outwards=False, inwards=True),
    ),
    Scenario(
        "partition-out",
        "nothing leaves a store any more, with no reset; what is sent to it still arrives; twice",
        _NOTICES,
        partial(_partition, outwards=True, inwards=False),
    ),
    Scenario(
        "partition-both",
        "a store is in a black hole: nothing in, nothing out, with no reset; twice",
        _NOTICES,
        partial(_partition, outwards=True, inwards=True),
    ),
    Scenario(
        "black-hole-central",
        "head office is in a black hole past its lease; twice",
        "it applies nothing without its lease; clerks go on; healed, all arrives with nothing restarted",
        _central_in_a_black_hole,
    ),
)

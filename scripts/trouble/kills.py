"""Kill -9 at named points: before and after commit, publish, apply and acknowledgement."""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING

from scripts.trouble.scenario import Scenario
from scripts.trouble.scene import OTHER_STORE, Trap

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.trouble.scene import Scene

# The nth time that the point is reached, for one kill after the other.
_ROUNDS = (1, 4)


def _daemon_is_killed(scene: Scene, point: str) -> None:
    scene.found()
    scene.central()
    scene.invd(OTHER_STORE)
    scene.trade()
    for nth in _ROUNDS:
        scene.until_killed(scene.invd(trap=Trap(point, nth)))
    scene.invd()


def _central_is_killed(scene: Scene, point: str) -> None:
    scene.found()
    scene.invd()
    scene.invd(OTHER_STORE)
    scene.trade()
    for nth in _ROUNDS:
        scene.until_killed(scene.central(Trap(point, nth)))
    scene.central()


def _clerk_is_killed(scene: Scene, point: str, *, is_kept: bool) -> None:
    scene.found()
    scene.central()
    scene.invd()
    scene.invd(OTHER_STORE)
    on_hand, reserved = scene.stock()
    for number in range(len(_ROUNDS)):
        request = ("reserve", scene.sku, "--request-id", f"till-{number}")
        killed = scene.clerk(*request, trap=Trap(point))
        scene.expect(killed.code == -signal.SIGKILL, f"the command is killed at its point: {killed.err}")
        expected = reserved + number + (1 if is_kept else 0)
        scene.expect(scene.stock() == (on_hand, expected), f"{expected} are reserved after the kill")
        first, again = scene.clerk(*request), scene.clerk(*request)
        scene.expect(first.code == again.code == 0, f"the same request is answered: {first.err}{again.err}")
        ids = first.record["reservation"], again.record["reservation"]
        scene.expect(ids[0] == ids[1], f"the same request is one reservation, asked twice: {ids}")
        scene.expect(scene.stock() == (on_hand, reserved + number + 1), "the same request reserved once")


def _at(run: Callable[[Scene, str], None], point: str, fault: str, expected: str) -> Scenario:
    return Scenario(f"kill-{point}", fault, expected, lambda scene: run(scene, point))


_SENT_AGAIN = "sent again from what head office says that it has; nothing twice"
_OF_INVD = {
    "invd-before-publish": ("before it publishes events", _SENT_AGAIN),
    "invd-after-publish": ("after it published events, before it heard of them", _SENT_AGAIN),
    "invd-before-ack-is-read": ("when an acknowledgement comes, before it reads it", "asked for again by its `hello`"),
    "invd-before-ack-is-noted": ("before it notes what is acknowledged", "what is noted is a hint: asked for again"),
    "invd-after-ack-is-noted": ("after it noted what is acknowledged", "it goes on from there"),
}
_OF_INVCENTRAL = {
    "invcentral-before-apply": ("before it applies events", "nothing is acknowledged; the store sends again"),
    "invcentral-before-commit": ("inside the transaction, before its commit", "undone whole; the store sends again"),
    "invcentral-after-commit": ("after the commit, before the acknowledgement", "acknowledged later, applied once"),
    "invcentral-before-ack": ("before it publishes an acknowledgement", "acknowledged later, applied once"),
    "invcentral-after-ack": ("after it published an acknowledgement", "the next one goes on from there"),
}

SCENARIOS = (
    Scenario(
        "kill-invctl-before-commit",
        "`invctl reserve` is killed (-9) before its commit, twice",
        "nothing is reserved; the same request id reserves once",
        partial(_clerk_is_killed, point="invctl-before-commit", is_kept=False),
    ),
    Scenario(
        "kill-invctl-after-commit",
        "`invctl reserve` is killed (-9) after its commit, before it says so, twice",
        "it is reserved; the same request id gives the same reservation, and reserves nothing more",
        partial(_clerk_is_killed, point="invctl-after-commit", is_kept=True),
    ),
    *(
        _at(_daemon_is_killed, point, f"`invd` is killed (-9) {when}, twice while clerks trade", expected)
        for point, (when, expected) in _OF_INVD.items()
    ),
    *(
        _at(_central_is_killed, point, f"`invcentral` is killed (-9) {when}, twice while clerks trade", expected)
        for point, (when, expected) in _OF_INVCENTRAL.items()
    ),
)

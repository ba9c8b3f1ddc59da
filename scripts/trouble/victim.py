"""Runs one of our programs so that it gets a signal at a named point of its own code.

    python -m scripts.trouble.victim POINT SIGNAL NTH MODULE ARGUMENT...

The function at the point is wrapped from outside, before the program begins: the program itself knows nothing of it.
The signal is sent to the process by itself, at the NTH time that the point is reached, on the thread that is there. At
SIGKILL nothing more is done, no handler runs and no buffer is written: what `kill -9` does at that very moment.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import runpy
import signal
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

Arguments = tuple[Any, ...]
MODULE = "scripts.trouble.victim"


def _any(_arguments: Arguments) -> bool:
    return True


def _brings_events(arguments: Arguments) -> bool:
    # apply_intakes(engine, shard, fence, intakes): without intakes it notes only what was heard.
    return len(arguments[3]) > 0


def _of_kind(kind: str) -> Callable[[Arguments], bool]:
    mark = f'"kind":"{kind}"'.encode()
    # What publishes and what receives has the payload last.
    return lambda arguments: mark in arguments[-1]


class Point(NamedTuple):
    """A moment before or after a call. `counts` tells which calls are meant."""

    function: str
    """As `module:name` or `module:class.name`, where the caller looks it up."""
    after: bool
    counts: Callable[[Arguments], bool] = _any


_PUBLISH = "invctl.bus.redis:RedisBus.publish"
_COMMIT = "invctl.ledger.writing:Write.commit"
_APPLY = "central.shard_server:apply_intakes"
_REMEMBER = "invctl.ledger.outbox:remember_link"

POINTS: dict[str, Point] = {
    "invctl-before-commit": Point(_COMMIT, after=False),
    "invctl-after-commit": Point(_COMMIT, after=True),
    "invd-before-publish": Point(_PUBLISH, after=False, counts=_of_kind("events")),
    "invd-after-publish": Point(_PUBLISH, after=True, counts=_of_kind("events")),
    "invd-before-ack-is-read": Point("daemon.courier:Courier.receive", after=False, counts=_of_kind("ack")),
    "invd-before-ack-is-noted": Point(_REMEMBER, after=False),
    "invd-after-ack-is-noted": Point(_REMEMBER, after=True),
    "invd-before-rejoin": Point("daemon.courier:rebase", after=False),
    "invd-inside-rejoin": Point("invctl.ledger.rebase:_reappend", after=True),
    "invd-after-rejoin": Point("daemon.courier:rebase", after=True),
    "invcentral-before-apply": Point(_APPLY, after=False, counts=_brings_events),
    "invcentral-before-commit": Point("central.apply:move_cursors", after=True),
    "invcentral-after-commit": Point(_APPLY, after=True, counts=_brings_events),
    "invcentral-before-ack": Point(_PUBLISH, after=False, counts=_of_kind("ack")),
    "invcentral-after-ack": Point(_PUBLISH, after=True, counts=_of_kind("ack")),
}


def main(point: str, signal_name: str, nth: str, module: str, *arguments: str) -> None:
    """Lay the trap and become the program."""
    lay(POINTS[point], signal.Signals[signal_name], int(nth))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def lay(point: Point, number: signal.Signals, nth: int) -> None:
    """Wrap the function at a point."""
    owner, name = find(point)
    setattr(owner, name, _wrapped(getattr(owner, name), point, number, nth))


def find(point: Point) -> tuple[Any, str]:
    """Return what the function belongs to, a module or a class, and its name there."""
    module_name, _, path = point.function.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module_name)
    for each in owners:
        owner = getattr(owner, each)
    return owner, name


def _wrapped(function: Any, point: Point, number: signal.Signals, nth: int) -> Any:
    left = nth

    def reached(arguments: Arguments, *, after: bool) -> None:
        nonlocal left
        if after == point.after and point.counts(arguments):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), number)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def asynchronous(*arguments: Any, **named: Any) -> Any:
            reached(arguments, after=False)
            result = await function(*arguments, **named)
            reached(arguments, after=True)
            return result

        return asynchronous

    @functools.wraps(function)
    def synchronous(*arguments: Any, **named: Any) -> Any:
        reached(arguments, after=False)
        result = function(*arguments, **named)
        reached(arguments, after=True)
        return result

    return synchronous


if __name__ == "__main__":
    main(*sys.argv[1:])

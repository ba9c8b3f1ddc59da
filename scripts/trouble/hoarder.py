"""Runs one of our programs so that it never lets go of what it handles: a leak that is planted, to be seen.

    python -m scripts.trouble.hoarder FUNCTION COMMAND...

FUNCTION is `module:name` or `module:class.name`; the last argument of each call of it is kept for ever. COMMAND is
`PYTHON -P -m MODULE ARGUMENT...`, and becomes this process. The function is wrapped from outside, before the program
begins: the program itself knows nothing of it.
"""

from __future__ import annotations

import functools
import runpy
import sys
from typing import Any

from scripts.trouble.victim import Point, find

MODULE = "scripts.trouble.hoarder"
PUBLISHED = "invctl.bus.redis:RedisBus.publish"
APPLIED = "central.shard_server:apply_intakes"


def through(function: str) -> list[str]:
    """Return what runs a command so."""
    return [sys.executable, "-P", "-m", MODULE, function]


def main(function: str, *command: str) -> None:
    """Plant it, and become the program."""
    plant(function)
    _python, _safe, _module, module, *arguments = command
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def plant(function: str) -> list[Any]:
    """Wrap a function so that it keeps what it is given. Returns what is kept."""
    kept: list[Any] = []
    owner, name = find(Point(function, after=False))
    wrapped = getattr(owner, name)

    # What it returns is handed on as it is, also where the caller awaits it.
    @functools.wraps(wrapped)
    def keeping(*arguments: Any, **named: Any) -> Any:
        kept.append(arguments[-1])
        return wrapped(*arguments, **named)

    setattr(owner, name, keeping)
    return kept


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Where a tail begins, what it shows, and when it ends: how an operator writes that."""

from __future__ import annotations

from central.cli import words
from central.tail import TYPE_PREFIX, Positions, parse_positions
from invctl.clock import parse_time
from invctl.console.units import parse_duration
from invctl.errors import InvalidValueError

IDLE_S_MAX = 86_400


class Ago(int):
    """A number of seconds before now."""


class Bare(dict[int, int]):
    """A position that was given without its shard: it says where to begin only where there is one shard, or at 0."""


def parse_start(text: str) -> Positions:
    """Read positions, which are Bare where no shard is named. Raises InvalidValueError."""
    positions = parse_positions(text)
    return positions if ":" in text else Bare(positions)


def parse_since(text: str) -> int:
    """Read an instant (RFC 3339), or how long ago it is: `10m`. In microseconds, or Ago.

    Raises InvalidValueError.
    """
    try:
        return Ago(parse_duration(text))
    except InvalidValueError:
        pass
    try:
        return parse_time(text)
    except InvalidValueError:
        raise InvalidValueError(
            f"{text!r} is neither a time nor a duration", hint="such as 10m, 2h, or 2026-11-24T09:30:00Z"
        ) from None


def parse_idle(text: str) -> int:
    """Read a number of seconds, from 1, or a duration: `5`, `5s`, `2m`. Raises InvalidValueError."""
    seconds = parse_duration(f"{text}s" if text.isascii() and text.isdigit() else text)
    if not 1 <= seconds <= IDLE_S_MAX:
        raise InvalidValueError(f"{text!r} is not a time to wait", hint="from 1 second to 1d, such as 5 or 2m")
    return seconds


def parse_type(text: str) -> str:
    """Read a type of event, whole or a family's name, or the word that is printed for it. Raises InvalidValueError."""
    name = text.removeprefix(TYPE_PREFIX)
    if name in words.VERBS:
        return words.VERBS[name]
    known = [each.removeprefix(TYPE_PREFIX) for each in words.TYPES]
    if name in known or any(each.startswith(f"{name}.") for each in known):
        return name
    raise InvalidValueError(f"{text!r} is no type of event", hint="one of " + ", ".join([*known, *words.VERBS]))

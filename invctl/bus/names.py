"""Channel names, and the one kind of pattern that there is: a prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Sequence


def checked(channels: Sequence[str]) -> tuple[str, ...]:
    """Give each channel once, in the order asked. Raises InvalidValueError for none, or for a single string."""
    if isinstance(channels, str):
        raise InvalidValueError("channels is one string", hint=f"hand in a list: [{channels!r}]")
    if not channels:
        raise InvalidValueError("no channel to subscribe to", hint="name at least one")
    return tuple(dict.fromkeys(channels))


def prefix_of(name: str) -> str | None:
    """Give what a pattern's channels begin with, or None for a plain name."""
    return name[:-1] if name.endswith("*") else None


def hears(name: str, channel: str) -> bool:
    """Tell whether a subscription to `name` hears `channel`."""
    prefix = prefix_of(name)
    return channel == name if prefix is None else channel.startswith(prefix)

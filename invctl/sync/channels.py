"""Where frames travel: `inv:up:<slot>:<store>` towards central, `inv:down:<store>` towards a store.

Pub/Sub crosses Redis's database numbers, so every name begins with a namespace.
"""

from __future__ import annotations

import re

from invctl.errors import InvalidValueError
from invctl.model.identifiers import slot_of

NAMESPACE = "inv"
_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def check_namespace(text: str) -> str:
    """Return a namespace as it is, or raise InvalidValueError."""
    if not _NAMESPACE.fullmatch(text):
        raise InvalidValueError(
            f"{text!r} is not a namespace", hint="letters, digits and . _ -, at most 64, such as inv"
        )
    return text


def up(namespace: str, store: str) -> str:
    """Return the channel on which a store speaks."""
    return f"{namespace}:up:{slot_of(store):02d}:{store}"


def up_pattern(namespace: str, slot: int) -> str:
    """Return the pattern of all channels of a slot. Two digits and the colon keep slot 1 from matching slot 10."""
    return f"{namespace}:up:{slot:02d}:*"


def down(namespace: str, store: str) -> str:
    """Return the channel on which a store is answered."""
    return f"{namespace}:down:{store}"


def store_of(channel: str) -> str:
    """Return the store's id at the end of a channel's name."""
    return channel.rpartition(":")[2]

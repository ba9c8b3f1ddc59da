"""Where frames travel: `inv:up:<slot>:<store>` towards central, `inv:down:<store>` towards a store.

Pub/Sub crosses Redis's database numbers, so every name begins with a namespace.
"""

from __future__ import annotations

from invctl.model.identifiers import slot_of


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

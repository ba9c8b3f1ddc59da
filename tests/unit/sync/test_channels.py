from __future__ import annotations

import pytest

from invctl.model.identifiers import SLOTS, slot_of
from invctl.sync import channels

STORES = ["downtown", "midtown", "brooklyn", "a", "0", "store-1", "store-10", "a" * 32]


@pytest.mark.parametrize("store", STORES)
def test_a_store_speaks_on_a_channel_of_its_slot_and_is_found_at_its_end(store: str) -> None:
    channel = channels.up("inv", store)
    assert channel == f"inv:up:{slot_of(store):02d}:{store}"
    assert channels.store_of(channel) == store
    assert channel.startswith(channels.up_pattern("inv", slot_of(store)).removesuffix("*"))


def test_a_store_is_answered_on_a_channel_of_its_own() -> None:
    assert channels.down("inv", "downtown") == "inv:down:downtown"
    assert len({channels.down("inv", store) for store in STORES}) == len(STORES)


def test_the_pattern_of_a_slot_hears_no_other_slot() -> None:
    prefixes = [channels.up_pattern("inv", slot).removesuffix("*") for slot in range(SLOTS)]
    for slot, prefix in enumerate(prefixes):
        heard = [other for other in range(SLOTS) if f"inv:up:{other:02d}:x".startswith(prefix)]
        assert heard == [slot]

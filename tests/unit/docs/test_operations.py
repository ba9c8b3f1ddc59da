"""The list of metrics is what the daemons show."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from random import Random

import pytest
import structlog

from central.metrics import OfficeCollector, Sight
from daemon.metrics import StoreCollector, StoreMeasure
from invctl.clock import ManualClock
from invctl.runtime.breaker import Breaker
from invctl.runtime.health import Health
from invctl.runtime.watch import BusMeter, new_registry
from invctl.sync.shipper import Link
from tests.unit.central_service.test_metrics import store_row

pytestmark = pytest.mark.metrics

DOCUMENT = Path(__file__).parents[3] / "docs" / "operations.md"
ROW = re.compile(r"^\| `(\w+)` \|([^|]*)\|", re.MULTILINE)


def shown_metrics() -> dict[str, set[str]]:
    """The metrics that the daemons show, each with its labels."""
    clock = ManualClock()
    breaker = Breaker("bus", clock=clock, chance=Random(1), log=structlog.get_logger())
    registry = new_registry("invd", "1", Health(clock), [breaker])
    registry.register(BusMeter())
    stores, office = StoreCollector(clock), OfficeCollector(clock)
    stores.note([StoreMeasure("downtown", 2, 1, Link.UP, 0.0, 0.0, 0, 0, {"created": 1}, {}, {"gap": 0}, 1)])
    office.note_work(Counter())
    office.note_stores([store_row()], {0: 1})
    office.sees(Sight(lambda: [0], lambda: 1, 1))
    stores.register(registry)
    office.register(registry)
    shown = {}
    for family in registry.collect():
        if family.name.startswith(("invctl_", "invd_", "invcentral_")):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            shown[name] = labels
    return shown


def test_the_list_of_metrics_is_what_the_daemons_show() -> None:
    shown, text = shown_metrics(), DOCUMENT.read_text(encoding="utf-8")
    table = text.partition("<!-- metrics -->")[2].partition("\n\n")[0]
    told = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in ROW.findall(table)}
    assert told == shown
    # What the rest of the page speaks of exists.
    spoken = set(re.findall(r"`[^`]*?\b((?:invctl|invd|invcentral)_\w+)", text))
    assert spoken <= set(shown)

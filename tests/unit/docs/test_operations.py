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
DEPLOY = DOCUMENT.parent / "deploy"
ROW = re.compile(r"^\| `(\w+)` \|([^|]*)\|", re.MULTILINE)


def shown_metrics() -> dict[str, set[str]]:
    """The metrics that the daemons show, each with its labels."""
    clock = ManualClock()
    breaker = Breaker("bus", clock=clock, chance=Random(1), log=structlog.get_logger())
    registry = new_registry("invd", "1", Health(clock), [breaker])
    registry.register(BusMeter())
    stores, office = StoreCollector(clock), OfficeCollector(clock)
    stores.note([StoreMeasure("downtown", 2, 1, Link.UP, 0.0, 0.0, 0, 0, {"created": 1}, 1)])
    office.note_work(Counter())
    office.note_stores([store_row()], {0: 1})
    office.sees(Sight(lambda: [0], lambda: 1, 1))
    registry.register(stores)
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


def test_the_rules_are_about_metrics_and_jobs_that_there_are_and_each_is_explained() -> None:
    rules = (DEPLOY / "alerts.yml").read_text(encoding="utf-8")
    alerts, exprs = (re.findall(rf"^ +(?:- )?{key}: (.+)$", rules, re.MULTILINE) for key in ("alert", "expr"))
    assert len(alerts) == len(exprs) == len(set(alerts))
    shown, scraped = shown_metrics(), (DEPLOY / "prometheus.yml").read_text(encoding="utf-8")
    jobs = set(re.findall(r"job_name: (\w+)", scraped))
    for expr in exprs:
        for name, selector in re.findall(r"\b((?:invctl|invd|invcentral)_\w+)(?:\{([^}]*)\})?", expr):
            assert set(re.findall(r"(\w+)=", selector)) <= shown[name]
        for job in re.findall(r'job=~?"([^"]+)"', expr):
            assert set(job.split("|")) <= jobs
    assert "alerts.yml" in scraped
    # Where nothing is there to be added up, that has to count as 0; and a process that is gone, to be noticed.
    assert all("vector(0)" in expr for expr in exprs if "sum(" in expr)
    assert any(expr.startswith("up{") for expr in exprs)
    told = DOCUMENT.read_text(encoding="utf-8").partition("<!-- alerts -->")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", told, re.MULTILINE) == alerts

"""Grafana's dashboard: about metrics that there are, by labels that they have, and found where it is looked for."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.unit.deploy.files import DASHBOARD, GRAFANA, family, ours_in, panels, read, shown_exprs
from tests.unit.deploy.promtool import promtool_says
from tests.unit.docs.test_operations import shown_metrics

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.metrics

ADDED_BY_PROMETHEUS = {"job", "instance"}


def test_it_asks_for_metrics_and_labels_that_there_are() -> None:
    shown = shown_metrics()
    for expr in shown_exprs():
        for name, selected_by in ours_in(expr).items():
            labels = shown[family(name, shown)] | ADDED_BY_PROMETHEUS
            assert selected_by <= labels, expr
            for grouped in re.findall(r"by \(([^)]*)\)", expr):
                assert set(re.findall(r"\w+", grouped)) <= labels | {"le"}, expr


def test_prometheus_understands_what_it_asks(tmp_path: Path) -> None:
    asked = [target["expr"].replace("$__rate_interval", "1m") for panel in panels() for target in panel["targets"]]
    recorded = [{"record": f"asked:{number}", "expr": expr} for number, expr in enumerate(asked)]
    (tmp_path / "asked.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    promtool_says("check", "rules", tmp_path / "asked.yml")


def test_what_a_line_is_named_by_is_left_of_it() -> None:
    shown = shown_metrics()
    for panel in panels():
        for target in panel["targets"]:
            named_by = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            kept = re.search(r"by \(([^)]*)\)", target["expr"])
            if kept:
                assert named_by <= set(re.findall(r"\w+", kept[1])), target
            elif "sum(" in target["expr"]:
                assert not named_by, target
            else:
                names = [family(name, shown) for name in ours_in(target["expr"])]
                assert named_by <= ADDED_BY_PROMETHEUS.union(*(shown[name] for name in names)), target


def test_each_panel_says_what_it_shows_and_lies_on_no_other() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    assert all(panel["description"] and panel["targets"] for panel in panels())
    for one, other in combinations((panel["gridPos"] for panel in panels()), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


def test_it_is_where_grafana_is_told_to_look_and_asks_whom_grafana_knows() -> None:
    (provider,) = read(GRAFANA / "provisioning" / "dashboards" / "invctl.yml")["providers"]
    assert provider["options"]["path"] == f"/etc/grafana/{DASHBOARD.parent.name}"
    (source,) = read(GRAFANA / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    asked = {target["datasource"]["type"] for panel in panels() for target in panel["targets"]}
    assert asked == {source["type"]}

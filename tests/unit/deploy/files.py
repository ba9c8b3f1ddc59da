"""What docs/deploy holds, read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "docs" / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RULES = PROMETHEUS / "invctl.rules.yml"
TRIALS = PROMETHEUS / "invctl.test.yml"
GRAFANA = DEPLOY / "grafana"
DASHBOARD = GRAFANA / "dashboards" / "invctl.json"
UNITS = DEPLOY / "systemd"
COMPOSE = DEPLOY / "compose.yml"
COMPOSE_TLS = DEPLOY / "compose.tls.yml"
OPERATIONS = ROOT / "docs" / "operations.md"
_OF_A_FAMILY = re.compile(r"_(?:bucket|sum|count)$")
_OURS = re.compile(r"\b((?:invctl|invd|invcentral)_\w+)(?:\{([^}]*)\})?")


def read(path: Path) -> Any:
    """Read a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    """All alerting rules, in their order."""
    return [rule for group in read(RULES)["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """All panels of the dashboard that show something."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def shown_exprs() -> list[str]:
    """What the dashboard asks Prometheus, its variables' questions included."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = [each["definition"] for each in dashboard["templating"]["list"] if each["type"] == "query"]
    return asked + [target["expr"] for panel in panels() for target in panel["targets"]]


def ours_in(expr: str) -> dict[str, set[str]]:
    """The metrics of ours in a question, each with the labels that it is selected by."""
    return {name: set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", selector)) for name, selector in _OURS.findall(expr)}


def family(name: str, shown: dict[str, set[str]]) -> str:
    """The metric that a series belongs to: a histogram has several."""
    return name if name in shown else _OF_A_FAMILY.sub("", name)

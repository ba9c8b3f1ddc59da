"""What docs/deploy holds, read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "docs" / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RULES = PROMETHEUS / "invctl.rules.yml"
TRIALS = PROMETHEUS / "invctl.test.yml"
OPERATIONS = ROOT / "docs" / "operations.md"


def read(path: Path) -> Any:
    """Read a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    """All alerting rules, in their order."""
    return [rule for group in read(RULES)["groups"] for rule in group["rules"]]

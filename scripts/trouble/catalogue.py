"""All faults, in the order in which they are run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.trouble import backlog, busy, failing_disk, hostile, kills, links, lost, networks, office

if TYPE_CHECKING:
    from scripts.trouble.scenario import Scenario

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for room in (kills, lost, office, links, networks, busy, failing_disk, hostile, backlog)
    for scenario in room.SCENARIOS
}

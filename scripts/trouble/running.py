"""Runs faults one after the other, each in a scene of its own, and tells how each ended."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from invctl.clock import SystemClock
from invctl.errors import InventoryError
from scripts.chain.workspace import Workspace
from scripts.trouble.scenario import LackingError
from scripts.trouble.scene import BACKLOG, Scene

if TYPE_CHECKING:
    from scripts.trouble.scenario import Scenario

AS_EXPECTED = "as expected"
SKIPPED = "skipped"
OTHERWISE = "otherwise"


class Outcome(NamedTuple):
    """How one fault ended. `told` has figures, or why it was skipped, or what came instead; `events` is the proof's."""

    name: str
    outcome: str
    told: str
    seconds: float
    events: int
    fault: str
    expected: str
    kept: str


def run(scenario: Scenario, *, postgres_url: str | None, keep: bool = False, backlog: int = BACKLOG) -> Outcome:
    """Do one fault, and prove what is left. With `keep` its folder stays."""
    clock = SystemClock()
    began_s = clock.monotonic_s()
    outcome, told, events = AS_EXPECTED, "", 0
    with Workspace.create("chaos", keep=keep) as workspace, ExitStack() as held:
        try:
            scene = Scene(workspace, held, postgres_url, backlog=backlog)
            scenario.run(scene)
            events = scene.prove()["events_applied"]
            told = "; ".join(scene.remarks)
        except LackingError as error:
            outcome, told = SKIPPED, error.message
        except InventoryError as error:
            outcome, told = OTHERWISE, error.message
        finally:
            # Before what they use is given back: a schema, a disk.
            workspace.processes.stop_all()
        kept = str(workspace.path) if keep else ""
    seconds = round(clock.monotonic_s() - began_s, 1)
    return Outcome(scenario.name, outcome, told, seconds, events, scenario.fault, scenario.expected, kept)

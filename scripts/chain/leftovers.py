"""Clears what killed runs left: their processes, their folders, and what they had in a database."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from scripts.chain.schema import drop_left_schema
from scripts.chain.workspace import clear_leftovers

if TYPE_CHECKING:
    from invctl.console.output import Output


def clear_and_tell(out: Output) -> None:
    """Clear it, and say what was cleared."""
    for left in clear_leftovers(before_removal=partial(drop_left_schema, say=out.talk)):
        out.talk(f"cleared what a killed run left in {left.path}")

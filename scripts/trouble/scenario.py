"""A fault with a name, what should come of it, and how it is tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from invctl.errors import InventoryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.trouble.scene import Scene


class Scenario(NamedTuple):
    """One fault. `run` does it in a scene, and raises OtherwiseError where something else came than `expected` says."""

    name: str
    fault: str
    expected: str
    run: Callable[[Scene], None]


class OtherwiseError(InventoryError):
    """Something else came than was expected."""

    code = "otherwise"


class LackingError(InventoryError):
    """What the fault takes is not on this machine."""

    code = "lacking"

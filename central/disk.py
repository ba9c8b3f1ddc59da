"""How much room there is."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def free_bytes(folder: Path) -> int | None:
    """Return how many bytes of a folder's file system this user may still write; None where that cannot be told."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None

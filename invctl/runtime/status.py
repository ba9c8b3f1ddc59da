"""What a daemon says of itself, in a file beside it: for the command that asks when the daemon cannot answer."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_status(path: Path, status: Mapping[str, Any]) -> None:
    """Replace the file at once: a reader finds the old status or the new one, never half of one. Raises OSError."""
    # The process id keeps apart two that write at the same moment.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(status, allow_nan=False) + "\n", encoding="utf-8")
    draft.replace(path)


def read_status(path: Path) -> dict[str, Any] | None:
    """Read what was written last; None where nothing was, or nothing that can be read as a status."""
    try:
        status = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return status if isinstance(status, dict) else None

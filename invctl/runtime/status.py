"""What a daemon says of itself, in a file beside it: for the command that asks when the daemon cannot answer."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from invctl.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_status(path: Path, status: Mapping[str, Any]) -> None:
    """Replace the file at once: a reader finds the old status or the new one, never half of one.

    Raises UnreachableError where it cannot be written: on a full disk, say, which is no reason to stop work.
    """
    # The process id keeps apart two that write at the same moment.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    text = json.dumps(status, allow_nan=False) + "\n"
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise UnreachableError(
            f"{path} cannot be written: {error.strerror}", hint="make room on its disk, or look at its mode"
        ) from error


def read_status(path: Path) -> dict[str, Any] | None:
    """Read what was written last; None where nothing was, or nothing that can be read as a status."""
    try:
        status = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return status if isinstance(status, dict) else None

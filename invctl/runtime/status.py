"""What a daemon says of itself, in a file beside it: for the command that asks when the daemon cannot answer."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from invctl.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


STALLED_AFTER_S = 15.0
"""A status that was not written for so long is of a process that stands still; it is renewed every second."""


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
        touch_status(path)
        raise UnreachableError(
            f"{path} cannot be written: {error.strerror}", hint="make room on its disk, or look at its mode"
        ) from error


def touch_status(path: Path) -> None:
    """Say that what was written last is still so, or at least that the process has not come to a stand."""
    with suppress(OSError):
        os.utime(path)


def stands_still_s(path: Path) -> float | None:
    """Return for how long a status was not renewed, None where that is as usual, or where there is none.

    By the wall clock: for a moment after that was set forward, every process seems to have stood still.
    """
    try:
        silent_s = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return None
    return silent_s if silent_s >= STALLED_AFTER_S else None


def read_status(path: Path) -> dict[str, Any] | None:
    """Read what was written last; None where nothing was, or nothing that can be read as a status."""
    try:
        status = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return status if isinstance(status, dict) else None

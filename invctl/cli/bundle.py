"""What support gets to see of a store: what the doctor found, settings, the daemon's status and its last log lines.

Nothing of whom is sold to, or by whom: of what the daemon logged only what is known to be of the machinery is kept.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections import deque
from typing import TYPE_CHECKING, Any

from invctl.cli.configured import HIDDEN, all_settings, without_passwords
from invctl.cli.invd import as_record, running
from invctl.clock import SystemClock
from invctl.errors import InventoryError, RefusedError
from invctl.language import _, english
from invctl.settings import LOG_FILE, RUN, folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LOG_LINES = 500
LINE_CHARS_MAX = 4000
# Texts of a log line that say what happened to the machinery. Numbers and truths are kept besides, whatever their name.
_KEPT = frozenset(
    {"time", "level", "action", "process", "store", "stores", "trace_id", "span_id", "broker", "namespace", "channel"}
    | {"error", "message", "hint", "code", "job", "signal", "url", "warning", "finding", "exception", "state", "reason"}
)


def pack(home: Path, file: str, findings: Sequence[Mapping[str, Any]], *, home_typed: bool = False) -> Path:
    """Write the archive, readable for its owner alone, and return where it is.

    Raises RefusedError where there is something already, or it cannot be written.
    """
    path = folder(file)
    pieces = {
        "doctor.json": findings,
        "config.json": _settings(home, home_typed=home_typed),
        "daemon.json": as_record(running(home)),
    }
    texts = {name: json.dumps(piece, indent=1, default=str) + "\n" for name, piece in pieces.items()}
    texts["invd.log"] = "".join(_log(home / RUN / LOG_FILE))
    packed = _archive(texts)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as stream:
            stream.write(packed)
    except FileExistsError:
        raise RefusedError(_("there is a file {path} already", path=path), hint=_("name another one")) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise RefusedError(
            _("{path} cannot be written: {why}", path=path, why=why), hint=_("name another file, or make room")
        ) from None
    return path


def _archive(texts: Mapping[str, str]) -> bytes:
    made_s = SystemClock().now_us() // 1_000_000
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in texts.items():
            content = without_passwords(text).encode(errors="replace")
            entry = tarfile.TarInfo(f"invctl-support/{name}")
            entry.size, entry.mtime, entry.mode = len(content), made_s, 0o600
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _settings(home: Path, *, home_typed: bool) -> list[dict[str, Any]]:
    try:
        found = all_settings(home, os.environ, home_typed=home_typed)
    except InventoryError as error:
        return [{"error": english(error.message)}]
    # A clerk's name is nobody's business.
    return [
        (each._replace(value=HIDDEN) if each.setting == "clerk" and each.value else each)._asdict() for each in found
    ]


def _log(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            lines = deque(stream, maxlen=LOG_LINES)
    except OSError as error:
        return [f"no log: {error.strerror}\n"]
    return [_harmless(line) for line in lines]


def _harmless(line: str) -> str:
    """Return a line with what is known to be of the machinery. One that is no record, such as a traceback's, stays."""
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        return line[:LINE_CHARS_MAX].rstrip("\n") + "\n"
    kept = {key: value for key, value in record.items() if key in _KEPT or isinstance(value, bool | int | float)}
    return json.dumps(kept, ensure_ascii=False)[:LINE_CHARS_MAX] + "\n"

"""A store's settings: read once, then handed on. Flags come before the environment, that before `config.toml`.

A store's folder (its home) holds everything that is its own:

    config.toml   how its daemon reaches head office
    ledger.db     the ledger (with its -wal and -shm), and `writers`, the queue of its writers
    run/          what a daemon leaves: pid, log, lock, what it says of itself, and the pipe through which it is poked
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.errors import InvalidValueError
from invctl.language import _

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REDIS_URL = "redis://127.0.0.1:6379/0"
NAMESPACE = "inv"
CONFIG_FILE = "config.toml"
KEYS = ("redis_url", "namespace", "metrics_host", "metrics_port", "disk_reserve_mb")
METRICS_HOST = "127.0.0.1"
METRICS_PORT = 0
METRICS_OFF = "off"
MEGABYTE = 1024 * 1024
# Of the ledger's disk, for ending what is reserved: see the measures in docs/operations.md.
DISK_RESERVE_MB = 64
DISK_RESERVE_VARIABLE = "INVCTL_DISK_RESERVE_MB"
_DISK_RESERVE_MB_MAX = 1_000_000
RUN = "run"
POKE_FILE = "poke"
PID_FILE = "invd.pid"
LOCK_FILE = "invd.lock"
LOG_FILE = "invd.log"
STATUS_FILE = "invd.json"


class Listen(NamedTuple):
    """Where a daemon listens for those who watch it. Port 0 is any free one; `status` shows which."""

    host: str
    port: int


class StoreSettings(NamedTuple):
    """How a store's daemon is to run. `metrics` None is not to be watched."""

    home: Path
    redis_url: str
    namespace: str
    metrics: Listen | None


def home_of(flag: str | None, environ: Mapping[str, str]) -> Path:
    """Return a store's folder: `--home`, else `INVCTL_HOME`, else `~/.invctl`. Raises as `folder` does."""
    return folder(flag or environ.get("INVCTL_HOME") or "~/.invctl")


def folder(text: str) -> Path:
    """Return the absolute path of a folder, which may begin with `~`.

    Raises InvalidValueError where that is the home of nobody known.
    """
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise InvalidValueError(
            _("{text} is in the home of nobody known here", text=text), hint=_("write the whole path, or set HOME")
        ) from None


def load(
    home: Path,
    environ: Mapping[str, str],
    *,
    redis_url: str | None = None,
    namespace: str | None = None,
    metrics_port: str | None = None,
    metrics_host: str | None = None,
) -> StoreSettings:
    """Return the settings of the store in `home`. Raises InvalidValueError for what it cannot read."""
    file = read_config(home / CONFIG_FILE)
    return StoreSettings(
        home=home,
        redis_url=redis_url or environ.get("INVCTL_REDIS_URL") or text_in(file, home, "redis_url") or REDIS_URL,
        namespace=check_namespace(
            namespace or environ.get("INVCTL_NAMESPACE") or text_in(file, home, "namespace") or NAMESPACE
        ),
        metrics=metrics_of(
            metrics_host or environ.get("INVD_METRICS_HOST") or text_in(file, home, "metrics_host"),
            metrics_port or environ.get("INVD_METRICS_PORT") or file.get("metrics_port"),
        ),
    )


def metrics_of(host: str | None, port: object) -> Listen | None:
    """Read where a daemon is to be watched; the default is a free port of the loopback. None for the port `off`.

    Raises InvalidValueError.
    """
    text = str(METRICS_PORT if port is None else port)
    if text == METRICS_OFF:
        return None
    if not (text.isascii() and text.isdigit() and int(text) < 2**16):
        raise InvalidValueError(
            _("{text!r} is not a port", text=text), hint=_("0 to 65535, where 0 is any free one, or off")
        )
    return Listen(host or METRICS_HOST, int(text))


def disk_reserve_bytes(home: Path, environ: Mapping[str, str]) -> int:
    """Return how much of the ledger's disk is to be kept for what is under way; 0 where nothing is.

    What the settings file says amiss counts for nothing, as a clerk can do nothing about it: `oddities` tells it.
    Raises InvalidValueError for what the environment says amiss.
    """
    if text := environ.get(DISK_RESERVE_VARIABLE):
        return _disk_reserve_mb(text) * MEGABYTE
    try:
        # A clerk's command reads TOML only where there is something for it to read.
        if _names_disk_reserve((home / CONFIG_FILE).read_bytes()):
            return _disk_reserve_mb(read_config(home / CONFIG_FILE)["disk_reserve_mb"]) * MEGABYTE
    except (OSError, KeyError, InvalidValueError):
        pass
    return DISK_RESERVE_MB * MEGABYTE


def _names_disk_reserve(content: bytes) -> bool:
    return any(b"disk_reserve_mb" in line.partition(b"#")[0] for line in content.splitlines())


def _disk_reserve_mb(value: object) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit() and int(text) <= _DISK_RESERVE_MB_MAX):
        hint = _("whole megabytes, 0 to keep nothing; {megabytes} unless said otherwise", megabytes=DISK_RESERVE_MB)
        raise InvalidValueError(_("{text!r} is not a disk_reserve_mb", text=text), hint=hint)
    return int(text)


def check_namespace(text: str) -> str:
    """Return a namespace as it is, or raise InvalidValueError."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", text):
        raise InvalidValueError(
            _("{text!r} is not a namespace", text=text), hint=_("letters, digits and . _ -, at most 64, such as inv")
        )
    return text


def oddities(home: Path) -> list[str]:
    """Return what is wrong with the `config.toml` of the store in `home`, each in a sentence."""
    path = home / CONFIG_FILE
    try:
        file = read_config(path)
        for name in ("redis_url", "namespace", "metrics_host"):
            text_in(file, home, name)
        check_namespace(file.get("namespace") or NAMESPACE)
        metrics_of(None, file.get("metrics_port"))
        _disk_reserve_mb(file.get("disk_reserve_mb", DISK_RESERVE_MB))
    except InvalidValueError as error:
        return [error.message]
    return unknown_settings(file, KEYS, path)


def unknown_settings(file: Mapping[str, Any], known: Sequence[str], path: Path) -> list[str]:
    """Return a sentence for each entry of a settings file that nobody reads, with the one that may be meant."""
    from difflib import get_close_matches  # noqa: PLC0415 - no clerk's command needs it

    told = []
    for key in file:
        if key in known:
            continue
        close = get_close_matches(key.lower().replace("-", "_"), known, n=1)
        meant = _("did you mean {name}?", name=close[0]) if close else _("there are {known}", known=", ".join(known))
        told.append(_("{key} in {path} is not a setting, and does nothing: {meant}", key=key, path=path, meant=meant))
    return told


def read_config(path: Path) -> dict[str, Any]:
    """Return a TOML file's content, nothing where there is none.

    Raises InvalidValueError where it cannot be read, or is not TOML.
    """
    import tomllib  # noqa: PLC0415 - no clerk's command needs it

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidValueError(
            _("{path} is not TOML: {error}", path=path, error=error), hint=_("mend it, or take it away")
        ) from None
    except OSError as error:
        raise InvalidValueError(
            _("{path} cannot be read: {strerror}", path=path, strerror=error.strerror), hint=_("look at its mode")
        ) from None


def config_text(*, redis_url: str | None = None, namespace: str | None = None) -> str:
    """Return the `config.toml` of a new store; what is not given stands there as a comment."""
    return "\n".join(
        [
            "# How this store's daemon reaches head office. INVCTL_REDIS_URL and INVCTL_NAMESPACE come before it.",
            entry("redis_url", redis_url, REDIS_URL),
            entry("namespace", namespace, NAMESPACE),
            '# Where it can be watched: port 0 is any free one, and "off" none.',
            "# INVD_METRICS_HOST and INVD_METRICS_PORT come before it.",
            entry("metrics_host", None, METRICS_HOST),
            f"# metrics_port = {METRICS_PORT}",
            "# How many megabytes of this disk are kept for ending what is reserved; 0 keeps none.",
            f"# {DISK_RESERVE_VARIABLE} comes before it.",
            f"# disk_reserve_mb = {DISK_RESERVE_MB}",
            "",
        ]
    )


def entry(name: str, value: str | None, default: str) -> str:
    """Return a line of a new settings file; a comment that shows the default where no value is given."""
    import json  # noqa: PLC0415 - a JSON string is a TOML string

    return f"{name} = {json.dumps(value)}" if value else f"# {name} = {json.dumps(default)}"


def text_in(file: Mapping[str, Any], home: Path, name: str) -> str:
    """Return a setting of the file of `home`, "" where it is not there. Raises InvalidValueError for one not text."""
    value = file.get(name, "")
    if not isinstance(value, str):
        hint = _('put it in quotes: {name} = "..."', name=name)
        raise InvalidValueError(_("{name} in {file} is not text", name=name, file=home / CONFIG_FILE), hint=hint)
    return value

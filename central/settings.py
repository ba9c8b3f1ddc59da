"""Central's settings: read once, then handed on. Flags come before the environment, that before `config.toml`.

Central's folder (its home) holds everything that is its own:

    config.toml   where its database and its broker are
    central.db    the database (with its -wal and -shm), unless `database_url` names another
    run/          what a running central leaves: its lock, and what it says of itself
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from central.leases import LEASE_TTL_S
from invctl.errors import InvalidValueError
from invctl.settings import (
    CONFIG_FILE,
    METRICS_HOST,
    METRICS_PORT,
    NAMESPACE,
    REDIS_URL,
    Listen,
    check_namespace,
    entry,
    folder,
    metrics_of,
    read_config,
    text_in,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DATABASE_FILE = "central.db"
RUN = "run"
LOCK_FILE = f"{RUN}/invcentral.lock"
STATUS_FILE = f"{RUN}/invcentral.json"
HOME_VARIABLE = "INVCENTRAL_HOME"
DATABASE_VARIABLE = "INVCENTRAL_DATABASE_URL"
LEASE_TTL_VARIABLE = "INVCENTRAL_LEASE_TTL_S"
METRICS_HOST_VARIABLE = "INVCENTRAL_METRICS_HOST"
METRICS_PORT_VARIABLE = "INVCENTRAL_METRICS_PORT"
LEASE_TTL_MIN_S = 2.0
LEASE_TTL_MAX_S = 300.0


@dataclass(frozen=True, slots=True)
class CentralSettings:
    """How a central is to run. Both URLs may hold a password, so neither is shown when this is.

    `lease_ttl_s` is how long a central that was killed keeps its shards from the others. `metrics` None is not to be
    watched.
    """

    home: Path
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    namespace: str
    lease_ttl_s: float = LEASE_TTL_S
    metrics: Listen | None = None


def home_of(flag: str | None, environ: Mapping[str, str]) -> Path:
    """Return central's folder: `--home`, else `INVCENTRAL_HOME`, else `~/.invcentral`."""
    return folder(flag or environ.get(HOME_VARIABLE) or "~/.invcentral")


def load(
    home: Path,
    environ: Mapping[str, str],
    *,
    database_url: str | None = None,
    redis_url: str | None = None,
    namespace: str | None = None,
    metrics_port: str | None = None,
    metrics_host: str | None = None,
) -> CentralSettings:
    """Return the settings of the central in `home`. Raises InvalidValueError where one cannot be read."""
    file = read_config(home / CONFIG_FILE)
    return CentralSettings(
        home=home,
        database_url=database_url
        or environ.get(DATABASE_VARIABLE)
        or text_in(file, home, "database_url")
        or default_database_url(home),
        redis_url=redis_url or environ.get("INVCTL_REDIS_URL") or text_in(file, home, "redis_url") or REDIS_URL,
        namespace=check_namespace(
            namespace or environ.get("INVCTL_NAMESPACE") or text_in(file, home, "namespace") or NAMESPACE
        ),
        lease_ttl_s=_lease_ttl_s(environ.get(LEASE_TTL_VARIABLE) or file.get("lease_ttl_s", LEASE_TTL_S)),
        metrics=metrics_of(
            metrics_host or environ.get(METRICS_HOST_VARIABLE) or text_in(file, home, "metrics_host"),
            metrics_port or environ.get(METRICS_PORT_VARIABLE) or file.get("metrics_port"),
        ),
    )


def default_database_url(home: Path) -> str:
    """Return the URL of the SQLite database in a home."""
    return f"sqlite:///{home / DATABASE_FILE}"


def config_text(home: Path, *, database_url: str | None) -> str:
    """Return the `config.toml` of a new central; what is not given stands there as a comment."""
    return "\n".join(
        [
            "# Where head office's database and broker are.",
            f"# {DATABASE_VARIABLE}, INVCTL_REDIS_URL and INVCTL_NAMESPACE come before it.",
            entry("database_url", database_url, default_database_url(home)),
            entry("redis_url", None, REDIS_URL),
            entry("namespace", None, NAMESPACE),
            f"# lease_ttl_s = {LEASE_TTL_S}",
            '# Where it can be watched: port 0 is any free one, and "off" none.',
            f"# {METRICS_HOST_VARIABLE} and {METRICS_PORT_VARIABLE} come before it.",
            entry("metrics_host", None, METRICS_HOST),
            f"# metrics_port = {METRICS_PORT}",
            "",
        ]
    )


def _lease_ttl_s(value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, str | int | float) else math.nan
    except ValueError:
        seconds = math.nan
    if not LEASE_TTL_MIN_S <= seconds <= LEASE_TTL_MAX_S:
        raise InvalidValueError(
            f"{value!r} is not how long a lease may last",
            hint=f"{LEASE_TTL_VARIABLE}, or lease_ttl_s in {CONFIG_FILE}: {LEASE_TTL_MIN_S:g} to {LEASE_TTL_MAX_S:g} s",
        )
    return seconds

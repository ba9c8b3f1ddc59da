"""What every setting of a store is, and where that comes from, without a password."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from invctl import language, settings
from invctl.language import marked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HIDDEN = "***"
_IN_QUERY = r"(?i)((?:password|passwd|secret|token)=)[^&\s\"']*"


class Setting(NamedTuple):
    """One setting. `origin` is `default`, `file`, `environment` or `option`; `source` says which of them."""

    setting: str
    value: Any
    origin: str
    source: str | None


# By its name in config.toml: its environment variable, and what it is where nobody says anything.
_KNOWN: dict[str, tuple[str, Any]] = {
    "redis_url": ("INVCTL_REDIS_URL", settings.REDIS_URL),
    "namespace": ("INVCTL_NAMESPACE", settings.NAMESPACE),
    "metrics_host": ("INVD_METRICS_HOST", settings.METRICS_HOST),
    "metrics_port": ("INVD_METRICS_PORT", settings.METRICS_PORT),
    "disk_reserve_mb": (settings.DISK_RESERVE_VARIABLE, settings.DISK_RESERVE_MB),
}


def all_settings(home: Path, environ: Mapping[str, str], *, home_typed: bool = False) -> list[Setting]:
    """Return every setting of the store in `home`, as the file and the environment have it.

    `home_typed` says that `--home` was given. Raises InvalidValueError where the file cannot be read.
    """
    file = settings.read_config(home / settings.CONFIG_FILE)
    if home_typed:
        found = [Setting("home", str(home), marked("option"), "--home")]
    else:
        named = bool(environ.get("INVCTL_HOME"))
        origin, source = (marked("environment"), "INVCTL_HOME") if named else (marked("default"), None)
        found = [Setting("home", str(home), origin, source)]
    for name, (variable, default) in _KNOWN.items():
        if text := environ.get(variable):
            setting = Setting(name, text, "environment", variable)
        # An empty text counts for nothing, as in `settings.load`.
        elif file.get(name, "") != "":
            setting = Setting(name, file[name], marked("file"), settings.CONFIG_FILE)
        else:
            setting = Setting(name, default, "default", None)
        # The whole text is one URL, whatever characters it has.
        value = url_without_password(setting.value) if isinstance(setting.value, str) else setting.value
        found.append(setting._replace(value=value))
    clerk = environ.get("INVCTL_CLERK") or None
    found.append(Setting("clerk", clerk, *(("environment", "INVCTL_CLERK") if clerk else ("default", None))))
    locale, variable = language.asked(environ)
    asked = ("environment", variable) if variable else ("default", None)
    found.append(Setting("language", language.of(locale), *asked))
    return found


def without_passwords(text: str) -> str:
    """Return a text with the password of each URL in it hidden: `redis://ana:***@host`."""
    return re.sub(r"[^\s\"']+", lambda found: url_without_password(found[0]), text)


def url_without_password(url: str) -> str:
    """Return a URL, or what was meant for one, with its password hidden, whatever characters that has."""
    # Up to the last @: a password may have one, or a slash, of its own.
    login, at, rest = url.rpartition("@")
    scheme, slashes, login = login.partition("://") if "://" in login else ("", "", login)
    user, colon, _ = login.partition(":")
    told = f"{scheme}{slashes}{f'{user}:' if colon else ''}{HIDDEN}@{rest}" if at else url
    return re.sub(_IN_QUERY, rf"\1{HIDDEN}", told)

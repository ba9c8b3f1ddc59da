"""Every setting, where it comes from, and no password."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from invctl import settings
from invctl.cli.configured import all_settings, without_passwords

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.clerk import Clerk

pytestmark = pytest.mark.cli

VARIABLES = {
    "redis_url": ("INVCTL_REDIS_URL", "redis://there:1/2"),
    "namespace": ("INVCTL_NAMESPACE", "chain"),
    "metrics_host": ("INVD_METRICS_HOST", "0.0.0.0"),
    "metrics_port": ("INVD_METRICS_PORT", "9100"),
    "disk_reserve_mb": ("INVCTL_DISK_RESERVE_MB", "7"),
}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, _ in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)


def shown(clerk: Clerk, *argv: str) -> dict[str, Any]:
    return {row.pop("setting"): row for row in clerk("config", "show", "--origin", "-o", "json", *argv).json}


def test_where_each_comes_from(clerk: Clerk, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clerk.home / settings.CONFIG_FILE
    path.write_text('namespace = "file"\nmetrics_port = 9000\nredis_url = ""\n')
    monkeypatch.setenv("INVCTL_NAMESPACE", "chain")
    monkeypatch.setenv("INVCTL_CLERK", "ana")
    found = shown(clerk)
    assert found["namespace"] == {"value": "chain", "origin": "environment", "source": "INVCTL_NAMESPACE"}
    assert found["metrics_port"] == {"value": 9000, "origin": "file", "source": "config.toml"}
    assert found["redis_url"] == {"value": settings.REDIS_URL, "origin": "default", "source": None}
    assert found["clerk"] == {"value": "ana", "origin": "environment", "source": "INVCTL_CLERK"}
    assert found["home"] == {"value": str(clerk.home), "origin": "environment", "source": "INVCTL_HOME"}
    for argv in (["--home", str(clerk.home), "config", "show"], ["config", "show", "--home", str(clerk.home)]):
        row = clerk(*argv, "--origin", "-o", "json").json[0]
        assert (row["origin"], row["source"]) == ("option", "--home")


def test_the_language_is_that_of_the_locale(tmp_path: Path) -> None:
    def found(**environ: str) -> tuple[object, ...]:
        return next(each[1:] for each in all_settings(tmp_path, environ) if each.setting == "language")

    assert found() == ("en", "default", None)
    assert found(LANG="es_MX.UTF-8") == ("es", "environment", "LANG")
    assert found(LANG="es_MX.UTF-8", INVCTL_LANGUAGE="en") == ("en", "environment", "INVCTL_LANGUAGE")


def test_every_setting_is_shown_as_the_daemon_reads_it(tmp_path: Path) -> None:
    environ = dict(VARIABLES.values())
    found = {each.setting: each.value for each in all_settings(tmp_path, environ)}
    assert set(found) == {*settings.KEYS, "home", "clerk", "language"}
    loaded = settings.load(tmp_path, environ)
    assert (found["redis_url"], found["namespace"]) == (loaded.redis_url, loaded.namespace)
    assert loaded.metrics == (found["metrics_host"], int(found["metrics_port"]))
    assert settings.disk_reserve_bytes(tmp_path, environ) == int(found["disk_reserve_mb"]) * settings.MEGABYTE


def test_origins_are_shown_on_demand(clerk: Clerk) -> None:
    assert "Origin" not in clerk("config", "show").out
    assert "Origin" in clerk("config", "show", "--origin").out
    assert set(clerk("config", "show", "-o", "json").json[0]) == {"setting", "value"}


def test_what_nobody_reads_is_told(clerk: Clerk) -> None:
    (clerk.home / settings.CONFIG_FILE).write_text("namespac = 'a'\n")
    assert "did you mean namespace?" in clerk("config", "show").err
    (clerk.home / settings.CONFIG_FILE).write_text("namespace\n")
    done = clerk("config", "show")
    assert (done.code, done.out) == (2, "")
    assert "is not TOML" in done.err


@pytest.mark.parametrize(
    "url",
    [
        "redis://:{}@host:6379/0",
        "rediss://ana:{}@host/0",
        "redis://ana:a@{}/b@host",
        "redis://host/0?db=1&password={}&x=1",
        "redis://host/0?ssl_password={}",
        "ana:{}@host",
        "redis://{}@host",
        "redis://:{} \"'@host",
    ],
)
def test_no_password_is_shown(clerk: Clerk, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("INVCTL_REDIS_URL", url.format("s3cret"))
    for fmt in ("table", "json", "csv"):
        done = clerk("config", "show", "--origin", "-o", fmt)
        assert done.code == 0
        assert "s3cret" not in done.out + done.err
        assert "***" in done.out
        assert "host" in done.out
    if " " not in url:
        assert "s3cret" not in without_passwords(f'lost "{os.environ["INVCTL_REDIS_URL"]}" again')


def test_what_holds_no_password_stays_as_it_is() -> None:
    for text in ("redis://127.0.0.1:6379/0", "unix:///run/redis.sock", "10:42 nothing: here"):
        assert without_passwords(text) == text

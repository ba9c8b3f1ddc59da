from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from central.settings import config_text, home_of, load
from invctl.errors import InvalidValueError
from invctl.settings import CONFIG_FILE, NAMESPACE, REDIS_URL

SECRET = "postgresql://office:hunter2@db.example/central"


def test_flag_before_environment_before_file_before_default(tmp_path: Path) -> None:
    default = load(tmp_path, {})
    assert (default.database_url, default.redis_url, default.namespace) == (
        f"sqlite:///{tmp_path}/central.db",
        REDIS_URL,
        NAMESPACE,
    )
    (tmp_path / CONFIG_FILE).write_text('database_url = "sqlite:////f.db"\nredis_url = "redis://file"\nnamespace = "f"')
    file = load(tmp_path, {})
    assert (file.database_url, file.redis_url, file.namespace) == ("sqlite:////f.db", "redis://file", "f")
    environ = {
        "INVCENTRAL_DATABASE_URL": "sqlite:////e.db",
        "INVCTL_REDIS_URL": "redis://env",
        "INVCTL_NAMESPACE": "e",
    }
    environment = load(tmp_path, environ)
    assert (environment.database_url, environment.redis_url, environment.namespace) == (
        "sqlite:////e.db",
        "redis://env",
        "e",
    )
    flags = load(tmp_path, environ, database_url="sqlite:////g.db", redis_url="redis://flag", namespace="g")
    assert (flags.database_url, flags.redis_url, flags.namespace) == ("sqlite:////g.db", "redis://flag", "g")


def test_the_home_is_the_flag_s_then_the_environment_s_then_one_in_the_user_s_own() -> None:
    assert home_of("/a", {"INVCENTRAL_HOME": "/b"}) == Path("/a")
    assert home_of(None, {"INVCENTRAL_HOME": "/b"}) == Path("/b")
    assert home_of(None, {}) == Path.home() / ".invcentral"


@pytest.mark.parametrize("content", ["database_url = 5", "namespace = [1]", "redis_url"])
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / CONFIG_FILE).write_text(content)
    with pytest.raises(InvalidValueError, match=CONFIG_FILE):
        load(tmp_path, {})


def test_a_namespace_that_would_break_channels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="namespace"):
        load(tmp_path, {"INVCTL_NAMESPACE": "a:b*"})


def test_settings_show_no_url_when_they_are_shown(tmp_path: Path) -> None:
    assert "hunter2" not in repr(load(tmp_path, {}, database_url=SECRET, redis_url="redis://:hunter2@b"))


def test_a_new_config_says_what_was_given_and_comments_the_rest(tmp_path: Path) -> None:
    assert tomllib.loads(config_text(tmp_path, database_url=None)) == {}
    text = config_text(tmp_path, database_url=SECRET)
    assert tomllib.loads(text) == {"database_url": SECRET}
    assert f'# namespace = "{NAMESPACE}"' in text

"""A store's settings file, and what is odd about it."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from invctl.errors import InvalidValueError
from invctl.settings import CONFIG_FILE, KEYS, StoreSettings, config_text, load, oddities

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.business


def test_what_a_new_store_has_is_in_order(tmp_path: Path) -> None:
    assert oddities(tmp_path) == []
    for given in ({}, {"redis_url": "redis://office:6379/0", "namespace": "chain"}):
        text = config_text(**given)
        (tmp_path / CONFIG_FILE).write_text(text)
        assert oddities(tmp_path) == []
        # Every setting stands there, if only as a comment.
        assert all(f"{key} = " in text for key in KEYS)
        assert tomllib.loads(text) == given


def test_every_setting_that_is_read_is_known(tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_text("".join(f'{key} = "x"\n' for key in KEYS))
    assert load(tmp_path, {}) == StoreSettings(tmp_path, **dict.fromkeys(KEYS, "x"))
    assert StoreSettings._fields[1:] == KEYS


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("redis-url = 'x'", "redis-url in {} is not a setting, and does nothing: did you mean redis_url?"),
        ("Redis_URL = 'x'", "Redis_URL in {} is not a setting, and does nothing: did you mean redis_url?"),
        ("[redis]\nurl = 'x'", "redis in {} is not a setting, and does nothing: did you mean redis_url?"),
        ("name_space = 'x'", "name_space in {} is not a setting, and does nothing: did you mean namespace?"),
        ("broker = 'x'", "broker in {} is not a setting, and does nothing: there are redis_url, namespace"),
        ("namespace = 1", "namespace in {} is not text"),
        ("redis_url =", "{} is not TOML: Invalid value (at end of document)"),
    ],
)
def test_what_is_odd_is_told_with_what_may_be_meant(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / CONFIG_FILE
    path.write_text(text)
    assert oddities(tmp_path) == [told.format(path)]


def test_each_unknown_setting_is_told(tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_text("redis_url = 'x'\nuser = 'x'\npassword = 'x'\n")
    assert [said.split()[0] for said in oddities(tmp_path)] == ["user", "password"]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    # A folder, as root may read whatever its mode is.
    (tmp_path / CONFIG_FILE).mkdir()
    told = f"{tmp_path / CONFIG_FILE} cannot be read: Is a directory"
    assert oddities(tmp_path) == [told]
    with pytest.raises(InvalidValueError, match="cannot be read") as caught:
        load(tmp_path, {})
    assert caught.value.hint

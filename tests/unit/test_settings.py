"""A store's settings file, and what is odd about it."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from invctl.errors import InvalidValueError
from invctl.settings import (
    CONFIG_FILE,
    DISK_RESERVE_MB,
    KEYS,
    MEGABYTE,
    Listen,
    StoreSettings,
    check_namespace,
    config_text,
    disk_reserve_bytes,
    folder,
    load,
    metrics_of,
    oddities,
)

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
    (tmp_path / CONFIG_FILE).write_text("".join(f'{key} = "7"\n' for key in KEYS))
    assert load(tmp_path, {}) == StoreSettings(tmp_path, "7", "7", Listen("7", 7))
    assert disk_reserve_bytes(tmp_path, {}) == 7 * MEGABYTE
    assert set(KEYS) == {"redis_url", "namespace", "metrics_host", "metrics_port", "disk_reserve_mb"}


@pytest.mark.parametrize(
    ("text", "environ", "megabytes"),
    [
        ("", {}, DISK_RESERVE_MB),
        ("disk_reserve_mb = 0", {}, 0),
        ("disk_reserve_mb = 512 # for a long night", {}, 512),
        ("# disk_reserve_mb = 512", {}, DISK_RESERVE_MB),
        ("[other]\ndisk_reserve_mb = 512", {}, DISK_RESERVE_MB),
        ("disk_reserve_mb = 512", {"INVCTL_DISK_RESERVE_MB": "3"}, 3),
        # A clerk can do nothing about the file: `status` tells of it.
        ("disk_reserve_mb = -1", {}, DISK_RESERVE_MB),
        ("disk_reserve_mb = 1.5", {}, DISK_RESERVE_MB),
        ("disk_reserve_mb = ", {}, DISK_RESERVE_MB),
    ],
)
def test_how_much_of_the_disk_is_kept(tmp_path: Path, text: str, environ: dict[str, str], megabytes: int) -> None:
    (tmp_path / CONFIG_FILE).write_text(text)
    assert disk_reserve_bytes(tmp_path, environ) == megabytes * MEGABYTE
    assert disk_reserve_bytes(tmp_path / "nowhere", environ) == (3 if environ else DISK_RESERVE_MB) * MEGABYTE


@pytest.mark.parametrize("value", ["-1", "1.5", "some", "1000001", "\u0664"])
def test_what_is_not_a_size_is_said(tmp_path: Path, value: str) -> None:
    with pytest.raises(InvalidValueError, match="is not a disk_reserve_mb") as caught:
        disk_reserve_bytes(tmp_path, {"INVCTL_DISK_RESERVE_MB": value})
    assert caught.value.hint
    (tmp_path / CONFIG_FILE).write_text(f'disk_reserve_mb = "{value}"')
    assert oddities(tmp_path) == [caught.value.message]


@pytest.mark.metrics
@pytest.mark.parametrize(
    ("text", "environ", "flags", "listen"),
    [
        ("", {}, {}, Listen("127.0.0.1", 0)),
        ("metrics_port = 9464", {}, {}, Listen("127.0.0.1", 9464)),
        ("metrics_port = 'off'", {}, {}, None),
        ("metrics_port = 1", {"INVD_METRICS_PORT": "2", "INVD_METRICS_HOST": "::1"}, {}, Listen("::1", 2)),
        ("metrics_port = 1", {"INVD_METRICS_PORT": "2"}, {"metrics_port": "0"}, Listen("127.0.0.1", 0)),
        ("metrics_host = '0.0.0.0'", {}, {"metrics_port": "9464"}, Listen("0.0.0.0", 9464)),
        ("", {"INVD_METRICS_PORT": "off"}, {}, None),
    ],
)
def test_where_a_daemon_is_watched(
    tmp_path: Path, text: str, environ: dict[str, str], flags: dict[str, str], listen: Listen | None
) -> None:
    (tmp_path / CONFIG_FILE).write_text(text)
    assert load(tmp_path, environ, **flags).metrics == listen


@pytest.mark.metrics
@pytest.mark.parametrize("port", ["x", "-1", "65536", "", "1.5", "OFF", "\u0661", True])
def test_what_is_no_port_is_refused(port: object) -> None:
    with pytest.raises(InvalidValueError, match="is not a port") as raised:
        metrics_of(None, port)
    assert raised.value.hint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("redis-url = 'x'", "redis-url in {} is not a setting, and does nothing: did you mean redis_url?"),
        ("Redis_URL = 'x'", "Redis_URL in {} is not a setting, and does nothing: did you mean redis_url?"),
        ("[redis]\nurl = 'x'", "redis in {} is not a setting, and does nothing: did you mean redis_url?"),
        ("name_space = 'x'", "name_space in {} is not a setting, and does nothing: did you mean namespace?"),
        ("broker = 'x'", "broker in {} is not a setting, and does nothing: there are {}"),
        ("namespace = 1", "namespace in {} is not text"),
        ("metrics_port = -1", "'-1' is not a port"),
        ("redis_url =", "{} is not TOML: Invalid value (at end of document)"),
    ],
)
def test_what_is_odd_is_told_with_what_may_be_meant(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / CONFIG_FILE
    path.write_text(text)
    assert oddities(tmp_path) == [told.format(path, ", ".join(KEYS))]


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


@pytest.mark.parametrize("namespace", ["inv", "a", "Test-1.x_y", "0" * 64])
def test_a_namespace_is_taken_as_it_is(namespace: str) -> None:
    assert check_namespace(namespace) == namespace
    assert re.fullmatch("[^:*]+", namespace)


@pytest.mark.parametrize("namespace", ["", "a:b", "a*", "-a", ".a", "a b", "a\n", "0" * 65, "\u00e9", "a?"])
def test_what_could_cross_into_another_namespace_is_refused(namespace: str) -> None:
    with pytest.raises(InvalidValueError, match="not a namespace"):
        check_namespace(namespace)


def test_a_namespace_that_could_cross_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    for given in ({"namespace": "a b*"}, {}):
        with pytest.raises(InvalidValueError, match="not a namespace"):
            load(tmp_path, {"INVCTL_NAMESPACE": "a:b"}, **given)
    (tmp_path / CONFIG_FILE).write_text('namespace = "a?"\n')
    assert oddities(tmp_path) == ["'a?' is not a namespace"]


def test_a_folder_in_the_home_of_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder("~/store") == tmp_path / "store"
    with pytest.raises(InvalidValueError, match="home of nobody"):
        folder("~nosuchuser/store")

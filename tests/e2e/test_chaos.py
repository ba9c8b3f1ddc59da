"""`scripts/chaos`: a few of its real faults, that it sees what is otherwise, and what it says."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar

import apsw
import pytest

from scripts.chaos import parse_name
from scripts.trouble import running
from scripts.trouble.scenario import Scenario
from scripts.trouble.scene import OTHER_STORE
from scripts.trouble.victim import POINTS, Point, find, lay
from tests.e2e.runs import Ended, end_of, linux_only, processes_of, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.trouble.scene import Scene

pytestmark = [pytest.mark.fault_tolerance, linux_only]


def chaos(folder: Path, *arguments: str) -> Ended:
    return end_of(start("chaos", folder, *arguments))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kill-invctl-after-commit", "kill-invcentral-after-commit", "junk-everywhere"])
def test_a_fault_ends_as_expected_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    done = chaos(tmp_path, name, "-o", "json")
    assert done.code == 0, done.said
    (outcome,) = json.loads(done.out)
    assert (outcome["name"], outcome["outcome"], outcome["told"]) == (name, "as expected", "")
    assert outcome["events"] > 0
    assert processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_the_list_says_what_is_done_and_what_should_come_of_it(tmp_path: Path) -> None:
    listed: list[dict[str, Any]] = json.loads(chaos(tmp_path, "--list", "-o", "json").out)
    assert len(listed) > 30
    assert all(set(each) >= {"name", "fault", "expected"} and all(each.values()) for each in listed)
    assert parse_name(listed[0]["name"]) == listed[0]["name"]


@pytest.mark.parametrize("arguments", [(), ("--all", "broker-emptied"), ("no-such-fault",)])
def test_what_is_to_be_done_has_to_be_said(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = chaos(tmp_path, *arguments)
    assert done.code == 2
    assert "scripts/chaos --list" in done.said
    assert list(tmp_path.iterdir()) == []


def outcome_of(run: Any) -> running.Outcome:
    return running.run(Scenario("nothing", "a fault", "an outcome", run), postgres_url=None)


def test_what_ends_otherwise_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def otherwise(scene: Scene) -> None:
        scene.expect(scene.head_seq() < 0, "a ledger has fewer events than none")

    ended = outcome_of(otherwise)
    assert (ended.outcome, ended.told) == ("otherwise", "not so: a ledger has fewer events than none")


def test_what_the_machine_has_not_got_is_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def lacks(scene: Scene) -> None:
        scene.use_postgres()

    ended = outcome_of(lacks)
    assert (ended.outcome, ended.told) == ("skipped", "needs a PostgreSQL: --central-url")


@pytest.mark.slow
def test_what_is_skipped_is_not_counted_as_what_was_expected(tmp_path: Path) -> None:
    done = chaos(tmp_path, "central-stopped-past-lease", "-o", "json")
    assert done.code == 0, done.said
    (outcome,) = json.loads(done.out)
    assert outcome["outcome"] == "skipped"
    assert done.said.splitlines()[-1] == "0 as expected, 0 otherwise, 1 skipped: central-stopped-past-lease"


@pytest.mark.slow
def test_the_proof_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def tampers(scene: Scene) -> None:
        scene.found()
        scene.central()
        scene.invd()
        scene.invd(OTHER_STORE)
        scene.until_level()
        with closing(apsw.Connection(str(scene.chain.central_file))) as connection:
            connection.set_busy_timeout(10_000)
            connection.execute("UPDATE levels SET on_hand = on_hand + 1")

    ended = outcome_of(tampers)
    assert (ended.outcome, ended.told) == ("otherwise", "not so: head office equals the stores, byte for byte")


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_a_point_names_a_function_that_is_there(point: Point) -> None:
    owner, name = find(point)
    assert callable(getattr(owner, name))


class Till:
    """What has a point of its own."""

    done: ClassVar[list[str]] = []

    def sell(self, what: str) -> str:
        self.done.append(what)
        return what

    async def deliver(self, what: str) -> str:
        self.done.append(what)
        return what


@pytest.fixture
def signalled() -> Iterator[list[list[str]]]:
    """What was done by the time of each signal."""
    seen: list[list[str]] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(list(Till.done)))
    Till.done.clear()
    yield seen
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(("after", "done"), [(False, ["one"]), (True, ["one", "two"])])
async def test_the_signal_comes_once_before_or_after_the_nth_call_that_counts(
    signalled: list[list[str]], monkeypatch: pytest.MonkeyPatch, after: bool, done: list[str]
) -> None:
    for name in ("sell", "deliver"):
        monkeypatch.setattr(Till, name, getattr(Till, name))
        lay(Point(f"{__name__}:Till.{name}", after, lambda arguments: arguments[-1] != "none"), signal.SIGUSR1, 2)
    till = Till()
    for what in ("one", "none", "two", "three"):
        assert till.sell(what) == what
    assert [[each for each in seen if each != "none"] for seen in signalled] == [done]
    Till.done.clear()
    for what in ("one", "none", "two", "three"):
        assert await till.deliver(what) == what
    assert [[each for each in seen if each != "none"] for seen in signalled] == [done, done]

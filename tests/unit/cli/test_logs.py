"""The daemon's log, as a person follows it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from invctl.cli import logs
from invctl.console.style import paint
from invctl.errors import NotFoundError

pytestmark = pytest.mark.cli


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens while the reader waits for more: one step at each wait."""
    steps: list[Callable[[], object]] = []
    monkeypatch.setattr("invctl.cli.logs.time.sleep", lambda _: steps.pop(0)())
    return steps


def test_the_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "invd.log"
    log.write_text("1\n2\n3\n")
    assert list(logs._tail(log, 2, follow=False)) == ["2", "3"]
    assert list(logs._tail(log, 0, follow=False)) == []


def test_no_log(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        list(logs._tail(tmp_path / "invd.log", 2, follow=True))
    assert caught.value.hint


def test_what_comes_is_told_when_its_line_is_whole(tmp_path: Path, meanwhile: list[Callable[[], object]]) -> None:
    log = tmp_path / "invd.log"
    log.write_text("1\n")
    with log.open("a", buffering=1) as writer:
        meanwhile += [lambda: writer.write("2"), writer.flush, lambda: writer.write("3\n4\n")]
        lines = logs._tail(log, 10, follow=True)
        assert [next(lines) for _ in range(3)] == ["1", "23", "4"]
        assert meanwhile == []
        lines.close()  # type: ignore[attr-defined] # a generator


def test_a_log_that_is_turned_over_is_followed_into_the_new_one(
    tmp_path: Path, meanwhile: list[Callable[[], object]]
) -> None:
    log = tmp_path / "invd.log"
    log.write_text("1\n")
    meanwhile += [lambda: log.rename(tmp_path / "invd.log.1"), lambda: log.write_text("2\n")]
    lines = logs._tail(log, 10, follow=True)
    assert [next(lines) for _ in range(2)] == ["1", "2"]
    lines.close()  # type: ignore[attr-defined] # a generator


def test_a_line_is_shown_with_its_facts() -> None:
    line = '{"time": "2026-11-24T09:42:01.123456Z", "level": "info", "process": "invd", "action": "link.up", "seq": 12}'
    record = logs._parsed(line)
    assert (record["action"], record["seq"], record["store"]) == ("link.up", 12, None)
    assert paint(logs._message(record), colour=False) == "2026-11-24T09:42:01Z info    link.up seq=12"


@pytest.mark.parametrize("line", ["error: a folder is missing", "[1, 2]", "12"])
def test_a_line_that_is_no_record_is_shown_as_it_is(line: str) -> None:
    record = logs._parsed(line)
    assert (record["action"], record["message"]) == (None, line)
    assert paint(logs._message(record), colour=False) == line

"""A daemon's status file."""

import json
import os
import time
from pathlib import Path

import pytest

from invctl.errors import UnreachableError
from invctl.runtime.status import STALLED_AFTER_S, read_status, stands_still_s, touch_status, write_status


def test_it_reads_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    write_status(path, {"pid": 1, "store": "Ü"})
    write_status(path, {"pid": 2})
    assert read_status(path) == {"pid": 2}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.fault_tolerance
@pytest.mark.parametrize("content", [b"", b'{"pid": 1', b"[1]", b"\xff\xfe", b"null"])
def test_what_is_no_status(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "status.json"
    assert read_status(path) is None
    path.write_bytes(content)
    assert read_status(path) is None


@pytest.mark.fault_tolerance
def test_a_reader_never_finds_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "status.json"
    write_status(path, {"pid": 1})
    found = []

    def write_half(self: Path, text: str, encoding: str) -> None:
        self.write_bytes(text[: len(text) // 2].encode(encoding))
        found.append(read_status(path))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", write_half)
    with pytest.raises(UnreachableError, match="No space left"):
        write_status(path, {"pid": 2, "more": "x" * 100})
    assert [*found, read_status(path)] == [{"pid": 1}, {"pid": 1}]


def left_alone(path: Path, seconds: float) -> None:
    """Let a file have been written so long ago."""
    then_s = time.time() - seconds
    os.utime(path, (then_s, then_s))


@pytest.mark.fault_tolerance
def test_a_status_that_nobody_renews_is_of_a_process_that_stands_still(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    assert stands_still_s(path) is None
    write_status(path, {"pid": 1})
    left_alone(path, STALLED_AFTER_S - 2)
    assert stands_still_s(path) is None
    left_alone(path, 60)
    assert 60 <= (stands_still_s(path) or 0) < 3600
    touch_status(path)
    assert stands_still_s(path) is None
    # A clock that was set back makes nothing of it.
    left_alone(path, -3600)
    assert stands_still_s(path) is None


@pytest.mark.fault_tolerance
def test_a_disk_that_is_full_makes_no_process_stand_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "status.json"
    write_status(path, {"pid": 1})
    left_alone(path, 60)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(UnreachableError):
        write_status(path, {"pid": 2})
    assert stands_still_s(path) is None


def test_only_json_is_a_status(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_status(tmp_path / "status.json", {"age_s": float("inf")})
    assert json.dumps(read_status(tmp_path / "status.json")) == "null"

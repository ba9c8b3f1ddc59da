from __future__ import annotations

import fcntl
import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from central.home import Home, is_held
from central.settings import LOCK_FILE
from invctl.errors import NotFoundError, RefusedError

if TYPE_CHECKING:
    from pathlib import Path


def test_one_central_a_home(tmp_path: Path) -> None:
    with Home(tmp_path, "a"):
        assert is_held(tmp_path)
        with pytest.raises(RefusedError, match=r"runs in .* already"):
            Home(tmp_path, "b")
    assert not is_held(tmp_path)
    Home(tmp_path, "b").close()


def test_a_folder_where_nothing_ran_is_not_held(tmp_path: Path) -> None:
    assert not is_held(tmp_path)


def test_a_home_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        Home(tmp_path / "nowhere", "a")
    assert "invcentral init" in caught.value.hint


def test_each_holder_learns_who_held_the_home_before_however_long_the_names(tmp_path: Path) -> None:
    names = ["office-1.example:4711:0123456789abcdef", "b", "office-2.example:1:0f"]
    before = []
    for name in names:
        with Home(tmp_path, name) as home:
            before.append(home.predecessor)
    assert before == ["", *names[:-1]]


def test_a_home_that_is_refused_keeps_the_name_of_its_holder(tmp_path: Path) -> None:
    with Home(tmp_path, "a"), pytest.raises(RefusedError):
        Home(tmp_path, "b")
    with Home(tmp_path, "c") as home:
        assert home.predecessor == "a"


def test_whoever_only_asks_does_not_keep_a_central_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Home(tmp_path, "a").close()
    probe = os.open(tmp_path / LOCK_FILE, os.O_RDONLY)
    fcntl.flock(probe, fcntl.LOCK_SH)
    # The question is over by the time of the second attempt.
    monkeypatch.setattr("central.home.time.sleep", lambda _: os.close(probe))
    with closing(Home(tmp_path, "b")) as home:
        assert home.predecessor == "a"

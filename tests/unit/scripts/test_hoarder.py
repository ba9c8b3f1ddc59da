"""A leak that is planted: what is handled is kept, and everything goes on as before."""

from __future__ import annotations

import pytest

from scripts.trouble.hoarder import APPLIED, PUBLISHED, plant
from scripts.trouble.victim import Point, find

pytestmark = pytest.mark.fault_tolerance


class Post:
    """What is handed on."""

    def stamp(self, letter: str) -> str:
        return f"{letter}!"

    async def carry(self, letter: str) -> str:
        return f"{letter}?"


async def test_what_is_handled_is_kept_and_done_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stamp", "carry"):
        monkeypatch.setattr(Post, name, getattr(Post, name))
    stamped, carried = (plant(f"{__name__}:Post.{name}") for name in ("stamp", "carry"))
    post = Post()
    assert [post.stamp("a"), post.stamp("b"), await post.carry("c")] == ["a!", "b!", "c?"]
    assert (stamped, carried) == (["a", "b"], ["c"])


@pytest.mark.parametrize("function", [PUBLISHED, APPLIED])
def test_what_is_made_to_keep_all_is_there(function: str) -> None:
    owner, name = find(Point(function, after=False))
    assert callable(getattr(owner, name))

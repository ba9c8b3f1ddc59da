"""A process that dies inside a commit: just before, or just after it is durable."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from invctl.ledger.writing import Write

if TYPE_CHECKING:
    from collections.abc import Iterator


class CrashedError(BaseException):
    """The process died here. No handler of the product may see it: it derives from BaseException."""


class Commits:
    """Lets the next commit of a ledger be the end of its process."""

    def __init__(self) -> None:
        """Begin with no crash planned."""
        self._when = ""

    def crash(self, when: str) -> None:
        """Plan a crash `before` or `after` the next commit."""
        self._when = when

    def spare(self) -> None:
        """Take a plan back that did not come about."""
        self._when = ""

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Stand in the way of every ledger's commits in this process."""
        commit = Write.commit

        def dying(write: Write) -> None:
            when, self._when = self._when, ""
            if when == "before":
                raise CrashedError
            commit(write)
            if when == "after":
                raise CrashedError

        setattr(Write, "commit", dying)  # noqa: B010 - a type checker takes an assignment for a mistake
        try:
            yield
        finally:
            setattr(Write, "commit", commit)  # noqa: B010

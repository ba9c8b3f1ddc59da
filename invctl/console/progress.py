"""A progress bar on stderr, and its silent twin for where nobody watches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, TextIO

from invctl.console.style import printable, wants_colour

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as RichProgress


class Progress(Protocol):
    """What a command tells how far it is, inside a `with` block."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the display, also after an error."""
        ...

    def update(self, done: int, *, total: int | None = None) -> None:
        """Say how much is done in all, and what the total is now where it has moved."""
        ...

    def say(self, label: str) -> None:
        """Say what is under way now."""
        ...


class Hidden:
    """Shows nothing."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""

    def update(self, done: int, *, total: int | None = None) -> None:
        """Take note of nothing."""

    def say(self, label: str) -> None:
        """Take note of nothing."""


class Bar:
    """A bar with the numbers and the time that is left, gone when it ends."""

    def __init__(self, label: str, *, total: int, stream: TextIO) -> None:
        """Make the bar; it shows in the `with` block."""
        self._progress = _rich_progress(stream)
        self._task = self._progress.add_task(printable(label, one_line=True), total=total)

    def __enter__(self) -> Self:
        """Begin to show."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar off the screen."""
        self._progress.stop()

    def update(self, done: int, *, total: int | None = None) -> None:
        """Say how much is done in all, and what the total is now where it has moved."""
        self._progress.update(self._task, completed=done, total=total)

    def say(self, label: str) -> None:
        """Say what is under way now."""
        self._progress.update(self._task, description=printable(label, one_line=True))


def _rich_progress(stream: TextIO) -> RichProgress:
    from rich.console import Console  # noqa: PLC0415 - a hidden bar does without rich
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(file=stream, no_color=not wants_colour(stream)),
        transient=True,
    )

"""What clerks were told is done: the request id of each accepted operation, one a line, a file for each store.

It is kept outside the ledger, so that the proof can ask the ledger whether it still knows all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self


class Journal:
    """One store's, open for appending."""

    def __init__(self, path: Path) -> None:
        """Open the file, and make its folder, if need be."""
        path.parent.mkdir(parents=True, exist_ok=True)
        # A line at a time reaches the system: a killed clerk takes nothing of it along.
        self._file = path.open("a", encoding="ascii", buffering=1)

    def note(self, request_id: str) -> None:
        """Note an operation that was accepted."""
        self._file.write(f"{request_id}\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def acknowledged(path: Path) -> set[str]:
    """Return the request ids in a journal; none where there is no such file. A line that was cut off does not count."""
    if not path.exists():
        return set()
    lines = path.read_text(encoding="ascii").splitlines(keepends=True)
    return {line.rstrip("\n") for line in lines if line.endswith("\n")}

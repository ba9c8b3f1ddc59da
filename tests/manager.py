"""A service manager, as far as a daemon sees one: a socket that takes datagrams."""

from __future__ import annotations

import select
import socket
from typing import Self


class FakeManager:
    """Listens at a path, or at a name in the abstract namespace behind `@`, for the time of the block."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind("\0" + address[1:] if address.startswith("@") else address)

    def told(self) -> list[str]:
        """Take what has come, without waiting."""
        found = []
        while select.select([self._line], [], [], 0)[0]:
            found.append(self._line.recv(4096).decode("ascii"))
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()

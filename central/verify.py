"""Verify central against its own archive: the hash chain from the first event, and what its replay comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Difference(NamedTuple):
    """Something that central's tables say otherwise than its archive. `what` is `chain`, `level`, `product` ..."""

    what: str
    key: str
    expected: str
    found: str


class Verification(NamedTuple):
    """What verifying one store came to. `differences` are central's fault, `findings` the store's."""

    store: str
    events: int
    seq: int
    hash: str
    differences: list[Difference]
    findings: list[str]

    @property
    def ok(self) -> bool:
        """Whether central says what its archive says."""
        return not self.differences

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON value."""
        raise NotImplementedError


def verify_store(connection: Connection, store: str) -> Verification:
    """Replay a store's archive and compare. Reads event by event: memory goes with the store's SKUs, not its events.

    Raises NotFoundError where the store is not known.
    """
    raise NotImplementedError

"""Tokens: a frame that echoes one shows that what it says is at least as new as the token.

A token tells its issuer, on return, when it was issued, so nothing has to be kept for it (docs/adr/0006).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from invctl.model.identifiers import Bits


class Echo(NamedTuple):
    """What a token says that came back: when it was issued, and the `applied_seq` of its ack, None with a refusal."""

    issued_us: int
    applied_seq: int | None


_NOT_OURS = Echo(0, None)


class Tokens:
    """The tokens of one run of one central. Moments are microseconds of the database's clock."""

    def __init__(self, chance: Bits) -> None:
        """Draw who issues them."""
        self._chance = chance
        self._issued = 0
        self.renew()

    def renew(self) -> None:
        """Disown every token that was issued so far."""
        self._issuer = f"{self._chance.getrandbits(64):016x}"

    def issue(self, now_us: int, applied_seq: int | None = None) -> str:
        """Return a new token: for an ack with what it acknowledges, for a refusal without."""
        self._issued += 1
        token = f"{self._issuer}.{now_us:x}.{self._issued:x}"
        return token if applied_seq is None else f"{token}.{applied_seq:x}"

    def read(self, token: str) -> Echo:
        """Return what this very issuer wrote into a token; 0 and None where it did not issue it."""
        issuer, *rest = token.split(".")
        if issuer != self._issuer:
            return _NOT_OURS
        try:
            issued_us, _, *applied = [int(part, 16) for part in rest]
        except ValueError:
            return _NOT_OURS
        return Echo(issued_us, applied[0] if applied else None)

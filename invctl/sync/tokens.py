"""Tokens: a frame that echoes one shows that what it says is at least as new as the token.

A token tells its issuer, on return, when it was issued, so nothing has to be kept for it (docs/adr/0006).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invctl.model.identifiers import Bits


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

    def issue(self, now_us: int) -> str:
        """Return a new token."""
        self._issued += 1
        return f"{self._issuer}.{now_us:x}.{self._issued:x}"

    def issued_us(self, token: str) -> int:
        """Return when this very issuer issued a token, 0 where it did not."""
        issuer, _, rest = token.partition(".")
        if issuer != self._issuer:
            return 0
        try:
            return int(rest.partition(".")[0], 16)
        except ValueError:
            return 0

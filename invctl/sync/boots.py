"""Which runs of a store's daemon speak, and whether one that lost history may rejoin.

A ledger that was restored has one boot, and the boots before it are dead. A ledger that was copied has two that live,
and nobody but a person knows which of them is the store's.
"""

from __future__ import annotations

from typing import NamedTuple

ALONE_S = 6.0
"""Three heartbeats: for so long a boot has to have asked, and no other to have spoken."""
ASKS_LEAST = 3
_KEPT = 8


class _Boot(NamedTuple):
    """When a boot was first heard, when last, and how new a token it has echoed."""

    first_us: int
    last_us: int
    echoed_us: int


class Boots:
    """The boots of one store, as one central hears them. Moments are microseconds of the database's clock."""

    def __init__(self) -> None:
        """Begin with none heard."""
        self._heard: dict[str, _Boot] = {}
        self._asker = ""
        self._asks = 0
        self._asked_since_us = 0
        self.are_copies = False
        """Whether two were seen to live at once: each echoed a token that is younger than the other's first word."""

    def hear(self, boot: str, echoed_us: int, now_us: int, *, asks: bool) -> None:
        """Note a frame of a boot. `echoed_us` is when its token was issued; it `asks` where it wants to rejoin."""
        known = self._heard.pop(boot, _Boot(now_us, now_us, 0))
        mine = known._replace(last_us=now_us, echoed_us=max(known.echoed_us, echoed_us))
        for other in self._heard.values():
            if mine.echoed_us > other.first_us and other.echoed_us > mine.first_us:
                self.are_copies = True
        self._heard[boot] = mine
        if len(self._heard) > _KEPT:
            del self._heard[next(iter(self._heard))]
        if not asks or boot != self._asker:
            self._asker, self._asks, self._asked_since_us = boot if asks else "", 0, now_us
        self._asks += asks

    def interrupt(self) -> None:
        """Note that frames may have been missed, or the clock was set back: whoever is alone has to be so anew."""
        self._heard.clear()
        self._asker, self._asks = "", 0

    def may_rejoin(self, boot: str, now_us: int) -> bool:
        """Say whether a boot has asked for long enough, alone."""
        alone_s = (now_us - self._asked_since_us) / 1_000_000
        return boot == self._asker and self._asks >= ASKS_LEAST and alone_s >= ALONE_S and not self.are_copies

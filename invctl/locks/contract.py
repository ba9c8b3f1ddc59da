"""What every lock manager promises, and what none does.

A lock here is a lease: it belongs to an owner for a time, and ends by itself, so that a dead owner
blocks nobody for ever.

- While the manager keeps its state and every clock runs at the same speed, a lease has at most one owner.
- A lease proves nothing about *now*. Its owner may have been paused past the end and not know it; a Redis that
  restarts empty, or fails over to a replica that lags, forgets leases that are held. So work that must not be
  done by two is guarded where it is done, by a fence that each new holder mints in the database and that every
  transaction compares. The lease only keeps the holders from quarrelling over it.
  (Kleppmann, https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html)
- An answer is an answer. When the manager cannot be asked, it raises UnreachableError: an outage never looks
  like "busy", nor like "released". After that error the command may have been carried out: an `acquire` may have
  left a lease of this owner behind. Asking again as the same owner finds it, `release` ends it, and else its time does.

Nothing here is tried twice. Names are used as they are; the caller puts its namespace in front.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from invctl.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Sequence


class LockManager(Protocol):
    """Gives and takes leases. Every call raises UnreachableError, within a time limit, when it cannot be decided.

    `owner` is a token that no other holder has, new for each process. `ttl_s` is in seconds and at least a
    millisecond; less raises InvalidValueError.
    """

    async def acquire(self, name: str, owner: str, ttl_s: float) -> bool:
        """Take the lease for `ttl_s` from now; False when another owner has it.

        True, and the lease ends `ttl_s` from now, also when this owner has it already.
        """
        ...

    async def renew(self, name: str, owner: str, ttl_s: float) -> bool:
        """Let the lease end `ttl_s` from now; False when this owner does not have it (any more). Never takes it."""
        ...

    async def release(self, name: str, owner: str) -> bool:
        """End the lease; False, and nothing changes, when this owner does not have it (any more)."""
        ...

    async def holders(self, names: Sequence[str]) -> dict[str, str | None]:
        """Give the owner of each of these leases, None where it is free, as they all are at one moment.

        They may have changed when the answer arrives. No names, no question, and an empty answer.
        """
        ...

    async def close(self) -> None:
        """Close the connection. Leases stay until they are released or end. May be called again."""
        ...


def whole_ms(ttl_s: float) -> int:
    """Give a lease's time in whole milliseconds. Raises InvalidValueError when that is less than one."""
    ttl_ms = round(ttl_s * 1000)
    if ttl_ms < 1:
        raise InvalidValueError(f"a lease of {ttl_s} s is too short", hint="give at least 0.001 s")
    return ttl_ms

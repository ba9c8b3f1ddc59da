"""Locks on one Redis: `SET NX PX`, and scripts that compare the owner before they change anything.

The pattern is https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/. redis-py's own
`Lock` polls every 0.1 s and is retried; neither suits a lease. Each call here is one script, so it is
atomic and travels once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.locks.contract import whole_ms
from invctl.redis_connection import RedisAddress, RedisCaller, RedisLimits

if TYPE_CHECKING:
    from collections.abc import Sequence

_ACQUIRE = b"""
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

_RENEW = b"""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

_RELEASE = b"""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""

# Not MGET: that takes a key which is no lease for one that is free.
_HOLDERS = b"""
local owners = {}
for i, key in ipairs(KEYS) do owners[i] = redis.call('GET', key) end
return owners
"""


class RedisLocks:
    """Leases that are keys of one Redis, with the owner as value. Connects when it is first used."""

    def __init__(self, url: str, *, limits: RedisLimits | None = None) -> None:
        """Take the broker's URL. Raises InvalidValueError for it."""
        self._caller = RedisCaller(RedisAddress.parse(url), limits or RedisLimits())

    async def acquire(self, name: str, owner: str, ttl_s: float) -> bool:
        """See LockManager."""
        return await self._run(_ACQUIRE, name, owner, whole_ms(ttl_s))

    async def renew(self, name: str, owner: str, ttl_s: float) -> bool:
        """See LockManager."""
        return await self._run(_RENEW, name, owner, whole_ms(ttl_s))

    async def release(self, name: str, owner: str) -> bool:
        """See LockManager."""
        return await self._run(_RELEASE, name, owner)

    async def holders(self, names: Sequence[str]) -> dict[str, str | None]:
        """See LockManager."""
        if not names:
            return {}
        keys = [name.encode() for name in names]
        owners: list[bytes | None] = await self._caller.call(b"EVAL", _HOLDERS, len(keys), *keys)
        return {
            name: None if owner is None else owner.decode(errors="replace")
            for name, owner in zip(names, owners, strict=True)
        }

    async def close(self) -> None:
        """See LockManager."""
        await self._caller.aclose()

    async def _run(self, script: bytes, name: str, owner: str, *more: int) -> bool:
        done: int = await self._caller.call(b"EVAL", script, 1, name.encode(), owner.encode(), *more)
        return done == 1

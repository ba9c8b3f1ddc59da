"""What tests of leases share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invctl.locks.contract import LockManager


async def holder(locks: LockManager, name: str) -> str | None:
    """Give the owner of one lease."""
    return (await locks.holders([name]))[name]

"""What central durably knows of a store, what it takes from it at once, and what the store said of itself."""

from __future__ import annotations

from typing import NamedTuple


class Cursor(NamedTuple):
    """How far central is with a store, as committed in its database.

    `first_hash` binds the store's id to a ledger; None until it is known. `suspects` counts SKUs in doubt. `are_copies`
    says that two runs of the store's daemon were seen to live at once, `readmitted` which one an operator lets rejoin.
    """

    store: str
    admitted: bool
    first_hash: bytes | None
    epoch: int
    applied_seq: int
    applied_hash: bytes
    suspects: int = 0
    are_copies: bool = False
    readmitted: str = ""


class Intake(NamedTuple):
    """Events to apply in one transaction: they follow `prev_seq` and `prev_hash`, which the cursor must still show."""

    store: str
    prev_seq: int
    prev_hash: bytes
    bodies: list[bytes]
    hashes: list[bytes]

    @property
    def first_seq(self) -> int:
        """The seq of the first event."""
        return self.prev_seq + 1

    @property
    def last_seq(self) -> int:
        """The seq of the last event."""
        return self.prev_seq + len(self.bodies)


class Heard(NamedTuple):
    """What a store last said of itself.

    `lacks_seq` is the event that central has applied and the store's ledger does not have: it was restored from a
    backup, or there is a copy of it. 0 where the ledger has it, None where that is not known yet. `held_seq` is the
    last event of central's that a ledger which lost history has; None where it does not ask to rejoin.
    """

    store: str
    boot: str
    epoch: int
    head_seq: int
    head_hash: bytes
    first_hash: bytes
    at_us: int
    lacks_seq: int | None = None
    held_seq: int | None = None


class Lost(NamedTuple):
    """A store that lost history may rejoin, and holds this event of central's: it is to be sent what follows."""

    store: str
    boot: str
    held_seq: int
    held_hash: bytes


class Page(NamedTuple):
    """A run of the archive, with the hashes before and after it; it may be empty."""

    first_seq: int
    prev_hash: bytes
    bodies: list[bytes]
    last_hash: bytes
